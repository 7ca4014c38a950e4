"""Settings of the testbed: values only; the typed readers are in `env`.

All state lies under `SWF_HOME`. What an engine's client needs (`DATABASE_URL`, `BROKER_URL`, `ACTIVEMQ_*`, `RUCIO_*`)
comes from the environment, and where that names no other engine, from the embedded one of the same home: the same
`manage.py` works in any shell.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from services.base import default_home
from services.registry import compose_environment

from . import broker, env

BASE_DIR = Path(__file__).resolve().parent.parent.parent
SWF_HOME = default_home()
os.environ.update(compose_environment(SWF_HOME))

DEBUG = env.flag("SWF_DEBUG", default=False)
# One switch for a server that the world can reach, rather than this machine.
SWF_PRODUCTION = env.flag("SWF_PRODUCTION", default=False)
_SECRET_FILE = SWF_HOME / "secret-key"
SECRET_KEY = env.text("SECRET_KEY", _SECRET_FILE.read_text().strip() if _SECRET_FILE.exists() else None)
ALLOWED_HOSTS = env.words("SWF_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]")

INSTALLED_APPS = [
    # For development. Any other process would take an eighth longer to start with it.
    *(["daphne"] if sys.argv[1:2] == ["runserver"] else []),
    "swf_site.apps.TestbedAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "apps.runs",
    "apps.stf",
    "apps.agents",
    "swf_site.apps.SiteConfig",
]

MIDDLEWARE = [
    "swf_site.redirects.same_method",
    "swf_site.security.content_security_policy",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "swf_site.security.ReadersOnly",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "swf_site.api.idempotency.idempotency",
]

ROOT_URLCONF = "swf_site.urls"
ASGI_APPLICATION = "swf_site.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASE_URL = env.text("DATABASE_URL")
# Logging in costs more than most requests. Of these, the threads of requests have one each (swf_site.handler).
_POOL = {"pool": {"min_size": 2, "max_size": 20, "timeout": 10, "max_idle": 60}}
DATABASES = {
    "default": {
        **env.database(DATABASE_URL),
        # The web process keeps its connections in a pool, for whichever thread needs one. Agents keep theirs
        # (`apps.agents.bus.loop`).
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 5,
            "application_name": os.environ.get("SWF_PROCESS", "swf"),
            "options": "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s "
            "-c plan_cache_mode=force_custom_plan",
            # What is asked again and again is parsed once per connection, which takes a tenth off a lone message. It is
            # planned anew for its values each time: a plan made for the largest run would be the wrong one for all others.
            "server_side_binding": True,
            "prepare_threshold": 2,
            **(_POOL if os.environ.get("SWF_PROCESS") == "web" else {}),
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Files are served straight from the source tree, so that a new checkout needs no collection step.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname:<7} {name}: {message}", "style": "{"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.text("SWF_LOG_LEVEL", "INFO")},
    "loggers": {
        # The client logs every refused connection as an error; the data agent says it once, with the reason.
        "rucio": {"level": "CRITICAL"},
        "user": {"level": "CRITICAL"},
        "uvicorn": {"level": "WARNING"},
        # A line per call to PanDA otherwise.
        "httpx": {"level": "WARNING"},
        # Two lines per message otherwise; what became of each is in the inbox.
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
    },
}

REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "swf_site.api.errors.problem_response",
    "DEFAULT_PAGINATION_CLASS": "apps.runs.api.pagination.Offsets",
    "PAGE_SIZE": 100,
    "DEFAULT_FILTER_BACKENDS": [
        "swf_site.api.filters.OnlyKnown",
        "swf_site.api.namespaces.WithinNamespace",
        "django_filters.rest_framework.DjangoFilterBackend",
        "swf_site.api.filters.Search",
        "swf_site.api.filters.Ordering",
    ],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "swf_site.api.authentication.ByToken",
        "rest_framework.authentication.SessionAuthentication",
        "swf_site.api.authentication.ByPassword",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["swf_site.api.permissions.AsRolesAllow"],
    "DEFAULT_THROTTLE_CLASSES": ["swf_site.api.throttling.PerAsker"],
    # Behind the proxy of a server in production, its client is the last address that the proxy adds.
    "NUM_PROXIES": 1 if SWF_PRODUCTION else 0,
    "DEFAULT_SCHEMA_CLASS": "swf_site.api.openapi.schema.Schema",
    "DEFAULT_PARSER_CLASSES": ["swf_site.api.parsers.Parser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "swf_site.api.negotiation.Negotiation",
    "DEFAULT_RENDERER_CLASSES": ["apps.runs.api.renderers.QuickJSONRenderer", "swf_site.api.csv.CSVRenderer"],
}

# Of a body, in bytes: some 8000 STFs.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440

SPECTACULAR_SETTINGS = {
    "TITLE": "SWF testbed",
    "DESCRIPTION": "What is under `/api/`: runs, STFs and all that becomes of them, and who acts.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api",
    # What is taken is something else than what is answered, and a PATCH has serializers of its own.
    "COMPONENT_SPLIT_REQUEST": True,
    "COMPONENT_SPLIT_PATCH": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "PREPROCESSING_HOOKS": ["swf_site.api.openapi.hooks.without_formats"],
    "POSTPROCESSING_HOOKS": ["swf_site.api.openapi.hooks.complete"],
}

# So many processes serve the web. One can do no more than one processor can, and two leave it something.
SWF_WEB_PROCESSES = env.number("SWF_WEB_PROCESSES", min(2, os.cpu_count() or 1))
# Whether pages, REST and streams show what there is to anybody who reaches the server, or only to those with a role.
SWF_ANONYMOUS_READ = env.flag("SWF_ANONYMOUS_READ", default=False)
# How often one token, user or address may ask over REST.
SWF_THROTTLE = env.rate("SWF_THROTTLE", "1200/minute" if SWF_PRODUCTION else "")
SWF_THROTTLE_ANONYMOUS = env.rate("SWF_THROTTLE_ANONYMOUS", "120/minute" if SWF_PRODUCTION else "")
# How many wrong passwords and tokens are tried before the next ones wait, and how fast they become old.
SWF_WRONG_PER_USER = env.rate("SWF_WRONG_PER_USER", "20/hour")
SWF_WRONG_PER_ADDRESS = env.rate("SWF_WRONG_PER_ADDRESS", "60/hour")

AUTHENTICATION_BACKENDS = ["swf_site.backends.Roles"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "home"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

# Login by an OpenID Connect provider, off without its address.
SWF_OIDC_ISSUER = env.text("SWF_OIDC_ISSUER", "")
SWF_OIDC_CLIENT_ID = env.text("SWF_OIDC_CLIENT_ID", "")
SWF_OIDC_CLIENT_SECRET = env.text("SWF_OIDC_CLIENT_SECRET", "")
SWF_OIDC_NAME = env.text("SWF_OIDC_NAME", "your institute")
# Which claim names a user's groups, and what they may do; without, admins say what each user may.
SWF_OIDC_CLAIM = env.text("SWF_OIDC_CLAIM", "groups")
SWF_OIDC_ROLES = env.roles("SWF_OIDC_ROLES")

# Of this testbed, among those that share its broker, and others that it serves beside it.
SWF_NAMESPACE = env.text("SWF_NAMESPACE", "local")
SWF_NAMESPACES = env.words("SWF_NAMESPACES")

CELERY_BROKER_URL = broker.url(DATABASE_URL)
CELERY_BROKER_USE_SSL = broker.tls(CELERY_BROKER_URL)
CELERY_BROKER_TRANSPORT_OPTIONS = broker.transport_options(CELERY_BROKER_URL, SWF_NAMESPACE)
# Seconds. A broker that stands still is noticed when two have not come; Celery would wait for four minutes.
CELERY_BROKER_HEARTBEAT = 10
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_CREATE_MISSING_QUEUES = False
# So many messages an agent takes together at most.
CELERY_WORKER_PREFETCH_MULTIPLIER = 200
# The names of its reply queues are too long for pgmq.
CELERY_WORKER_ENABLE_REMOTE_CONTROL = not CELERY_BROKER_URL.startswith("pgmq")
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CONSUMER = "apps.agents.bus.consumer:Consumer"
CELERY_TIMEZONE = "UTC"

# The exit buffer of Echelon 0 and the sites that must each hold a verified copy.
SWF_E0_BUFFER = Path(env.text("SWF_E0_BUFFER", str(SWF_HOME / "storage" / "E0_BUFFER")))
SWF_E0_RSE = env.text("SWF_E0_RSE", "E0_BUFFER")
SWF_SCOPE = env.text("SWF_SCOPE", "group.daq")
# Where XRootD serves the exit buffer to remote readers, such as root://host:1094//; empty: it is read by file.
SWF_E0_XROOTD = env.text("SWF_E0_XROOTD", "")
# The TF files of fast monitoring, which workers read, and where XRootD serves them.
SWF_FASTMON_DIR = Path(env.text("SWF_FASTMON_DIR", str(SWF_HOME / "storage" / "FASTMON")))
SWF_FASTMON_XROOTD = env.text("SWF_FASTMON_XROOTD", "")

# Whose tasks and outputs they are at PanDA: the names of both begin with `user.<nickname>.`.
PANDA_NICKNAME = env.text("PANDA_NICKNAME", "swf")
# What a PanDA job runs to be a worker of slices; left out, the launcher of this checkout with this home.
SWF_WORKER_COMMAND = env.text("SWF_WORKER_COMMAND", "")

if SWF_PRODUCTION:
    from . import production
    from .production import *  # noqa: F403

    production.check(debug=DEBUG, hosts=env.words("SWF_ALLOWED_HOSTS"))
