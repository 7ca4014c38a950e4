"""The quick renderer writes what the framework's own does."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.renderers import JSONRenderer

from apps.runs.api.renderers import QuickJSONRenderer
from apps.runs.choices import RunLifecycle

plain = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**70), max_value=2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.uuids()
    | st.datetimes(timezones=st.just(UTC) | st.none())
    | st.dates()
    | st.timedeltas()
    | st.decimals(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    plain, lambda parts: st.lists(parts) | st.dictionaries(st.text(max_size=5) | st.integers(), parts)
)


@given(values)
def test_both_mean_the_same(value: Any) -> None:
    assert json.loads(QuickJSONRenderer().render(value) or b"0") == json.loads(
        JSONRenderer().render(value) or b"0"
    )


@pytest.mark.parametrize(
    "value",
    [
        {"at": datetime(2026, 11, 26, 12, 0, 0, 123456, UTC), "lifecycle": RunLifecycle.RUNNING},
        {
            "id": UUID(int=7),
            "share": Decimal("0.10"),
            "said": gettext_lazy("yes"),
            "rows": (1, {"2": "é\u2028"}),
        },
        None,
        {"huge": 2**64, "keys": {2: 1}},
    ],
)
def test_to_the_letter(value: Any) -> None:
    theirs = JSONRenderer().render(value).decode().replace("\\u2028", "\u2028")
    assert QuickJSONRenderer().render(value).decode() == theirs


def test_indented_if_wished() -> None:
    assert QuickJSONRenderer().render({"run": 1}, "application/json; indent=2") == b'{\n  "run": 1\n}'


def test_a_text_that_is_none_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        QuickJSONRenderer().render({"name": "\ud800"})
