#!/usr/bin/env bash
# Set up everything the tests need and run them; arguments pass through to pytest: ./run_all_tests.sh tests/runs -k journal
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

.ci/packages
./swf-testbed init --dev
# The whole suite takes several processes (tests/spread.py), tests that are named one process.
exec .venv/bin/python -m pytest -n auto --dist loadfile --max-worker-restart 0 "$@"
