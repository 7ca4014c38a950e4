"""The catalogue's schema on PostgreSQL, and a connection to it that survives the database's restarts."""

from __future__ import annotations

import logging
import time

from rucio.alembicrevision import ALEMBIC_REVISION
from rucio.common.constants import DEFAULT_VO
from rucio.common.types import InternalAccount
from rucio.db.sqla.constants import AccountStatus, AccountType
from rucio.db.sqla.models import BASE, VO, Account, AlembicVersion
from rucio.db.sqla.session import get_engine
from rucio.db.sqla.util import is_old_db
from sqlalchemy import Engine, event, inspect
from sqlalchemy.exc import DisconnectionError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateSchema

from services.rucio.server.config import SCHEMA

DATABASE_SECONDS = 120.0

log = logging.getLogger(__name__)


def connect() -> Engine:
    """Rucio's own database engine, waiting for PostgreSQL to come up and surviving its restarts.

    Raises:
        OperationalError: there is still no database after two minutes.
    """
    engine = get_engine()
    event.listen(engine, "checkout", _discard_dead_connection)
    deadline = time.monotonic() + DATABASE_SECONDS
    while True:
        try:
            with engine.connect():
                return engine
        except OperationalError as error:
            if time.monotonic() > deadline:
                raise
            log.warning("waiting for the database: %s", " ".join(str(error.orig).split()))
            time.sleep(0.5)


def ensure_schema(engine: Engine) -> None:
    """Build the schema unless it is there, in one transaction: a process killed in the middle leaves nothing.

    Rucio's own bootstrap does the same in many transactions and cannot be repeated.

    Raises:
        RuntimeError: the schema is that of an older Rucio.
    """
    with engine.begin() as connection:
        if SCHEMA not in inspect(connection).get_schema_names():
            connection.execute(CreateSchema(SCHEMA))
            BASE.metadata.create_all(connection)
            with Session(connection) as session:
                session.add(AlembicVersion(version_num=ALEMBIC_REVISION))
                session.add(VO(vo=DEFAULT_VO, description="SWF testbed", email="N/A"))
                # Rucio expects its superuser to exist. It has no identity here: nobody can log in as root.
                session.add(
                    Account(
                        account=InternalAccount("root"),
                        account_type=AccountType.SERVICE,
                        status=AccountStatus.ACTIVE,
                    )
                )
                session.flush()
    if is_old_db():
        raise RuntimeError(
            f"schema {SCHEMA} is older than revision {ALEMBIC_REVISION}: migrate it with alembic, or drop it"
        )


def _discard_dead_connection(dbapi_connection: object, _record: object, _proxy: object) -> None:
    """Have the pool replace a connection whose server has gone; Rucio's configuration cannot ask for that."""
    dialect = get_engine().dialect
    try:
        dialect.do_ping(dbapi_connection)
    except dialect.loaded_dbapi.Error as error:
        raise DisconnectionError(str(error)) from error
