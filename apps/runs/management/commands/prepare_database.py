"""`manage.py prepare_database`: what must be in the database before anything runs."""

from __future__ import annotations

import getpass
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from ... import services


class Command(BaseCommand):
    help = (
        "Bring the schema up to date, and make the testbed's own namespace (SWF_NAMESPACE), so that users can be let "
        "act in it before its first run. May be repeated."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=options["verbosity"] - 1)
        space, created = services.open_namespace(settings.SWF_NAMESPACE, by=getpass.getuser())
        self.stdout.write(f"schema: ready\nnamespace {space}: {'made' if created else 'there'}")
