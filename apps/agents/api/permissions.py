"""Who may act over REST: anybody reads, an action needs the permission to change what it acts on."""

from __future__ import annotations

from rest_framework.permissions import DjangoModelPermissionsOrAnonReadOnly


class MayChange(DjangoModelPermissionsOrAnonReadOnly):
    """As the admin's own actions: a POST changes a row that is there, none is ever added."""

    perms_map = {
        **DjangoModelPermissionsOrAnonReadOnly.perms_map,
        "POST": ["%(app_label)s.change_%(model_name)s"],
    }
