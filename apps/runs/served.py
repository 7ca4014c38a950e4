"""The namespaces of this testbed, as it is set up."""

from __future__ import annotations

from django.conf import settings


def served_namespaces() -> tuple[str, ...]:
    """Those that it serves among the testbeds that share its broker, its own first."""
    return tuple(dict.fromkeys((settings.SWF_NAMESPACE, *settings.SWF_NAMESPACES)))
