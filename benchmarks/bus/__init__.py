"""The buses, side by side: tasks on each, and plain JSON messages into stored and handled ones.

Both parts run on engines of their own in a new, temporary home, so a testbed in use is neither needed nor touched.

* Tasks (`tasks`): the buses take turns within every round, on the same machine in the same minute, so that what slows
  the machine down slows them all; the ratios are those of neighbours in a round.
* Plain messages (`plain`): a foreign DAQ announces STFs in its own JSON to the real `data` agent.
"""

from .command import main

__all__ = ["main"]
