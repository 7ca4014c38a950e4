"""All addresses of the testbed."""

from __future__ import annotations

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from .health import healthz, readyz

urlpatterns = [
    path("", include("swf_site.pages.urls")),
    path("api/", include("swf_site.api.urls")),
    path("admin/", admin.site.urls),
    # What browsers ask for on pages that name no icon, such as the admin's.
    path("favicon.ico", RedirectView.as_view(url=static("favicon.svg"))),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
]
handler404 = "swf_site.pages.errors.not_found"
handler500 = "swf_site.pages.errors.server_error"
