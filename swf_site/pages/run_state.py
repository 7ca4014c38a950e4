"""What the moving parts of a run page show, as one JSON object: in the page, and as the snapshot of its WebSocket."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import TypedDict

from django.utils import timezone

from apps.agents.models import DaqCheckpoint
from apps.runs.choices import RunLifecycle
from apps.runs.models import Run
from apps.runs.selectors import expected_stfs, get_run, journal_counts
from apps.stf.choices import BufferState, ProcessingState, Registration, ReplicaState
from apps.stf.models import CloseoutProof
from apps.stf.selectors import (
    SiteCounts,
    StfCell,
    counts_before,
    last_sequence,
    site_counts,
    stf_cells,
)
from apps.stf.selectors.progress import (
    ProcessingCell,
    box_of,
    processing_cells,
    site_counts_before,
    sites_in_use,
)

# STFs drawn one by one. Older ones are only counted, unless they are not safe yet.
DRAWN = 5_000
RATE_SECONDS = 60
# Kinds of missing STFs that show in no other way; the other kinds may mend by themselves, and their own states tell.
LOST = {"not sent", "registered but gone"}

# How far an STF has come in a stage; the last: it is to be processed elsewhere.
NOT_YET, UNDER_WAY, DONE, FAILED, ELSEWHERE = ".wdf-"
PROCESSED = "stf_processed"


class Stage(TypedDict):
    """One stage of the pipeline. `kind` and `rse` (or site) say which journal entries mean that an STF has reached it."""

    key: str
    label: str
    kind: str
    rse: str


class RunState(TypedDict):
    """The state of all STFs of a run.

    `stfs` holds sequence and one letter per stage; `reasons` the reason by sequence where something failed; `unlisted`,
    by stage, the number of STFs that are through it and too old to be listed, and `unlisted_open` and `unlisted_failed`,
    by stage of processing, of those that are not; `recent`, by stage, the number of arrivals by age in seconds,
    the youngest first.
    """

    run_number: int
    expected: int | None
    stages: list[Stage]
    stfs: list[tuple[int, str]]
    reasons: dict[int, str]
    unlisted: dict[str, int]
    unlisted_open: dict[str, int]
    unlisted_failed: dict[str, int]
    recent: dict[str, list[int]]
    now: str


def stages_of(run: Run, sites: Iterable[str] = ()) -> list[Stage]:
    """The stages an STF of this run goes through, which is processed at these sites."""
    rses = run.parameters["replication"]["rses"]
    return [
        Stage(key="generated", label="Generated", kind="stf_gen", rse=""),
        Stage(key="registered", label="Registered", kind="stf_ready", rse=""),
        *(Stage(key=rse, label=rse, kind="stf_replicated", rse=rse) for rse in rses),
        Stage(key="safe", label="Safe", kind="stf_releasable", rse=""),
        Stage(key="released", label="Released", kind="stf_released", rse=""),
        *(_processed_at(site) for site in sites),
    ]


def run_state(run: Run) -> RunState:
    """The state of a run, in a constant number of queries."""
    sites = sites_in_use(box_of(run), site_counts([run]).get(run.pk, {}))
    stages = stages_of(run, sites)
    rses = run.parameters["replication"]["rses"]
    # The DAQ's word may be ahead of the table that the data agent fills.
    announced, last = _announced(run), last_sequence(run)
    since = max(1, max(announced, last) - DRAWN + 1)
    cells = stf_cells(run, since=since)
    nothing = NOT_YET * (len(stages) - 2)
    stfs = dict.fromkeys(range(since, announced + 1), DONE + UNDER_WAY + nothing)
    places = _places(processing_cells(run, since=since) if sites else [])
    stfs |= {
        cell.sequence: _letters(cell, rses) + _places_in_letters(cell, places[cell.sequence], sites)
        for cell in cells
    }
    older = _older_places(run, sites, since)
    missing = _missing(run)
    for sequence in missing:
        letters = stfs.get(sequence, NOT_YET * len(stages))
        stfs[sequence] = letters if FAILED in letters else _fail_next(letters)
    return RunState(
        run_number=run.run_number,
        expected=expected_stfs(run),
        stages=stages,
        stfs=sorted(stfs.items()),
        reasons=missing
        | {cell.sequence: reason for cell in cells if (reason := _reason(cell, places[cell.sequence]))},
        unlisted=_unlisted(run, stages, cells, since) | {key: one.processed for key, one in older.items()},
        unlisted_open={key: one.total - one.processed - one.failed for key, one in older.items()},
        unlisted_failed={key: one.failed for key, one in older.items()},
        recent=_recent(run, stages),
        now=timezone.now().isoformat(),
    )


class Reached(Stage):
    """How many STFs are through a stage, of how many, how many failed in it, and arrivals per second over 10 and 60
    seconds.
    """

    done: int
    of: int | None
    failed: int
    rate_10: float
    rate_60: float


def pipeline(state: RunState) -> list[Reached]:
    """The stages of a state with their numbers."""
    return [
        Reached(
            **stage,
            done=state["unlisted"][stage["key"]] + sum(row[nth] == DONE for _, row in state["stfs"]),
            of=_wanted(state, nth) if stage["kind"] == PROCESSED else state["expected"],
            failed=_unlisted_failed(state, nth) + sum(row[nth] == FAILED for _, row in state["stfs"]),
            rate_10=sum(state["recent"][stage["key"]][:10]) / 10,
            rate_60=sum(state["recent"][stage["key"]]) / RATE_SECONDS,
        )
        for nth, stage in enumerate(state["stages"])
    ]


def _wanted(state: RunState, nth: int) -> int:
    """How many STFs have been given to this stage."""
    key = state["stages"][nth]["key"]
    listed = sum(row[nth] not in (NOT_YET, ELSEWHERE) for _, row in state["stfs"])
    return state["unlisted"][key] + state["unlisted_open"][key] + _unlisted_failed(state, nth) + listed


def _unlisted_failed(state: RunState, nth: int) -> int:
    return state["unlisted_failed"].get(state["stages"][nth]["key"], 0)


def live_content(run_number: int | None) -> dict[str, object]:
    """The content of a snapshot: of a run its state; the list of runs is loaded anew by its page.

    Raises:
        NotFound: there is no run of this number.
    """
    return {} if run_number is None else dict(run_state(get_run(run_number)))


def _letters(cell: StfCell, rses: Iterable[str]) -> str:
    registered = {
        Registration.REGISTERED.value: DONE,
        Registration.FAILED.value: FAILED,
        Registration.GENERATED.value: UNDER_WAY,
    }[cell.registration]
    if cell.buffer != BufferState.HELD:
        copies = DONE * len(list(rses))
        return DONE + registered + copies + DONE + (DONE if cell.buffer == BufferState.RELEASED else NOT_YET)
    return DONE + registered + "".join(_copy(cell, rse) for rse in rses) + NOT_YET * 2


def _copy(cell: StfCell, rse: str) -> str:
    state, _ = cell.replicas.get(rse, ("", ""))
    match state:
        case "":
            return NOT_YET
        case ReplicaState.VERIFIED:
            return DONE
        case ReplicaState.FAILED:
            return FAILED
        case _:
            return UNDER_WAY


def _processed_at(site: str) -> Stage:
    return Stage(key=f"processed-{site}", label=f"{site} processed", kind=PROCESSED, rse=site)


def _places(cells: Iterable[ProcessingCell]) -> defaultdict[int, dict[str, ProcessingCell]]:
    """The processings by sequence and site."""
    places: defaultdict[int, dict[str, ProcessingCell]] = defaultdict(dict)
    for cell in cells:
        places[cell.sequence][cell.site] = cell
    return places


def _places_in_letters(cell: StfCell, places: dict[str, ProcessingCell], sites: Iterable[str]) -> str:
    nowhere = ELSEWHERE if cell.registration == Registration.REGISTERED else NOT_YET
    letter_of = {ProcessingState.DONE.value: DONE, ProcessingState.FAILED.value: FAILED}
    return "".join(
        letter_of.get(places[site].state, UNDER_WAY) if site in places else nowhere for site in sites
    )


def _reason(cell: StfCell, places: dict[str, ProcessingCell]) -> str:
    failed = [f"{rse}: {reason}" for rse, (_, reason) in cell.replicas.items() if reason]
    tried = [f"processing at {place.site}: {place.reason}" for place in places.values() if place.reason]
    return "; ".join(filter(None, [cell.reason, *failed, *tried]))


def _announced(run: Run) -> int:
    """How many STFs the DAQ has made."""
    checkpoint = DaqCheckpoint.objects.filter(run=run).first()
    return checkpoint.next_sequence - 1 if checkpoint else 0


def _missing(run: Run) -> dict[int, str]:
    """Kind and reason, by sequence, of what only the closeout knows to be lost, once it has given up waiting."""
    proof = CloseoutProof.objects.filter(run=run).first()
    if proof is None or run.lifecycle == RunLifecycle.ENDED:
        return {}
    lost = (item for item in proof.missing if item["kind"] in LOST)
    return {item["sequence"]: f"{item['kind']}: {item['reason']}" for item in lost}


def _fail_next(letters: str) -> str:
    """What an STF lacks is the first stage it is not through."""
    nth = next(
        (nth for nth, letter in enumerate(letters) if letter not in (DONE, ELSEWHERE)), len(letters) - 1
    )
    return letters[:nth] + FAILED + letters[nth + 1 :]


def _unlisted(run: Run, stages: list[Stage], cells: list[StfCell], since: int) -> dict[str, int]:
    """By stage, the STFs before `since` that are not among the cells: all of them are safe."""
    if since <= 1:
        return {stage["key"]: 0 for stage in stages}
    before, released = counts_before(run, since)
    safe = before - sum(cell.sequence < since for cell in cells)
    return {stage["key"]: released if stage["key"] == "released" else safe for stage in stages}


def _older_places(run: Run, sites: Iterable[str], since: int) -> dict[str, SiteCounts]:
    """By stage of processing, the STFs before `since` that are not among the cells."""
    older = site_counts_before(run, since) if since > 1 else {}
    return {_processed_at(site)["key"]: older.get(site, SiteCounts()) for site in sites}


def _recent(run: Run, stages: list[Stage]) -> dict[str, list[int]]:
    now = timezone.now()
    since = now - timedelta(seconds=RATE_SECONDS)
    kinds = {stage["kind"] for stage in stages}
    key_of = {(stage["kind"], stage["rse"]): stage["key"] for stage in stages}
    recent = {stage["key"]: [0] * RATE_SECONDS for stage in stages}
    for row in journal_counts(run, kinds, every=timedelta(seconds=1), since=since):
        key = key_of.get((row.kind, row.rse or ""))
        age = min(max(int((now - row.step).total_seconds()), 0), RATE_SECONDS - 1)
        if key:
            recent[key][age] += row.count
    return recent
