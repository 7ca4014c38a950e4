"""Account, scope, storage elements and the paths between them: brought to the wanted state at every start."""

from __future__ import annotations

import itertools
from typing import Any

from rucio.common.types import InternalAccount, InternalScope
from rucio.core.account import account_exists, add_account, add_account_attribute
from rucio.core.account_limit import set_local_account_limit
from rucio.core.distance import add_distance, get_distances
from rucio.core.identity import (
    add_account_identity,
    del_account_identity,
    del_identity,
    exist_identity_account,
)
from rucio.core.rse import (
    add_protocol,
    add_rse,
    add_rse_attribute,
    del_protocols,
    get_rse_id,
    get_rse_protocols,
    rse_exists,
)
from rucio.core.scope import add_scope, check_scope
from rucio.db.sqla.constants import AccountType, DatabaseOperationType, IdentityType
from rucio.db.sqla.session import db_session
from sqlalchemy.orm import Session

from services.rucio.settings import ACCOUNT, SCOPE, Settings
from services.storage import E0

EMAIL = "swf@localhost"
UNLIMITED = -1
LOOPBACK = "127.0.0.1"
# Any number switches an operation on; the lowest is preferred.
LOCAL = {"read": 1, "write": 1, "delete": 1}
DOMAINS = {"lan": LOCAL, "wan": {**LOCAL, "third_party_copy_read": 1, "third_party_copy_write": 1}}


def ensure_topology(settings: Settings) -> None:
    """Make what is missing and adjust what has changed (password, directories, ports), in one transaction."""
    with db_session(DatabaseOperationType.WRITE) as session:
        account = _ensure_account(settings.password, session)
        ids = {rse: _ensure_rse(rse, settings, session) for rse in settings.storage}
        for rse_id in ids.values():
            set_local_account_limit(account, rse_id, UNLIMITED, session=session)
        for source, target in itertools.permutations(ids, 2):
            if not get_distances(ids[source], ids[target], session=session):
                # The exit buffer is the nearest source; a site helps out when the buffer cannot deliver.
                add_distance(ids[source], ids[target], 1 if E0 in (source, target) else 2, session=session)


def _ensure_account(password: str, session: Session) -> InternalAccount:
    """The clients' account, allowed everything, with the current password and its scope."""
    account = InternalAccount(ACCOUNT)
    if not account_exists(account, session=session):
        add_account(account, AccountType.SERVICE, EMAIL, session=session)
        add_account_attribute(account, "admin", True, session=session)  # noqa: FBT003 - Rucio's own signature
    # Made anew and not changed: Rucio has no call that changes a password.
    if exist_identity_account(ACCOUNT, IdentityType.USERPASS, account, session=session):
        del_account_identity(ACCOUNT, IdentityType.USERPASS, account, session=session)
        del_identity(ACCOUNT, IdentityType.USERPASS, session=session)
    add_account_identity(
        ACCOUNT, IdentityType.USERPASS, account, EMAIL, default=True, password=password, session=session
    )
    scope = InternalScope(SCOPE)
    if not check_scope(scope, session=session):
        add_scope(scope, account, session=session)
    return account


def _ensure_rse(rse: str, settings: Settings, session: Session) -> str:
    """The RSE's id. E0 keeps the paths that the DAQ chose, the others have Rucio's hashed ones."""
    if not rse_exists(rse, session=session):
        add_rse(rse, deterministic=rse != E0, session=session)
    rse_id: str = get_rse_id(rse, session=session)
    add_rse_attribute(rse_id, "site", rse, session=session)
    add_rse_attribute(rse_id, "echelon", "0" if rse == E0 else "1", session=session)
    for scheme in {
        protocol["scheme"] for protocol in get_rse_protocols(rse_id, session=session)["protocols"]
    }:
        del_protocols(rse_id, scheme, session=session)
    for protocol in _protocols(rse, settings):
        add_protocol(rse_id, protocol, session=session)
    return rse_id


def _protocols(rse: str, settings: Settings) -> list[dict[str, Any]]:
    protocols: list[dict[str, Any]] = [
        {
            "scheme": "file",
            "hostname": "localhost",
            "port": 0,
            "prefix": f"{settings.storage[rse]}/",
            "impl": "rucio.rse.protocols.posix.Default",
            "domains": DOMAINS,
        }
    ]
    if rse in settings.xrootd:
        protocols.append(
            {
                "scheme": "root",
                "hostname": LOOPBACK,
                "port": settings.xrootd[rse],
                "prefix": "//",
                "impl": "rucio.rse.protocols.xrootd.Default",
                "domains": DOMAINS,
            }
        )
    return protocols
