"""`python -m swf_site.cli`."""

import sys

from swf_site.cli import main

sys.exit(main(sys.argv[1:]))
