"""What every address needs that changes something, by the name of its route: of pages and of REST.

Reading needs the right to read, everywhere. What is not named here is for admins alone, and the test of the permission
matrix fails until it is named.
"""

from __future__ import annotations

from collections.abc import Mapping

from apps.runs.access import Right

# Of a run or a row of one: in its namespace. Of what belongs to no namespace: in all of them.
CHANGES: Mapping[str, Right] = {
    # pages
    "control": Right.OPERATE,
    "retry": Right.OPERATE,
    "force-close": Right.OPERATE,
    "backlog-policy": Right.OPERATE,
    "brake": Right.OPERATE,
    "brake-all": Right.OPERATE,
    "policy": Right.OPERATE,
    "command": Right.OPERATE,
    "site": Right.OPERATE,
    # REST: what agents write
    "run-list": Right.REPORT,
    "run-detail": Right.REPORT,
    "run-state-list": Right.REPORT,
    "run-state-detail": Right.REPORT,
    "namespace-ensure": Right.REPORT,
    "workflow-definition-list": Right.REPORT,
    "workflow-definition-detail": Right.REPORT,
    "workflow-execution-list": Right.REPORT,
    "workflow-execution-detail": Right.REPORT,
    "system-state-event-list": Right.REPORT,
    "stf-file-list": Right.REPORT,
    "stf-file-detail": Right.REPORT,
    "fastmon-file-list": Right.REPORT,
    "fastmon-file-detail": Right.REPORT,
    "tf-slice-list": Right.REPORT,
    "tf-slice-detail": Right.REPORT,
    "tf-slice-claim": Right.REPORT,
    "tf-slice-result": Right.REPORT,
    "worker-list": Right.REPORT,
    "systemagent-heartbeat": Right.REPORT,
    "subscriber-list": Right.REPORT,
    "subscriber-detail": Right.REPORT,
    "log-list": Right.REPORT,
    "next-run-number": Right.REPORT,
    "next-agent-id": Right.REPORT,
    "next-workflow-execution-id": Right.REPORT,
    # REST: what people do
    "run-start": Right.OPERATE,
    "run-pause": Right.OPERATE,
    "run-resume": Right.OPERATE,
    "run-stop": Right.OPERATE,
    "run-abort": Right.OPERATE,
    "run-re-evaluate": Right.OPERATE,
    "run-force-close": Right.OPERATE,
    "run-policy": Right.OPERATE,
    "run-brake-on": Right.OPERATE,
    "run-brake-off": Right.OPERATE,
    "brake-on": Right.OPERATE,
    "brake-off": Right.OPERATE,
    "processing-site-down": Right.OPERATE,
    "processing-site-up": Right.OPERATE,
    "processing-task-kill": Right.OPERATE,
    "processing-task-finish": Right.OPERATE,
    "processing-task-retry": Right.OPERATE,
    "processing-task-reload": Right.OPERATE,
    "incident-acknowledge": Right.OPERATE,
    "incident-clear": Right.OPERATE,
    "dead-letter-replay-many": Right.OPERATE,
    "dead-letter-replay": Right.OPERATE,
    "dead-letter-discard": Right.OPERATE,
}


def change_of(route: str) -> Right:
    """The right that changing something by this route needs."""
    return CHANGES.get(route, Right.ADMINISTER)
