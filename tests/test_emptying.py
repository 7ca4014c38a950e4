"""What tests commit is gone afterwards, and what guards the rows is there again."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission
from django.db import Error, connection, transaction

from apps.runs.models import JournalEntry, Namespace
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


@pytest.mark.django_db(transaction=True)
def test_what_others_write_meanwhile_is_deleted_too() -> None:
    written, commit = threading.Event(), threading.Event()

    def write() -> None:
        with transaction.atomic():
            Namespace.objects.create(name="late")
            written.set()
            commit.wait(60)
        connection.close()

    def empty() -> None:
        emptying.empty()
        connection.close()

    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(write)
        assert written.wait(60)
        emptied = pool.submit(empty)
        with pytest.raises(TimeoutError):
            emptied.result(0.2)
        commit.set()
        writing.result(60)
        emptied.result(60)
    assert not Namespace.objects.exists()
