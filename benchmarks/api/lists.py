"""Lists and their rows: latency and queries, one request after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from benchmarks.api.client import Answer, Client
from benchmarks.api.site import Site
from benchmarks.numbers import percentile

WARM_UP = 3
# By which field a row is looked up, where that is not `id`; of lists whose rows do not show their key, its table.
LOOKUP = {
    "brakes": "stf_brake",
    "datasets": "run_number",
    "decision-boxes": "run_number",
    "fastmon-files": "tf_file_id",
    "journal": "position",
    "namespaces": "name",
    "processing-jobs": "panda_id",
    "processing-sites": "name",
    "replicas": "stf_replica",
    "run-states": "run_number",
    "runs": "run_number",
    "stf-files": "stf_filename",
    "system-state-events": "event_id",
    "systemagents": "instance_name",
    "workers": "worker_id",
    "workflow-executions": "execution_id",
    "workflow-messages": "message_id",
}
# What the root names beside lists.
DOCUMENTS = frozenset({"schema", "docs", "redoc"})
KEYLESS = frozenset({"stf_brake", "stf_replica"})
# What else is asked of a list. A deep page begins after 100,000 rows where there are so many, in the middle where not.
MORE = {
    "runs": ["run_number={run}", "search=daq-{run}", "ordering=requested_at", "limit=1000", "format=csv"],
    "run-states": ["limit=100", "limit=1000", "lifecycle=closed&limit=100"],
    "workflow-executions": ["limit=100", "limit=1000", "search=daq-{run}", "status=completed&limit=100"],
    "stf-files": [
        "limit=100",
        "run={run}&limit=100",
        "status=processed&limit=100",
        "processing=done&limit=100",
        "registration=registered&limit=100",
        "search={stf}",
        "search=swf.{run}.&limit=100",
        "search=nowhere",
        *(
            f"ordering={field}&limit=100"
            for field in ("sequence", "-generated_at", "size_bytes", "stf_filename")
        ),
        "limit=100&offset={deep}",
        "run={run}&ordering=sequence&limit=100",
        "limit=100&format=csv",
        "limit=1000",
    ],
    "replicas": [
        "limit=1000",
        "run={run}",
        "rse=E1_BNL",
        "state=failed",
        "limit=100&offset={deep}",
        "format=csv",
    ],
    "stf-processings": ["limit=1000", "run={run}", "state=done", "sequence=7", "limit=100&offset={deep}"],
    "processing-jobs": [
        "run={run}",
        "status=failed",
        "sequence=7&run={run}",
        "limit=100&offset={deep}",
        "limit=1000",
    ],
    "processing-outputs": ["run={run}", "name={stf}.out", "limit=100&offset={deep}"],
    "fastmon-samples": ["run={run}", "state=sampled", "ordering=-decided_at", "limit=100&offset={deep}"],
    "fastmon-files": [
        "run={run}&limit=100",
        "stf_filename={stf}",
        "search={stf}",
        "ordering=-created_at&limit=100",
        "limit=100&offset={deep}",
    ],
    "tf-slices": [
        "run={run}&limit=100",
        "status=queued",
        "tf_filename={stf}.tf",
        "limit=100&offset={deep}",
        "limit=1000",
    ],
    "journal": [
        "after={position}",
        "after={position}&limit=1000",
        "run={run}",
        "kind=stf_ready",
        "subject={stf}",
        "run={run}&kind=stf_failed",
        "format=csv",
    ],
    "workflow-messages": [
        "run_id={run}",
        "message_type=stf_ready",
        "sender_agent=data",
        "run_id={run}&format=csv",
    ],
    "system-state-events": ["run_number={run}", "event_type=start_run"],
    "logs": ["level=ERROR", "run={run}", "app_name=data_agent&instance_name=agent-7", "search={stf}"],
    "incidents": ["state=open", "search=incident-77"],
    "dead-letters": ["state=open", "search=nowhere"],
    "systemagents": ["search=agent-7", "ordering=-last_heartbeat"],
}
# Beside the lists.
ALSO = ["logs/summary/?after=2026-01-01T00:00:00Z&run={run}", "runs/{run}/fastmon/"]


@dataclass(frozen=True)
class Latency:
    """Of one request, sent again and again: milliseconds until its answer was read, and what it cost."""

    what: str
    status: int
    requests: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    web_cpu_ms: float
    queries: int
    bytes: int


def measure(
    site: Site, *, run_number: int, requests: int, seconds: float, told: Callable[[str], None]
) -> list[Latency]:
    """Each request up to `requests` times, as long as it is below `seconds` in all.

    Args:
        run_number: a run in the middle of those that are filled in.
        told: called with each request before it is measured.
    """
    found = []
    with site.client() as client:
        for path in _paths(site, client, run_number):
            told(path)
            found.append(_measure(site, client, path, requests, seconds))
    return found


def _paths(site: Site, client: Client, run_number: int) -> Iterator[str]:
    """All requests: of every list of the API's root the list, its first row, and more."""
    with site.connect() as connection:
        stf = f"swf.{run_number}.000007.stf"
        rows = connection.execute(
            "SELECT count(*), (SELECT max(position) FROM runs_journalentry) FROM stf_stffile"
        )
        stfs, newest = rows.fetchone() or (0, 0)
        known = {
            "run": str(run_number),
            "stf": stf,
            "position": str(newest // 2),
            "deep": str(100_000 if stfs > 200_000 else stfs // 2),
        }
    for name in sorted(client.get("/api/").json().keys() - DOCUMENTS):
        yield f"/api/{name}/"
        if key := _key(site, client, name):
            yield f"/api/{name}/{key}/"
        yield from (f"/api/{name}/?{query.format(**known)}" for query in MORE.get(name, ()))
    yield from (f"/api/{path.format(**known)}" for path in ALSO)


def _key(site: Site, client: Client, name: str) -> str:
    """By what the first row of a list is looked up; empty without a row."""
    field = LOOKUP.get(name, "id")
    if field in KEYLESS:
        with site.connect() as connection:
            newest = connection.execute(f"SELECT max(id) FROM {field}").fetchone()
        return str(newest[0]) if newest and newest[0] else ""
    said = client.get(f"/api/{name}/?limit=1").json()
    rows = said.get("results") if isinstance(said, Mapping) else said
    return str(rows[0][field]) if rows else ""


def _measure(site: Site, client: Client, path: str, requests: int, seconds: float) -> Latency:
    for _ in range(min(WARM_UP, requests)):
        answer = client.ask("GET", path)
    taken: list[float] = []
    cpu = site.web_cpu_seconds()
    while len(taken) < requests and sum(taken) < seconds:
        began = time.perf_counter()
        answer = client.ask("GET", path)
        taken.append(time.perf_counter() - began)
    cpu = site.web_cpu_seconds() - cpu
    return _latency(path, answer, sorted(taken), cpu / len(taken))


def _latency(path: str, answer: Answer, taken: list[float], cpu: float) -> Latency:
    p50, p95, p99 = (round(1000 * percentile(taken, share), 2) for share in (0.5, 0.95, 0.99))
    parts = urlsplit(path)
    what = parts.path.removeprefix("/api/") + (f"?{parts.query}" if parts.query else "")
    return Latency(
        what, answer.status, len(taken), p50, p95, p99, round(1000 * cpu, 2), answer.queries, len(answer.body)
    )
