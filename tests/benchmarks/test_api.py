"""The measurement of REST with a handful of rows: that it works, and that no request takes more queries of more rows."""

from __future__ import annotations

import json
import re
from dataclasses import asdict

import pytest
from rich.console import Console

from benchmarks.api.command import Effort, Measured, fan_out, measure
from benchmarks.api.filling import Size
from benchmarks.api.site import Site, running_site

SMALL = Size(first_run=200_000, runs=1, stfs_per_run=8)
LARGER = Size(first_run=300_000, runs=3, stfs_per_run=40)
EFFORT = Effort([SMALL, LARGER], 1, 10.0, {(1, 1): 3, (3, 1): 6, (1, 5): 2}, 3, 1.0)
STFS = SMALL.stfs + LARGER.stfs
# A page that is not the last one is counted.
COUNTING = 2


@pytest.mark.services
@pytest.mark.timeout(600)
def test_all_is_answered_in_a_constant_number_of_queries() -> None:
    with running_site() as site, Console(quiet=True).status("") as status:
        forget_use(site)
        few, many = (
            measure(site, size, 900_000 + nth, EFFORT, status) for nth, size in enumerate(EFFORT.sizes)
        )
        check_rows(site)
        fanned_out = [fan_out(site, transport, EFFORT, status) for transport in ("sse", "websocket")]

    assert [latency.what for one in (few, many) for latency in one.lists if latency.status != 200] == []
    few_queries, many_queries = by_question(few), by_question(many)
    assert few_queries.keys() <= many_queries.keys()
    grown = {
        what: (before, many_queries[what])
        for what, before in few_queries.items()
        if many_queries[what] > before + COUNTING
    }
    assert grown == {}
    assert [one.stfs for one in many.registrations] == [3, 6, 10]
    assert all(one.exact for one in fanned_out)
    check_registrations(few, many)
    json.dumps([asdict(few), asdict(many)])


def forget_use(site: Site) -> None:
    """That the token is used is noted once a minute, by one query more of whichever request comes then. Not here."""
    with site.connect() as connection:
        connection.execute("UPDATE agents_apitoken SET last_used_at = now() + interval '1 day'")


def by_question(measured: Measured) -> dict[str, int]:
    """Queries of each request, whatever row it is about."""
    return {
        re.sub(r"[0-9a-f-]*[0-9][0-9a-f-]*", "N", latency.what): latency.queries for latency in measured.lists
    }


def check_rows(site: Site) -> None:
    """What was taken away to fill the tables is back, and the rows are those that were to be."""
    guards = "SELECT count(*) FROM pg_trigger WHERE tgrelid = %s::regclass AND tgenabled = 'O' AND NOT tgisinternal"
    keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid = 'stf_replica'::regclass"
    filled = "SELECT count(*), count(DISTINCT position) FROM runs_journalentry WHERE NOT heard AND position IS NOT NULL"
    with site.connect() as connection:
        assert connection.execute(guards, ["runs_journalentry"]).fetchone() == (1,)
        assert connection.execute(guards, ["stf_tfslice"]).fetchone() == (2,)
        assert connection.execute(keys).fetchone() == (1,)
        assert connection.execute(filled).fetchone() == (10 * STFS, 10 * STFS)


def check_registrations(few: Measured, many: Measured) -> None:
    """Registering an STF takes as many queries whatever there is, and a list of them hardly more than one."""
    assert [one.queries for one in few.registrations] == [one.queries for one in many.registrations]
    alone, _, together = many.registrations
    assert together.queries <= alone.queries + 2
