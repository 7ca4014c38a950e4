"""Who may act over REST: anybody reads, an action is for staff, as on the pages."""

from __future__ import annotations

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView


class StaffActs(BasePermission):
    """Reads are for everybody, everything else for users marked as staff."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.method in SAFE_METHODS or bool(request.user and request.user.is_staff)
