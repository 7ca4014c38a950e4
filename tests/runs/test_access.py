"""What roles, namespaces and tokens allow: decided by one function, for every combination of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.runs.access import EVERYWHERE, NO_NAMESPACE, RIGHTS, Person, Right, Role, open_to, refusal

SPACES = ("day", "night")
PLACES = (*SPACES, NO_NAMESPACE)
people = st.builds(
    Person,
    name=st.just("ann"),
    roles=st.frozensets(st.sampled_from(Role)),
    namespaces=st.frozensets(st.sampled_from((*SPACES, EVERYWHERE))),
    scopes=st.none() | st.frozensets(st.sampled_from(("read", "write"))),
    within=st.sampled_from(("", *SPACES)),
    anybody_reads=st.booleans(),
)
wishes = st.tuples(st.sampled_from(Right), st.lists(st.sampled_from(PLACES), max_size=2))


def a(role: Role, *namespaces: str) -> Person:
    return Person("ann", frozenset({role}), frozenset(namespaces))


@pytest.mark.parametrize(("role", "right"), product(Role, Right))
def test_each_role_includes_those_before_it(role: Role, right: Right) -> None:
    order = {Right.READ: Role.VIEWER, Right.REPORT: Role.AGENT, Right.OPERATE: Role.OPERATOR}
    ranks = list(Role)

    allowed = ranks.index(role) >= ranks.index(order.get(right, Role.ADMIN))

    assert (right in RIGHTS[role]) == allowed
    assert (refusal(a(role, "day"), right, ["day"]) == "") == allowed


@pytest.mark.parametrize(
    ("person", "right", "place", "words"),
    [
        (a(Role.OPERATOR, "day"), Right.OPERATE, "night", "of the namespace night; ann acts in day"),
        (a(Role.OPERATOR), Right.OPERATE, "day", "ann acts in none: ask an admin"),
        (a(Role.OPERATOR, "day"), Right.OPERATE, NO_NAMESPACE, "concerns all namespaces; ann acts in day"),
        (a(Role.AGENT), Right.REPORT, NO_NAMESPACE, "ann acts in none"),
        (a(Role.AGENT, "day"), Right.REPORT, "night", "of the namespace night"),
        (a(Role.VIEWER, "day"), Right.OPERATE, "day", "needs the role operator; ann has viewer"),
        (a(Role.OPERATOR, EVERYWHERE), Right.ADMINISTER, NO_NAMESPACE, "needs the role admin"),
        (Person("ann"), Right.READ, "day", "needs the role viewer; ann has no role"),
        (Person(), Right.READ, "day", "log in, or bring a token"),
        (Person(anybody_reads=True), Right.OPERATE, "day", "log in, or bring a token"),
    ],
)
def test_a_refusal_says_what_is_lacking(person: Person, right: Right, place: str, words: str) -> None:
    assert words in refusal(person, right, [place])


@pytest.mark.parametrize(
    ("person", "right", "place"),
    [
        (a(Role.ADMIN), Right.OPERATE, "night"),
        (a(Role.ADMIN), Right.ADMINISTER, NO_NAMESPACE),
        (a(Role.OPERATOR, EVERYWHERE), Right.OPERATE, NO_NAMESPACE),
        (a(Role.AGENT, "day"), Right.REPORT, NO_NAMESPACE),
        (a(Role.VIEWER), Right.READ, "night"),
        (Person(anybody_reads=True), Right.READ, NO_NAMESPACE),
        (Person("ann", anybody_reads=True), Right.READ, "night"),
    ],
)
def test_what_is_allowed(person: Person, right: Right, place: str) -> None:
    assert refusal(person, right, [place]) == ""


@given(people, wishes)
def test_a_token_never_allows_more_than_its_user_may(person: Person, wish: tuple[Right, list[str]]) -> None:
    whole = Person(person.name, person.roles, person.namespaces, anybody_reads=person.anybody_reads)

    if refusal(person, *wish) == "":
        assert refusal(whole, *wish) == ""
        assert not person.within or set(wish[1]) <= {person.within, NO_NAMESPACE}


@given(people, wishes)
def test_nobody_acts_outside_of_its_namespaces(person: Person, wish: tuple[Right, list[str]]) -> None:
    right, places = wish
    acts = right != Right.READ and Role.ADMIN not in person.roles and EVERYWHERE not in person.namespaces

    if acts and refusal(person, right, places) == "":
        assert set(places) - {NO_NAMESPACE} <= person.namespaces


@given(people, wishes, st.sampled_from(Role))
def test_one_more_role_never_takes_anything_away(
    person: Person, wish: tuple[Right, list[str]], role: Role
) -> None:
    more = Person(
        person.name,
        person.roles | {role},
        person.namespaces,
        person.scopes,
        person.within,
        person.anybody_reads,
    )

    if refusal(person, *wish) == "":
        assert refusal(more, *wish) == ""


@given(people, st.sampled_from(SPACES))
def test_what_is_open_to_a_person_is_where_it_may_report(person: Person, place: str) -> None:
    spaces = open_to(person)

    may = not refusal(person, Right.REPORT, [place])
    able = not refusal(replace(person, namespaces=frozenset({EVERYWHERE}), within=""), Right.REPORT, [place])
    assert may == (able and (spaces is None or place in spaces))
