from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class SiteConfig(AppConfig):
    name = "swf_site"
    verbose_name = "Composition of the testbed"

    def ready(self) -> None:
        from . import celery  # noqa: F401 - makes it the current application of this process


class TestbedAdminConfig(AdminConfig):
    """Has all models registered with our admin site."""

    default_site = "swf_site.admin_site.TestbedAdmin"
