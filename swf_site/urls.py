"""All addresses of the testbed."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from .health import healthz, readyz
from .login import Login
from .oidc import oidc_done, oidc_login

urlpatterns = [
    path("", include("swf_site.pages.urls")),
    path("api/", include("swf_site.api.urls")),
    path("admin/", admin.site.urls),
    path("login/", Login.as_view(), name="login"),
    path("login/oidc/", login_not_required(oidc_login), name="oidc-login"),
    path("login/oidc/done/", login_not_required(oidc_done), name="oidc-done"),
    path("logout/", login_not_required(LogoutView.as_view()), name="logout"),
    # What browsers ask for on pages that name no icon, such as the admin's.
    path("favicon.ico", login_not_required(RedirectView.as_view(url=static("favicon.svg")))),
    path("healthz", login_not_required(healthz), name="healthz"),
    path("readyz", login_not_required(readyz), name="readyz"),
]
handler400 = "swf_site.pages.errors.bad_request"
handler404 = "swf_site.pages.errors.not_found"
handler500 = "swf_site.pages.errors.server_error"
