# One image for every program of the testbed: the project's environment, and Rucio's beside it.
FROM python:3.11.13-bookworm AS environments
WORKDIR /srv/swf-testbed
COPY requirements.txt ./
COPY client client/
COPY services/rucio/requirements.txt services/rucio/
RUN python -m venv .venv && .venv/bin/pip install --no-cache-dir -r requirements.txt -r client/requirements.txt \
    && python -m venv .venv-rucio && .venv-rucio/bin/pip install --no-cache-dir -r services/rucio/requirements.txt

FROM python:3.11.13-slim-bookworm
# A new volume takes its owner from here.
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/swf --create-home swf
WORKDIR /srv/swf-testbed
COPY --from=environments /srv/swf-testbed ./
COPY . .
# The user below may not write here, so each process would compile all of it at each start.
RUN .venv/bin/python -m compileall -q apps client payloads services swf_site
ENV PATH=/srv/swf-testbed/.venv/bin:$PATH PYTHONUNBUFFERED=1 SWF_HOME=/var/lib/swf
USER swf
