"""Wrong passwords and tokens: many make the next ones wait, and nobody else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Incident, LoginMark
from apps.agents.services import (
    TooManyGuesses,
    check_password_guess,
    note_right_password,
    note_unknown_token,
    note_wrong_password,
)
from tests.people import a_user
from tests.queries import count_queries

pytestmark = pytest.mark.django_db

HERE, THERE = "10.0.0.1", "10.0.0.2"


class Clock:
    """The time of the services, which only this moves."""

    def __init__(self) -> None:
        self.now = timezone.now()

    def __call__(self) -> datetime:
        return self.now

    def goes_on(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("apps.agents.services.guesses.timezone.now", made)
    return made


@pytest.fixture(autouse=True)
def rates(settings: Any) -> None:
    settings.SWF_WRONG_PER_USER = "3/hour"
    settings.SWF_WRONG_PER_ADDRESS = "5/hour"


def wrong(times: int, name: str, address: str) -> None:
    for _ in range(times):
        check_password_guess(name, address)
        note_wrong_password(name, address)


def wait_of(guess: Callable[[], None]) -> int:
    """The seconds that whoever guesses is told to wait."""
    with pytest.raises(TooManyGuesses) as refusal:
        guess()
    return refusal.value.wait


def test_after_many_wrong_passwords_one_is_tried_from_time_to_time(clock: Clock) -> None:
    wrong(3, "ann", HERE)

    assert wait_of(lambda: check_password_guess("ann", HERE)) == 20 * 60
    clock.goes_on(minutes=20)
    wrong(1, "ann", HERE)
    assert wait_of(lambda: check_password_guess("ann", THERE)) == 20 * 60
    clock.goes_on(hours=1)
    wrong(3, "ann", HERE)


def test_what_is_refused_is_not_counted(clock: Clock) -> None:
    wrong(3, "ann", HERE)
    for _ in range(10):
        wait_of(lambda: check_password_guess("ann", HERE))

    clock.goes_on(minutes=20)

    check_password_guess("ann", HERE)


def test_an_address_is_held_back_whatever_names_it_tries(clock: Clock) -> None:
    for n in range(5):
        wrong(1, f"name-{n}", HERE)

    assert wait_of(lambda: check_password_guess("ann", HERE)) == 12 * 60
    check_password_guess("ann", THERE)


def test_all_of_an_ipv6_network_is_one_address(clock: Clock) -> None:
    for n in range(5):
        wrong(1, f"name-{n}", f"2001:db8::{n}")

    assert wait_of(lambda: check_password_guess("ann", "2001:db8::ffff"))
    check_password_guess("ann", "2001:db8:0:1::1")


def test_who_guesses_a_password_does_not_keep_its_user_out_at_home(clock: Clock) -> None:
    note_right_password("ann", HERE)

    wrong(3, "ann", THERE)

    assert wait_of(lambda: check_password_guess("ann", "10.0.0.3"))
    check_password_guess("ann", HERE)
    clock.goes_on(days=31)
    wrong(3, "ann", THERE)
    assert wait_of(lambda: check_password_guess("ann", HERE))


def test_a_home_is_no_way_around_the_limit_of_its_address(clock: Clock) -> None:
    note_right_password("ann", HERE)

    wrong(5, "ann", HERE)

    assert wait_of(lambda: check_password_guess("ann", HERE))


def test_tokens_and_passwords_do_not_hold_each_other_back(clock: Clock) -> None:
    for _ in range(5):
        note_unknown_token(HERE)

    assert wait_of(lambda: note_unknown_token(HERE)) == 12 * 60
    note_unknown_token(THERE)
    check_password_guess("ann", HERE)
    clock.goes_on(minutes=12)
    note_unknown_token(HERE)


def test_people_are_told_once_of_an_address_and_of_a_user_but_of_no_name_that_is_none() -> None:
    a_user("ann")

    wrong(3, "ann", HERE)
    wrong(2, "my-password", HERE)
    wrong(1, "my-password", THERE)

    told = dict(Incident.objects.filter(kind="guessing").values_list("subject", "reason"))
    assert told.keys() == {"ann", HERE}
    assert told["ann"] == "3 wrong passwords for ann in a row; now one is tried every 20 minutes"


def test_without_rates_all_are_tried(settings: Any) -> None:
    settings.SWF_WRONG_PER_USER = settings.SWF_WRONG_PER_ADDRESS = ""

    wrong(50, "ann", HERE)
    for _ in range(50):
        note_unknown_token(HERE)

    assert not LoginMark.objects.exists()


def test_what_is_of_no_use_any_more_goes(clock: Clock) -> None:
    wrong(3, "bob", THERE)
    clock.goes_on(hours=2)

    note_right_password("ann", HERE)

    assert [mark.key for mark in LoginMark.objects.all()] == [f"ann at {HERE}"]


def test_who_logs_in_again_and_again_costs_one_query_each_time() -> None:
    note_right_password("ann", HERE)

    assert count_queries(lambda: check_password_guess("ann", HERE)) == 1
    assert count_queries(lambda: note_right_password("ann", HERE)) == 1


@pytest.mark.parametrize("name", ["x" * 100_000, "é", " "])
def test_any_name_may_be_wrong(name: str) -> None:
    wrong(3, name, "")

    assert wait_of(lambda: check_password_guess(name, ""))
