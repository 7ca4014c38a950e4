"""The Celery application of all agents: `celery -A swf_site.celery` sees what `manage.py agent` runs."""

from __future__ import annotations

import os

from celery import Celery

from apps.agents.bus import stomp

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "swf_site.settings")

stomp.register()
app = Celery("swf")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["apps.agents"])
