"""What tests commit is gone afterwards, and what guards the rows is there again."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission
from django.db import Error, transaction

from apps.runs.models import JournalEntry
from apps.stf.models import TFSlice
from tests import emptying
from tests.fast import a_sampled_run, cut


@pytest.mark.usefixtures("exit_buffer")
@pytest.mark.django_db(transaction=True)
def test_all_rows_are_deleted_and_the_guards_are_back() -> None:
    for _ in range(2):
        cut(a_sampled_run(1))
        for guarded in JournalEntry.objects.all(), TFSlice.objects.all():
            with pytest.raises(Error), transaction.atomic():
                guarded._raw_delete(guarded.db)
        emptying.empty()
        left = {model for model in apps.get_models() if model.objects.exists()}
        assert {model._meta.db_table for model in left} == emptying.STAY
    assert Permission.objects.filter(codename="view_run").exists()
