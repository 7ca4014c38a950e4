"""What a slice_result says, written by our workers or by a transformer of the existing system."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from apps.agents.bus.fast_schemas import SliceResult
from apps.agents.fastproc.results import report_of
from apps.runs.errors import DomainError
from apps.stf.services import SliceReport
from tests.messages import SAMPLES, a_message

SLICE: dict[str, Any] = SAMPLES["slice"]["content"]


def told(**content: Any) -> SliceReport:
    return report_of(
        SliceResult.model_validate(a_message("slice_result", content={"state": "done"} | content))
    )


def given_back(**found: Any) -> dict[str, Any]:
    """The slice as it was given, with what was found, two levels down."""
    return {"state": "done", "result": {**SLICE, **found}, "error": None}


def test_what_was_found_is_told_from_the_slice_as_it_was_given() -> None:
    report = told(
        result=given_back(attempt=2, hits=7, output_file="out.root"),
        processing_start_at="2026-11-26T10:00:00+00:00",
        processed_at="2026-11-26T10:00:01.500000+00:00",
        hostname="wn-7",
    )

    assert report == SliceReport(
        UUID(SLICE["req_id"]),
        good=True,
        worker="wn-7",
        attempt=2,
        seconds=1.5,
        found={"hits": 7, "output_file": "out.root"},
    )


def test_a_failure_says_why_and_names_its_worker() -> None:
    report = told(
        state="failed",
        worker_id="worker-1",
        hostname="wn-7",
        result={"state": "failed", "result": SLICE, "error": "no memory"},
    )

    assert (report.good, report.error, report.worker, report.attempt) == (
        False,
        "no memory",
        "worker-1",
        None,
    )
    assert told(state="failed", error="killed", result=given_back()).error == "killed"


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ({"processing_start_at": 100.0, "processed_at": 102.5}, 2.5),
        ({"processing_start_at": "100.0", "processed_at": "102.5"}, 2.5),
        ({"processing_start_at": 102.5, "processed_at": 100}, None),
        ({"processing_start_at": "noon", "processed_at": 100}, None),
        ({"processed_at": 100}, None),
    ],
)
def test_what_it_took_is_known_by_its_times_as_far_as_they_make_sense(
    times: dict[str, Any], seconds: float | None
) -> None:
    assert told(result=given_back(), **times).seconds == seconds


@pytest.mark.parametrize(
    ("given", "seconds"), [(0.25, 0.25), ("0.25", 0.25), (float("inf"), None), (-1, None)]
)
def test_the_workers_own_word_on_what_it_took_comes_first(given: Any, seconds: float | None) -> None:
    assert told(result=given_back(actual_processing_time=given)).seconds == seconds


@pytest.mark.parametrize("result", [SLICE, {"result": "none", **SLICE}])
def test_the_slice_may_be_named_one_level_higher(result: dict[str, Any]) -> None:
    assert told(result=result).req_id == UUID(SLICE["req_id"])


def test_it_may_be_named_beside_the_result() -> None:
    assert told(state="failed", req_id=SLICE["req_id"], error="killed").req_id == UUID(SLICE["req_id"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "does not say which slice: content.result.result.req_id is missing"),
        ({"result": {"result": {"req_id": "seven"}}}, "req_id 'seven' is no UUID"),
    ],
)
def test_one_that_names_no_slice_is_refused(content: dict[str, Any], reason: str) -> None:
    with pytest.raises(DomainError, match=reason):
        told(**content)
