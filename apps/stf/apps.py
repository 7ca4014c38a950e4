from django.apps import AppConfig


class StfConfig(AppConfig):
    name = "apps.stf"
    verbose_name = "Super time frames: the data"
