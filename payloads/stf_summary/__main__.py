"""The command: read the inputs, check every time frame, write both results; a failure is a status and one line."""

from __future__ import annotations

import gc
import os
import sys

# Most of the time of a small STF is imports: there is nothing to collect, and no algebra that threads would speed up.
gc.disable()
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from payloads.stf_summary.command import main  # noqa: E402 - after the two settings above

status = main()
gc.freeze()  # or the interpreter, at its end, looks through all that was imported
sys.exit(status)
