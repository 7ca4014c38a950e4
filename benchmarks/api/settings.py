"""The testbed's settings, for a web process that says in each answer how many queries it took."""

from swf_site.settings import *  # noqa: F403
from swf_site.settings import MIDDLEWARE

MIDDLEWARE = ["benchmarks.api.queries.counted", *MIDDLEWARE]
