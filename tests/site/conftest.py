"""Who looks at pages."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.people import a_user


@pytest.fixture
def shifter(client: Client) -> Client:
    """Somebody from the staff, logged in."""
    client.force_login(a_user("shifter", "operator"))
    return client
