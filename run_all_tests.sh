#!/usr/bin/env bash
# Set up everything the tests need and run them; arguments pass through to pytest: ./run_all_tests.sh tests/runs -k journal
# All of them run in two parts side by side: those with whole testbeds wait more than they compute.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# Third-party copies between the sites, the brokers beside PostgreSQL and the page tests need programs that only the
# distribution has. Where they cannot be installed the tests that use them are skipped, in CI they fail.
packages=(xrootd-server xrootd-server-plugins xrootd-client chromium)
packages+=(activemq default-jre-headless libxstream-java libjettison-java rabbitmq-server docker-compose)
missing=()
PATH+=:/usr/sbin # where an ordinary user's shell does not look
for program in xrootd xrdcp chromium java activemq rabbitmq-server docker-compose; do
    command -v "$program" >/dev/null || missing+=("$program")
done
if ((${#missing[@]})); then
    if [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
        echo "Installing Debian packages for ${missing[*]}: ${packages[*]}"
        export DEBIAN_FRONTEND=noninteractive
        install=(apt-get install -y --no-install-recommends "${packages[@]}")
        "${install[@]}" >/dev/null 2>&1 </dev/null || { apt-get update && "${install[@]}"; } >/dev/null </dev/null
    else
        echo "Without ${missing[*]} some tests are skipped; install: ${packages[*]}" >&2
    fi
fi

./swf-testbed init --dev
pytest=(.venv/bin/python -m pytest)
for argument in "$@"; do
    [[ $argument == -* ]] || exec "${pytest[@]}" "$@"
done

log=$(mktemp)
echo "Tests with whole testbeds run beside the others; what they say follows at the end."
"${pytest[@]}" tests/system -p no:cacheprovider "$@" >"$log" 2>&1 &
system=$!
trap 'kill "$system" 2>/dev/null; rm -f "$log"' EXIT
failed=0
"${pytest[@]}" --ignore=tests/system "$@" || failed=$?
wait "$system" || failed=$?
cat "$log"
exit "$failed"
