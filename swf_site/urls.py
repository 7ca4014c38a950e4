"""All addresses of the testbed."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from .health import healthz, readyz

urlpatterns = [
    path("", include("swf_site.pages.urls")),
    path("api/", include("swf_site.api.urls")),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
]
handler404 = "swf_site.pages.errors.not_found"
handler500 = "swf_site.pages.errors.server_error"
