"""A program that asks over REST."""

from __future__ import annotations

from tests.rest import agent

__all__ = ["agent"]
