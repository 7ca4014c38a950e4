"""How the help of management commands is laid out."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandParser, DjangoHelpFormatter


class _AsWritten(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Django's, with the description as it is written."""


class DescribedCommand(BaseCommand):
    """A command whose `help` is shown in the lines in which it is written."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Django's parser, so laid out."""
        return super().create_parser(prog_name, subcommand, formatter_class=_AsWritten, **kwargs)
