"""The decision box: where an STF is processed depends on the STF and the policy in force, and on nothing else."""

from __future__ import annotations

import pytest

from apps.runs.errors import DomainError, NotFound
from apps.runs.models import Run
from apps.stf import services
from apps.stf.models import DecisionBox, ProcessingSite
from tests.factories import a_running_run, an_stf, kinds, registered
from tests.processing import BNL, JLAB, a_processed_run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def places(run: Run) -> list[tuple[int, str]]:
    rows = run.processings.order_by("stf__sequence", "site")
    return list(rows.values_list("stf__sequence", "site"))


def test_without_a_policy_nothing_is_processed() -> None:
    run = a_processed_run(policy="none")

    assert places(run) == []
    payload = run.journal.filter(kind="stf_ready")[0].payload
    assert (payload["site"], payload["input_dataset"], payload["decision_box_enabled"]) == ("", "", False)


def test_both_sites_process_everything() -> None:
    run = a_processed_run(policy="both")

    assert places(run) == [(1, BNL), (1, JLAB), (2, BNL), (2, JLAB)]
    payload = run.journal.filter(kind="stf_ready")[0].payload
    assert payload["site"] == "E1_BNL,E1_JLAB"
    number = run.run_number
    assert payload["input_dataset"] == f"group.daq:run.{number}.E1_BNL,group.daq:run.{number}.E1_JLAB"


def test_the_sites_take_turns_by_sequence_whatever_order_the_stfs_come_in() -> None:
    run = a_running_run(policy="round-robin")
    for sequence in (3, 1, 4, 2):
        registered(an_stf(run, sequence))

    assert places(run) == [(1, BNL), (2, JLAB), (3, BNL), (4, JLAB)]
    assert run.journal.get(kind="stf_ready", payload__sequence=2).payload["site"] == JLAB


def test_the_hash_of_the_name_spreads_them_and_never_changes() -> None:
    first, again = (a_processed_run(8, policy="hash") for _ in range(2))

    assert {site for _, site in places(first)} == {BNL, JLAB}
    box = DecisionBox.objects.get(run=again)
    assert places(again) == [
        (stf.sequence, *services.sites_of(box, stf)) for stf in again.stf_files.order_by("sequence")
    ]


def test_explicit_rules_name_sequences_and_leave_the_others_alone() -> None:
    run = a_processed_run(4, policy="explicit", rules=["E1_BNL:1-2", "E1_JLAB:2-2", "E1_BNL:4"])

    assert places(run) == [(1, BNL), (2, BNL), (2, JLAB), (4, BNL)]


def test_the_sites_are_those_that_hold_a_copy_unless_others_are_named() -> None:
    assert DecisionBox.objects.get(run=a_processed_run(rses=[JLAB])).sites == [JLAB]
    assert DecisionBox.objects.get(run=a_processed_run(sites=[JLAB, BNL])).sites == [JLAB, BNL]
    assert set(ProcessingSite.objects.values_list("name", "panda_queue")) == {(BNL, BNL), (JLAB, JLAB)}


def test_a_new_policy_holds_for_stfs_that_are_registered_from_then_on() -> None:
    run = a_processed_run()
    services.set_policy(run.run_number, "both", by="ann")
    registered(an_stf(run, 3))

    assert places(run) == [(1, BNL), (2, JLAB), (3, BNL), (3, JLAB)]
    entry = run.journal.get(kind="policy_changed")
    assert (entry.actor, entry.payload["before"], entry.payload["policy"]) == ("ann", "round-robin", "both")


def test_it_can_be_set_before_the_first_stf_and_names_sites_and_rules() -> None:
    run = a_running_run()
    services.set_policy(run.run_number, "explicit", by="ann", sites=[JLAB], rules=["E1_JLAB:1-9"])
    registered(an_stf(run))

    assert places(run) == [(1, JLAB)]


@pytest.mark.parametrize(
    ("policy", "how", "words"),
    [
        (
            "sometimes",
            {},
            "policy: of run .*: Input should be 'none', 'both', 'round-robin', 'hash' or 'explicit'",
        ),
        ("explicit", {}, "needs rules, such as"),
        ("explicit", {"rules": ["E1_BNL"]}, "rules: of run .*: String should match pattern"),
        ("explicit", {"rules": ["E1_MARS:1"]}, "E1_MARS is none of the sites"),
        ("both", {"sites": ["E1_MARS"]}, "no copy goes to E1_MARS; its copies go to E1_BNL, E1_JLAB"),
        ("both", {"by": " "}, "needs a name"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_with_the_way_out(
    policy: str, how: dict[str, object], words: str
) -> None:
    run = a_running_run()
    with pytest.raises(DomainError, match=words):
        services.set_policy(run.run_number, policy, **{"by": "ann", **how})  # type: ignore[arg-type]
    assert "policy_changed" not in kinds(run)


def test_an_unknown_run_is_named() -> None:
    with pytest.raises(NotFound, match="there is no run 7"):
        services.set_policy(7, "both", by="ann")


def test_an_stf_whose_site_is_down_is_registered_for_the_other() -> None:
    a_processed_run()
    services.site_down(JLAB, by="ann", reason="flood")
    run = a_processed_run()

    assert places(run) == [(1, BNL), (2, BNL)]
    assert run.journal.get(kind="stf_ready", payload__sequence=2).payload["site"] == BNL
