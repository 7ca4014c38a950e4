"""`manage.py get_token`: issue a token for REST and the streams, and print it once."""

from __future__ import annotations

import getpass
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.runs.errors import DomainError
from apps.runs.management.help import DescribedCommand
from apps.runs.models import Namespace
from apps.runs.people import roles_of

from ... import services
from ...choices import TokenScope

HELP = """Issue a token by which its holder acts as a user, and print it. It is not shown again.
What the user may do, `manage.py access` says.
Examples:  get_token ann
           get_token plotter --create-user --scope read
           get_token ann --name "plots at JLab" --scope read --namespace local --expires 90d
           TOKEN=$(manage.py get_token ann --scope read)
Tokens are looked at and revoked in the admin."""

_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


class Command(DescribedCommand):
    help = HELP

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="name of the user as whom its holder acts")
        parser.add_argument(
            "--create-user", action="store_true", help="make the user if there is none; it has no password"
        )
        parser.add_argument("--name", default="get_token", help="what it is for")
        parser.add_argument(
            "--scope",
            action="append",
            choices=TokenScope.values,
            help="what it is good for; may be given again; by default everything",
        )
        parser.add_argument("--namespace", default="", help="the only one it is good for; by default all")
        parser.add_argument(
            "--expires", default="", metavar="WHEN", help="90d, 12h, 30m or a date and time; by default never"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        user = _user(options["user"], create=options["create_user"])
        try:
            issued = services.issue_token(
                user,
                by=getpass.getuser(),
                name=options["name"],
                scopes=options["scope"] or TokenScope.values,
                namespace=_namespace(options["namespace"]),
                expires_at=_moment(options["expires"]),
            )
        except DomainError as error:
            raise CommandError(str(error)) from error
        # Alone on its line and on the standard output: it may be taken by a shell.
        self.stdout.write(issued.secret)
        self.stderr.write(f"Token {issued.token.pk} of {user}. Keep it: it is not shown again.")
        if not roles_of(user):
            self.stderr.write(
                f"{user} has no role yet: manage.py access {user} --role agent --namespace NAME"
            )


def _user(name: str, *, create: bool) -> User:
    users = User.objects
    user = users.filter(username=name).first()
    if user is None and not create:
        raise CommandError(f"there is no user {name!r}; --create-user makes one, and so does the admin")
    return user or users.create_user(name)


def _namespace(name: str) -> Namespace | None:
    if not name:
        return None
    found = Namespace.objects.filter(name=name).first()
    if found is None:
        known = (
            ", ".join(Namespace.objects.values_list("name", flat=True))
            or "none yet: the first start makes one"
        )
        raise CommandError(f"there is no namespace {name!r}; there are: {known}")
    return found


def _moment(text: str) -> datetime | None:
    """When that is; without a zone it is UTC."""
    if not text:
        return None
    if match := re.fullmatch(r"(\d{1,5})([dhm])", text):
        return timezone.now() + timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise CommandError(
            f"--expires {text!r} is no time: say 90d, 12h, 30m, or 2027-01-31 or 2027-01-31T12:00Z"
        )
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
