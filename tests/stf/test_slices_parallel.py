"""Several connections at the same slices at the same moment: the counts stay exact, and nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from apps.stf import services
from apps.stf.models import TFSlice
from tests.factories import kinds
from tests.parallel import in_parallel
from tests.slices import a_sliced_run, counted, done, expire, failed, heard, silence, states, to_cut

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("exit_buffer")]


def test_two_dispatchers_give_nothing_out_twice_and_not_too_much() -> None:
    run = a_sliced_run(4)
    claimed: list[TFSlice] = []

    def dispatch() -> None:
        for _ in range(5):
            claimed.extend(services.claim_slices(3))

    in_parallel(dispatch, dispatch)

    assert len(claimed) == len({one.pk for one in claimed}) == 6
    assert counted(run) == states(run) == {"queued": 18, "claimed": 6}


def test_results_repetitions_failures_expiry_and_loss_race() -> None:
    run, other = a_sliced_run(5), a_sliced_run(5)
    claimed = services.claim_slices(20)
    for one in claimed[:10]:
        heard("worker-1", status="busy", req_id=one.req_id, attempt=1)

    in_parallel(
        each(done, claimed[:30]),
        each(done, claimed[29::-1]),
        each(failed, claimed[20:]),
        each(expired, claimed[5:25]),
        lost,
        lambda: [services.claim_slices(20) for _ in range(10)],
    )

    assert (counted(run), counted(other)) == (states(run), states(other))
    assert set(TFSlice.objects.filter(pk__in=[one.pk for one in claimed[:20]]).values_list("status")) == {
        ("done",)
    }


def each(call: Callable[[TFSlice], object], slices: Sequence[TFSlice]) -> Callable[[], object]:
    """The call for one slice after the other, a transaction each."""
    return lambda: [call(one) for one in slices]


def expired(one: TFSlice) -> None:
    expire(one)
    services.return_expired()


def lost() -> None:
    silence("worker-1")
    services.mark_lost()


def test_the_last_slices_of_a_sample_end_together_and_it_is_processed_once() -> None:
    run = a_sliced_run(6, slices_per_sample=2)
    claimed = services.claim_slices(6)
    in_parallel(
        lambda: [done(one) for one in claimed[::2]],
        lambda: [done(one) for one in claimed[1::2]],
    )

    assert kinds(run, "sample_processed") == ["sample_processed"] * 6
    assert counted(run) == {"done": 12}


def test_two_cutters_cut_each_sample_once() -> None:
    run = a_sliced_run()
    to_cut(run, *range(2, 12))
    cut = in_parallel(lambda: services.cut_samples(20), lambda: services.cut_samples(20))

    assert sorted(map(int, map(str, cut))) == [0, 10]
    assert counted(run) == states(run) == {"queued": 66}
