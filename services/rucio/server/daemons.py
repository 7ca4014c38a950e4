"""Rucio's daemons as steps of one loop.

They are the bodies of Rucio's own daemons without sleeps, partitions and heartbeats: this process is the only
worker of its catalogue, so every step takes all the work there is, from the first pass after a restart on.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from typing import Any

from rucio.common.exception import RequestNotFound
from rucio.core.request import (
    DirectTransfer,
    TransferStatsManager,
    list_and_mark_transfer_requests_and_source_replicas,
    transition_requests_state_if_possible,
)
from rucio.core.rule import get_updated_dids
from rucio.core.topology import ExpiringObjectCache, Topology
from rucio.core.transfer import (
    ProtocolFactory,
    build_transfer_paths,
    ensure_db_sources,
    list_transfer_admin_accounts,
    mark_submitting,
    set_transfers_state,
    update_transfer_state,
)
from rucio.daemons.abacus import collection_replica
from rucio.daemons.conveyor import finisher
from rucio.daemons.judge import evaluator, repairer
from rucio.db.sqla.constants import DatabaseOperationType, RequestState, RequestType
from rucio.db.sqla.models import Request
from rucio.db.sqla.session import db_session
from sqlalchemy import update

from services.loop import Step
from services.rucio.server.copies import Copy, Pool, now

DIDS_PER_PASS = 20
# Few at a time, so that a pass is soon over when something urgent comes.
TRANSFERS_PER_PASS = 30
TRANSFERTOOL = "testbed"
# Transfers handed to the pool at most: more would only wait there, where a restart forgets them.
POOL_DEPTH = 200
OUTCOMES_PER_TRANSACTION = 30
TOPOLOGY_SECONDS = 30
# What is attached meanwhile is copied together: a pass costs as much for one file as for some.
EVALUATE_EVERY = 0.5
REPAIR_EVERY = 1.0
ABACUS_EVERY = 2.0


class OnlyWorker:
    """Stands in for Rucio's heartbeat, by which workers share out the work: worker 0 of 1."""

    short_executable = "swf-testbed"

    def live(self, **_options: Any) -> tuple[int, int, Any]:
        """Worker number, number of workers, logger."""
        return 0, 1, logging.log


ALONE = OnlyWorker()


def steps(pool: Pool, scheme: str) -> list[Step]:
    """All daemons, in the order in which a transfer meets them; copies go by `scheme`, `file` or `root`."""
    topology = ExpiringObjectCache(ttl=TOPOLOGY_SECONDS, new_obj_fnc=Topology)
    statistics = TransferStatsManager()
    statistics.record_stats = False
    return [
        Step("evaluator", evaluate, every=EVALUATE_EVERY),
        Step("submitter", lambda: submit(pool, topology, scheme)),
        Step("receiver", lambda: receive(pool, statistics)),
        Step("finisher", lambda: finish(topology)),
        Step("repairer", repair, every=REPAIR_EVERY),
        Step("abacus", count, every=ABACUS_EVERY),
    ]


def requeue_interrupted() -> int:
    """Queue again what an earlier process had taken on, for its copies died with it: how many they were."""
    with db_session(DatabaseOperationType.WRITE) as session:
        statement = (
            update(Request)
            .where(Request.state == RequestState.SUBMITTED)
            .values(state=RequestState.QUEUED, external_id=None)
            .execution_options(synchronize_session=False)
        )
        return int(session.execute(statement).rowcount)


def evaluate() -> int:
    """Apply the rules of datasets to what was attached or detached."""
    waiting = get_updated_dids(total_workers=1, worker_number=0, limit=1)
    if waiting:
        # A fresh dictionary every time: a dataset that is locked just now, as by a client that attaches the
        # next file, would be put aside in it for up to ten minutes.
        evaluator.run_once(paused_dids={}, did_limit=DIDS_PER_PASS, heartbeat_handler=ALONE)
    return len(waiting)


