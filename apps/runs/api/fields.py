"""Fields of requests as the existing agents fill them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

# Of ids in addresses. No key has more digits.
NUMBER_PATTERN = r"\d{1,19}"
UUID_PATTERN = "-".join(f"[0-9a-f]{{{length}}}" for length in (8, 4, 4, 4, 12))
_COMPACT = "%Y%m%d%H%M%S%f"


class ClockTime(serializers.DateTimeField):
    """A time in ISO 8601, or in the digits of the old DAQ; one without a zone is on this machine's clock, as on the bus."""

    def __init__(self, **options: Any) -> None:
        super().__init__(input_formats=["iso-8601", _COMPACT], **options)

    def enforce_timezone(self, value: datetime) -> datetime:
        """The time with its zone."""
        return value if timezone.is_aware(value) else value.astimezone()


class RunNumber(serializers.IntegerField):
    """A run number, also as text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=0, max_value=2**63 - 1, **options)
