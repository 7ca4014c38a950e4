"""`manage.py access`: who may do what; gives a user roles and namespaces."""

from __future__ import annotations

import getpass
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser

from ... import services
from ...access import Role
from ...errors import DomainError
from ...people import namespaces_of, people, roles_of
from ..help import DescribedCommand

HELP = """Show who may do what, or give a user exactly these roles and namespaces.
Examples:  access                                        all users
           access ann --role operator --namespace local
           access bob --role viewer
           access eve --role operator --namespace '*'    in all namespaces
           access eve --nothing"""


class Command(DescribedCommand):
    help = HELP

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", nargs="?", help="name of the user; left out, all are shown")
        parser.add_argument("--role", action="append", choices=Role.values, help="may be given again")
        parser.add_argument(
            "--namespace", action="append", help="in which it acts, * for all; may be given again"
        )
        parser.add_argument("--nothing", action="store_true", help="take all roles and namespaces away")

    def handle(self, *args: Any, **options: Any) -> None:
        roles, namespaces = options["role"] or [], options["namespace"] or []
        if options["user"] is None:
            for user in people():
                self._show(user)
            return
        found = User.objects.filter(username=options["user"]).first()
        if found is None:
            raise CommandError(
                f"there is no user {options['user']!r}; the admin makes one, and so does get_token --create-user"
            )
        if roles or namespaces or options["nothing"]:
            self._set(found, roles, namespaces, nothing=options["nothing"])
        self._show(User.objects.get(pk=found.pk))

    def _set(self, user: User, roles: list[str], namespaces: list[str], *, nothing: bool) -> None:
        if nothing and (roles or namespaces):
            raise CommandError("--nothing goes with neither --role nor --namespace")
        try:
            services.set_access(user, by=getpass.getuser(), roles=roles, namespaces=namespaces)
        except DomainError as error:
            raise CommandError(str(error)) from error

    def _show(self, user: User) -> None:
        roles = ", ".join(sorted(roles_of(user))) or "no role"
        where = ", ".join(sorted(namespaces_of(user))) or "no namespace"
        self.stdout.write(f"{user}: {roles}; acts in {'*' if Role.ADMIN in roles_of(user) else where}")