def submit(pool: Pool, topology: ExpiringObjectCache, scheme: str) -> int:
    """Choose a source for queued transfers and start their copies.

    One transaction books them all as submitted, then they are started. A crash in between does no harm
    (`requeue_interrupted`), and it spares two commits for every file.
    """
    limit = min(TRANSFERS_PER_PASS, POOL_DEPTH - pool.active)
    if limit <= 0:
        return 0
    routes = topology.get()
    requests = list_and_mark_transfer_requests_and_source_replicas(
        rse_collection=routes,
        total_workers=1,
        worker_number=0,
        limit=limit,
        request_type=[RequestType.TRANSFER],
        request_state=RequestState.QUEUED,
    )
    if not requests:
        return 0
    paths, without_source, mismatched, on_tape, _ = build_transfer_paths(
        topology=routes,
        protocol_factory=ProtocolFactory(),
        requests_with_sources=requests.values(),
        admin_accounts=list_transfer_admin_accounts(),
        schemes=[scheme],
        failover_schemes=[],
        transfertools=[TRANSFERTOOL],
    )
    for ids, state in (
        (without_source, RequestState.NO_SOURCES),
        (mismatched, RequestState.MISMATCH_SCHEME),
        (on_tape, RequestState.ONLY_TAPE_SOURCES),
    ):
        transition_requests_state_if_possible(ids, state)
    # The best path comes first, and every path is a single hop: all RSEs have a distance to each other.
    job = str(uuid.uuid4())
    for transfer in _book_submitted(job, (candidates[0][-1] for candidates in paths.values())):
        pool.submit(_copy(job, transfer))
    return len(requests)


def _book_submitted(job: str, transfers: Iterable[DirectTransfer]) -> list[DirectTransfer]:
    """Book the transfers as submitted; returned are those whose requests have not been cancelled."""
    booked = []
    with db_session(DatabaseOperationType.WRITE) as session:
        for transfer in transfers:
            try:
                mark_submitting(transfer, TRANSFERTOOL, logger=logging.log, session=session)
            except RequestNotFound:
                continue
            ensure_db_sources([transfer], logger=logging.log, session=session)
            booked.append(transfer)
        set_transfers_state(
            booked,
            state=RequestState.SUBMITTED,
            submitted_at=now(),
            external_host=TRANSFERTOOL,
            external_id=job,
            transfertool=TRANSFERTOOL,
            session=session,
            logger=logging.log,
        )
    return booked


def _copy(job: str, transfer: DirectTransfer) -> Copy:
    return Copy(
        request_id=transfer.rws.request_id,
        job=job,
        source=transfer.source_url(transfer.src),
        target=transfer.dest_url,
        target_rse=transfer.dst.rse.name,
        size=transfer.rws.byte_count,
        adler32=transfer.rws.adler32,
    )


def receive(pool: Pool, statistics: TransferStatsManager) -> int:
    """Book the copies that have ended, many in one transaction; after an error they are taken again."""
    outcomes = pool.take(OUTCOMES_PER_TRANSACTION)
    try:
        with db_session(DatabaseOperationType.WRITE) as session:
            for outcome in outcomes:
                # None is how Rucio says that it has logged and swallowed an error, of the database as a rule.
                if update_transfer_state(outcome, statistics, session=session) is None:
                    raise RuntimeError(f"request {outcome.request_id} could not be updated (see the log)")
    except Exception:
        pool.give_back(outcomes)
        raise
    return len(outcomes)


def finish(topology: ExpiringObjectCache) -> int:
    """Turn ended transfers into replicas and locks; queue failed ones again, three times."""
    _, (requests, routes) = finisher._fetch_requests(
        db_bulk=TRANSFERS_PER_PASS,
        set_last_processed_by=False,
        cached_topology=topology,
        heartbeat_handler=ALONE,
        activity=None,
    )
    if requests:
        finisher._handle_requests(
            (requests, routes),
            bulk=TRANSFERS_PER_PASS,
            suspicious_patterns=[],
            retry_protocol_mismatches=False,
        )
    return len(requests)


def repair() -> int:
    """Look at stuck rules again. A lock rests for two hours, says Rucio, unless its rule is boosted."""
    repairer.run_once(paused_rules={}, delta=10, heartbeat_handler=ALONE)
    return 0


def count() -> int:
    """Keep the sums of datasets per RSE up to date."""
    collection_replica.run_once(heartbeat_handler=ALONE, limit=100)
    return 0
