#!/usr/bin/env bash
# Set up everything the tests need and run them; arguments pass through to pytest: ./run_all_tests.sh tests/runs -k journal
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
exec .venv/bin/python -m pytest "$@"
