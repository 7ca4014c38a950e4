"""`manage.py prepare_database`: what must be in the database before anything runs."""

from __future__ import annotations

import getpass
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from ... import services
from ...served import served_namespaces


class Command(BaseCommand):
    help = (
        "Bring the schema up to date, and make the namespaces that the testbed serves (SWF_NAMESPACE, SWF_NAMESPACES), so "
        "that users can be let act in them before the first run. May be repeated."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=options["verbosity"] - 1)
        self.stdout.write("schema: ready")
        for name in served_namespaces():
            space, created = services.open_namespace(name, by=getpass.getuser())
            self.stdout.write(f"namespace {space}: {'made' if created else 'there'}")
