"""Wrong passwords and tokens: how many may still be tried, counted in the database for all web processes together.

Each wrong one fills a bucket: that of the address it came from, and for a password that of the user too. A full bucket
lets the next one through as soon as it has leaked enough, so nobody is locked out for longer than that. Of tries at the
same moment, a few more may come through.

- Good tokens are always taken, and open sessions go on: only passwords and unknown tokens wait.
- Where a user has logged in lately, only the bucket of the address counts: who guesses the user's password elsewhere
  keeps the user out nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from ..choices import IncidentKind
from ..models import LoginMark
from .incidents import Trouble, open_incidents

_PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_LATELY = timedelta(days=30)
_NOTED_EVERY = timedelta(days=1)
# Longer names are no user's.
_LONGEST_NAME = 150
# Whoever has an IPv6 address has all of its network.
_IPV6_NETWORK = 64


class TooManyGuesses(Exception):
    """Too many were wrong: nothing more is tried for `wait` seconds. The text may be shown to whoever asks."""

    def __init__(self, what: str, wait: timedelta) -> None:
        self.wait = _whole_seconds(wait)
        super().__init__(f"too many wrong {what}; the next try is in {_words(self.wait)}")


@dataclass(frozen=True, slots=True)
class _Bucket:
    """Holds `size` wrong ones and leaks one per `interval`; the database has the time when it will be empty.

    `what` says what it counts, `subject` of which address or user.
    """

    what: str
    subject: str
    size: int
    interval: timedelta

    @property
    def key(self) -> str:
        return f"wrong {self.what}"

    def wait(self, empty_at: datetime, now: datetime) -> timedelta:
        """How long until there is room for one more; not above 0 if there is."""
        return empty_at - now - (self.size - 1) * self.interval


def check_password_guess(name: str, address: str) -> None:
    """A password for this user is about to be tried.

    Raises:
        TooManyGuesses: it is not to be tried now.
    """
    now = timezone.now()
    of_address, of_user = _of_address("passwords", address), _of_user(name)
    at_home = _at_home(name, address)
    marks = _marks([at_home, *(bucket.key for bucket in [*of_address, *of_user])], now)
    _check(of_address, marks, now)
    if at_home not in marks:
        _check(of_user, marks, now)


@transaction.atomic
def note_wrong_password(name: str, address: str) -> None:
    """A password for this user, who need not exist, was wrong."""
    _fill([*_of_address("passwords", address), *_of_user(name)])


def note_right_password(name: str, address: str) -> None:
    """A user has logged in from here: noted once a day, and what is of no use any more goes."""
    now = timezone.now()
    at_home = _at_home(name, address)
    if _marks([at_home], now + _LATELY - _NOTED_EVERY):
        return
    LoginMark.objects.update_or_create(key=at_home, defaults={"until": now + _LATELY})
    LoginMark.objects.filter(until__lt=now).delete()


@transaction.atomic
def note_unknown_token(address: str) -> None:
    """A token that nobody was given came from here.

    Raises:
        TooManyGuesses: it is one too many, and is not counted.
    """
    now = timezone.now()
    buckets = _of_address("tokens", address)
    _check(buckets, _marks([bucket.key for bucket in buckets], now), now)
    _fill(buckets)


def _marks(keys: Iterable[str], now: datetime) -> dict[str, datetime]:
    return dict(LoginMark.objects.filter(key__in=keys, until__gt=now).values_list("key", "until"))


def _check(buckets: Iterable[_Bucket], marks: dict[str, datetime], now: datetime) -> None:
    for bucket in buckets:
        wait = bucket.wait(marks.get(bucket.key, now), now)
        if wait > timedelta(0):
            raise TooManyGuesses(bucket.what, wait)


def _fill(buckets: Iterable[_Bucket]) -> None:
    """One more in each. Always in the same order, so that two which do so wait for each other one way only."""
    now = timezone.now()
    for bucket in buckets:
        if bucket.wait(_one_more(bucket, now), now) > timedelta(0):
            _tell(bucket)


def _one_more(bucket: _Bucket, now: datetime) -> datetime:
    """When the bucket will be empty now."""
    table = f'"{LoginMark._meta.db_table}"'
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (key, until) VALUES (%s, %s) "  # noqa: S608 - own name of table
            f"ON CONFLICT (key) DO UPDATE SET until = GREATEST({table}.until, %s) + %s * interval '1 second' "
            "RETURNING until",
            [bucket.key, now + bucket.interval, now, bucket.interval.total_seconds()],
        )
        (empty_at,) = cursor.fetchone()
    return empty_at  # type: ignore[no-any-return]


def _tell(bucket: _Bucket) -> None:
    """Tell people of a full bucket. But not a name that is no user's: it may be a password in the wrong field."""
    of_address = bucket.what.endswith(f"from {bucket.subject}")
    if of_address or User.objects.filter(username=bucket.subject).exists():
        pause = _words(_whole_seconds(bucket.interval))
        said = f"{bucket.size} wrong {bucket.what} in a row; now one is tried every {pause}"
        open_incidents([Trouble(IncidentKind.GUESSING, bucket.subject, said)])


def _of_user(name: str) -> list[_Bucket]:
    name = name[:_LONGEST_NAME]
    return _bucket(settings.SWF_WRONG_PER_USER, f"passwords for {name}", name)


def _of_address(what: str, address: str) -> list[_Bucket]:
    network = _network(address)
    return _bucket(settings.SWF_WRONG_PER_ADDRESS, f"{what} from {network}", network)


def _bucket(rate: str, what: str, subject: str) -> list[_Bucket]:
    """The bucket of a rate such as `20/hour`; none without a rate."""
    if not rate:
        return []
    size, _, period = rate.partition("/")
    return [_Bucket(what, subject, int(size), timedelta(seconds=_PERIODS[period] / int(size)))]


def _at_home(name: str, address: str) -> str:
    return f"{name[:_LONGEST_NAME]} at {_network(address)}"


def _network(address: str) -> str:
    try:
        version = ip_address(address).version
    except ValueError:
        # Behind a proxy that says something else, or a server that does not know.
        return address[:_LONGEST_NAME] or "somewhere"
    return str(ip_network(f"{address}/{_IPV6_NETWORK}", strict=False)) if version == 6 else address


def _whole_seconds(span: timedelta) -> int:
    """Rounded up."""
    return -(-span // timedelta(seconds=1))


def _words(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{-(-seconds // 60)} minutes"
