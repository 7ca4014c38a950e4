"""REST on a database of its own, small and large: lists and details, registration of STFs.

A PostgreSQL and a web process in a new, temporary home; the web process is started by the command that supervisor has for
it, as a server for others (`SWF_PRODUCTION`), without a limit on requests. It is asked over HTTP, by token.

* Rows (`filling`, `rows`): first a thousand STFs, then a million with ten million entries of the journal.
* Lists (`lists`): every list that the API's root names, its newest row, and for the long ones filters, search, orders, deep
  pages and CSV; with the queries that each takes.
* Registration (`registering`): STFs whose files lie in the exit buffer, one by one from one and eight clients, and in lists.
"""

from .command import main

__all__ = ["main"]
