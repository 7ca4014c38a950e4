"""The fast path of a run is made once, from its workflow, by whoever needs it first."""

from __future__ import annotations

import pytest

from apps.stf.choices import BacklogPolicy
from apps.stf.models import FastRun
from apps.stf.services import ensure_fast_run, fastmon_parameters, fastproc_parameters
from tests.factories import a_run

pytestmark = pytest.mark.django_db


def test_it_is_made_from_the_workflow_and_once() -> None:
    run = a_run(backlog_policy="sample_down", target_worker_count=5)
    fast = ensure_fast_run(run)
    assert (fast.backlog_policy, fast.target_worker_count) == (BacklogPolicy.SAMPLE_DOWN, 5)
    assert ensure_fast_run(run) == fast
    assert FastRun.objects.count() == 1


def test_what_was_changed_since_stays() -> None:
    run = a_run()
    ensure_fast_run(run)
    FastRun.objects.update(target_worker_count=9)
    assert ensure_fast_run(run).target_worker_count == 9


def test_a_run_older_than_the_fast_path_has_its_defaults() -> None:
    run = a_run()
    del run.execution.parameter_values["fastmon"]
    del run.execution.parameter_values["fastproc"]
    assert fastmon_parameters(run).stf_sampling_rate == 0.05
    assert fastproc_parameters(run).slices_per_sample == 15
