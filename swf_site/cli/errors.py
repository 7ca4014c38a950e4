"""What the command line reports in words instead of a traceback."""


class CommandError(Exception):
    """A command cannot do its work; the text says why, and what to do about it."""
