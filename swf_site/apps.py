from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "swf_site"
    verbose_name = "Composition of the testbed"

    def ready(self) -> None:
        from . import celery  # noqa: F401 - makes it the current application of this process
