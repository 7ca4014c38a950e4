"""Samples are cut into slices: how many, of which samples, and which wait no longer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.runs.errors import DomainError, NotFound
from apps.stf import selectors, services
from apps.stf.models import FastMonSample, TFSlice
from apps.stf.services.slice_cutting import is_kept, shared_out
from tests.factories import a_running_run
from tests.slices import SLICED, a_sliced_run, counted, states, to_cut

COUNTS = st.lists(st.integers(0, 30), max_size=8)


@given(total=st.integers(0, 200), room=COUNTS)
def test_what_is_shared_out_is_even_and_as_much_as_there_is_room_for(total: int, room: list[int]) -> None:
    shares = shared_out(total, room)

    assert sum(shares) == min(total, sum(room))
    assert all(share <= most for share, most in zip(shares, room, strict=True))
    not_full = [share for share, most in zip(shares, room, strict=True) if share < most]
    assert not not_full or max(shares) - min(not_full) <= 1


@given(open_slices=st.integers(0, 500), limit=st.integers(1, 200))
def test_sampling_down_keeps_less_the_more_waits(open_slices: int, limit: int) -> None:
    kept = [sequence for sequence in range(64) if is_kept(sequence, open_slices, limit)]
    kept_with_more = [sequence for sequence in range(64) if is_kept(sequence, open_slices + 1, limit)]

    assert set(kept_with_more) <= set(kept)
    assert len(kept) == 64 if open_slices <= limit else len(kept) <= 32
    if open_slices >= 2 * limit:
        assert not kept


@pytest.mark.django_db
@pytest.mark.usefixtures("exit_buffer")
class TestCutting:
    def test_the_slices_of_a_sample_are_shared_over_its_files_and_cover_them(self) -> None:
        run = a_running_run(**SLICED | {"slices_per_sample": 5})
        to_cut(run, 1, length=7)
        assert services.cut_samples() == 1

        ranges = TFSlice.objects.order_by("pk").values_list("slice_id", "tf_first", "tf_last", "tf_count")
        assert list(ranges) == [
            (0, 1000, 1001, 2),
            (1, 1002, 1003, 2),
            (2, 1004, 1006, 3),
            (0, 1100, 1102, 3),
            (1, 1103, 1106, 4),
        ]
        assert counted(run) == states(run) == {"queued": 5}
        entry = run.journal.get(kind="slices_created")
        assert entry.payload == {"count": 5, "samples": 1, "sequences": [1]}

    @pytest.mark.parametrize(("wanted", "made"), [(1, 2), (2, 2), (7, 7), (100, 10)])
    def test_a_file_has_one_slice_at_least_and_no_more_than_its_tfs(self, wanted: int, made: int) -> None:
        assert counted(a_sliced_run(slices_per_sample=wanted)) == {"queued": made}

    def test_samples_of_several_runs_are_cut_together_once(self) -> None:
        first, second = (a_running_run(**SLICED) for _ in range(2))
        to_cut(first, 1, 2)
        to_cut(second, 1)

        assert (services.cut_samples(), services.cut_samples()) == (3, 0)
        assert (counted(first), counted(second)) == ({"queued": 12}, {"queued": 6})

    def test_no_more_samples_than_asked_for_are_cut_the_oldest_first(self) -> None:
        run = a_running_run(**SLICED)
        to_cut(run, 1, 2, 3)
        services.cut_samples(2)

        slicing = FastMonSample.objects.order_by("sequence").values_list("slicing", flat=True)
        assert list(slicing) == ["cut", "cut", "waiting"]

    def test_with_sample_down_some_are_not_cut_once_too_many_wait(self) -> None:
        run = a_running_run(**SLICED | {"backlog_policy": "sample_down", "backlog_limit": 12})
        to_cut(run, *range(1, 20))
        services.cut_samples()

        cut = FastMonSample.objects.filter(slicing="cut").values_list("sequence", flat=True)
        assert list(cut) == [1, 2, 3, 8]
        skipped = FastMonSample.objects.filter(slicing="skipped").first()
        assert skipped is not None
        assert skipped.slicing_reason == "more than 12 slices wait for workers (policy sample_down)"
        entry = run.journal.get(kind="slicing_skipped")
        assert (entry.payload["samples"], entry.payload["sequences"][0]) == (15, 4)
        assert selectors.slicing_reasons(run) == [(skipped.slicing_reason, 15)]

    def test_with_newest_first_the_oldest_beyond_the_limit_are_skipped(self) -> None:
        run = a_sliced_run(3, backlog_policy="newest_first", backlog_limit=8)
        assert (services.shed_backlogs(), services.shed_backlogs()) == (10, 0)

        assert counted(run) == states(run) == {"queued": 8, "skipped": 10}
        kept = TFSlice.objects.filter(status="queued").values_list("pk", flat=True)
        assert min(kept) > max(TFSlice.objects.filter(status="skipped").values_list("pk", flat=True))
        assert run.journal.get(kind="slices_skipped").payload["count"] == 10
        outcome = run.journal.get(kind="sample_processed").payload
        assert outcome == {"sequence": 1, "done": 0, "failed": 0, "skipped": 6}
        assert [(one.status, one.count) for one in selectors.slice_reasons(run)] == [("skipped", 10)]

    def test_a_policy_that_is_changed_holds_for_those_that_wait(self) -> None:
        run = a_sliced_run(3, backlog_limit=8)
        assert services.shed_backlogs() == 0
        services.set_backlog_policy(run.run_number, "newest_first", by="ann")
        services.set_backlog_policy(run.run_number, "newest_first", by="ann")

        assert services.shed_backlogs() == 10
        entry = run.journal.get(kind="backlog_policy_changed")
        assert (entry.actor, entry.payload) == ("ann", {"before": "all", "policy": "newest_first"})

    @pytest.mark.parametrize(
        ("policy", "by", "error"),
        [
            ("oldest_first", "ann", "there is no backlog policy 'oldest_first'; there are all, newest_first"),
            ("all", " ", "changing the policy needs a name"),
        ],
    )
    def test_a_policy_that_cannot_be_is_refused(self, policy: str, by: str, error: str) -> None:
        with pytest.raises(DomainError, match=error):
            services.set_backlog_policy(a_running_run(**SLICED).run_number, policy, by=by)

    def test_a_run_without_slices_has_no_policy(self) -> None:
        with pytest.raises(DomainError, match="has no slices: its workflow samples or cuts nothing"):
            services.set_backlog_policy(a_running_run().run_number, "all", by="ann")
        with pytest.raises(NotFound):
            services.set_backlog_policy(1, "all", by="ann")
