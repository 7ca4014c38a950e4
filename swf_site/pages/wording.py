"""Journal entries in words, with the tone in which a page says them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from apps.runs.choices import RunLifecycle
from apps.runs.core_states import CoreState, CoreSubstate

Tone = Literal["quiet", "info", "good", "warn", "bad"]

# What is said of every single STF: pages count these. The label is that of the stage the STF has reached.
STAGE_OF_KIND = {
    "stf_gen": "Generated",
    "stf_ready": "Registered",
    "stf_replicated": "Verified",
    "stf_releasable": "Safe",
    "stf_released": "Released",
    "stf_processed": "Processed",
    "output_registered": "Outputs",
    "tf_file_registered": "TF files",
    "sample_processed": "Samples processed",
}
# Said of every few STFs, and nothing to a reader: the page of fast monitoring adds them up.
UNSAID = ("slices_created", "tf_files_removed")
# What is said of many STFs or jobs for the same reason: one line for all of a step of time.
FAILURES = (
    "stf_failed",
    "stf_replica_failed",
    "job_failed",
    "processing_failed",
    "processing_moved",
    "output_missing",
    "sample_failed",
    "samples_skipped",
    "slicing_skipped",
    "slices_skipped",
    "slice_failed",
)

_WORDS: dict[str, tuple[Tone, str]] = {
    "run_workflow": ("info", "Requested: workflow {workflow_name}"),
    "run_taken_over": ("info", "Announced by {daq}"),
    "core_state": ("quiet", "{state}, {substate}"),
    "run_imminent": ("info", "Run imminent: {state}, {substate}"),
    "start_run": ("good", "Datataking starts"),
    "pause_run": ("warn", "Datataking pauses: {reason}"),
    "resume_run": ("good", "Datataking goes on"),
    "end_run": ("info", "Datataking has ended with {total_stf_files} STFs"),
    "pause_workflow": ("info", "Asked to pause: {reason}"),
    "resume_workflow": ("info", "Asked to resume"),
    "stop_workflow": ("info", "Asked to stop: {reason}"),
    "abort_workflow": ("warn", "Asked to abort: {reason}"),
    "dataset_opened": ("quiet", "Dataset {subject} is open"),
    "dataset_closed": ("quiet", "Dataset {subject} is closed"),
    "stf_failed": ("bad", "{subject} cannot be registered: {reason}"),
    "stf_replica_failed": ("bad", "Copy of {subject} to {rse} failed: {reason}"),
    "stf_retried": ("info", "{subject} is tried again"),
    "run_retried": ("info", "Tried again: {registrations} registrations, {copies} copies"),
    "input_opened": ("quiet", "Input dataset {subject} is open"),
    "input_closed": ("quiet", "Input dataset {subject} is closed"),
    "task_submitted": ("info", "PanDA has the task of {site}: {jeditaskid}"),
    "task_trouble": ("warn", "The task of {site} cannot be submitted: {reason}"),
    "task_status": ("info", "PanDA says of the task of {site}: {status}: {reason}"),
    "task_command": ("info", "PanDA is to {command} the task of {site}: {reason}"),
    "task_commanded": ("info", "PanDA was asked to {command} the task of {site}: {outcome}"),
    "job_failed": ("bad", "{subject} at {site} failed: {reason}"),
    "processing_failed": ("bad", "{subject}: not processed at {site}: {reason}"),
    "processing_moved": ("warn", "{subject} to be processed at {site} instead"),
    "output_missing": ("bad", "Output {subject} is not in Rucio: {reason}"),
    "brake_on": ("warn", "Processing is held: {reason}"),
    "brake_off": ("good", "Processing goes on: {reason}"),
    "policy_changed": ("info", "Policy of processing: {policy} instead of {before}"),
    "sample_failed": ("warn", "{subject} not sampled: {reason}"),
    "samples_skipped": ("warn", "STFs were not sampled: {reason}"),
    "slicing_skipped": ("warn", "Samples were not cut into slices: {reason}"),
    "slices_skipped": ("warn", "Slices were not processed: {reason}"),
    "slice_failed": ("bad", "{subject} not processed: {reason}"),
    "run_imminent_worker": ("quiet", "Workers of slices are told of the run"),
    "dispatching_started": ("quiet", "Slices are given out; workers up: {workers}"),
    "workers_wanted": ("quiet", "Workers of slices wanted: {wanted} instead of {before}"),
    "backlog_policy_changed": ("info", "Policy of too many slices: {policy} instead of {before}"),
    "stop_transformer": ("quiet", "Workers of slices may go"),
    "worker_task_made": ("quiet", "PanDA is to start workers at {site}: {jobs}"),
    "worker_task_submitted": ("info", "PanDA has the task of workers: {jeditaskid}"),
    "worker_task_trouble": ("warn", "Workers cannot be asked of PanDA: {reason}"),
    "worker_task_ended": ("quiet", "The workers of {subject} have left: {reason}"),
    "incident_opened": ("bad", "Incident, {subject}: {reason}"),
    "incident_acknowledged": ("info", "Incident looked at, {subject}"),
    "incident_cleared": ("good", "Incident over, {subject}"),
    "transition_refused": ("bad", "Refused, {facet}: {reason}"),
}


def in_words(kind: str, subject: str, payload: dict[str, Any]) -> tuple[Tone, str]:
    """Tone and sentence of one entry. A kind that nobody has put into words is shown by its name."""
    if kind == "run_closed":
        return _verdict(payload)
    tone, words = _WORDS.get(kind, ("info", "{kind} {subject}"))
    fields = _Gaps(payload | _labels(payload) | {"kind": kind.replace("_", " "), "subject": subject})
    return tone, words.format_map(fields).strip().removesuffix(":").removesuffix(",")


def lacking(missing: Sequence[Mapping[str, Any]]) -> str:
    """What a proof has not found, as numbers: an STF that is safe and only not processed is not missing."""
    unprocessed = sum(item["kind"] == "not processed" for item in missing)
    lost = len(missing) - unprocessed
    parts = [f"{lost} missing" if lost else "", f"{unprocessed} not processed" if unprocessed else ""]
    return ", ".join(filter(None, parts)) or "0 missing"


def _verdict(payload: dict[str, Any]) -> tuple[Tone, str]:
    lacks = lacking(payload.get("missing", []))
    if payload.get("forced_by"):
        return "warn", f"Closed by force with {lacks}: {payload.get('forced_reason', '')}"
    safe = "safe and processed" if payload.get("processed") else "safe"
    match payload.get("state"):
        case RunLifecycle.CLOSED:
            return "good", f"Closed: all {payload.get('expected', 0)} STFs are {safe}"
        case RunLifecycle.ABORTED:
            return "good", f"Aborted: all {payload.get('expected', 0)} STFs taken are {safe}"
        case _:
            return "bad", f"Incomplete: of {payload.get('expected', 0)} STFs {lacks}"


def _labels(payload: dict[str, Any]) -> dict[str, str]:
    """State and substate by their labels; left as they are where the entry has none or an unknown one."""
    try:
        pair = CoreState(payload["state"]).label, CoreSubstate(payload["substate"]).label.lower()
    except (KeyError, ValueError):
        return {}
    return {"state": pair[0], "substate": pair[1]}


class _Gaps(dict[str, Any]):
    """Fields of an entry; one that it does not have is said as nothing."""

    def __missing__(self, key: str) -> str:
        return ""
