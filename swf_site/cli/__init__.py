"""The command line `swf-testbed`: start, watch and stop the testbed's processes. Never imports Django."""

from swf_site.cli.app import main

__all__ = ["main"]
