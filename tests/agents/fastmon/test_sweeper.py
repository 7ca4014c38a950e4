"""TF files go when nobody needs them, first the file, then the word for it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from apps.agents.fastmon.sampler import Sampler
from apps.agents.fastmon.tf_files import LONGEST_STEM, Sweeper, tf_filename
from apps.stf.models import FastMonFile
from tests.agents.fastmon.stfs import a_sampled_run, waiting
from tests.factories import kinds

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("exit_buffer")]


def test_files_and_their_directory_go_when_their_time_is_over(sampler: Sampler, tf_directory: Path) -> None:
    old = a_sampled_run(keep_seconds=0.0, slices_per_sample=0)
    kept = a_sampled_run(keep_seconds=0.0)  # its samples wait for being cut
    for run in (old, kept):
        waiting(run, 2)
    sampler.step()
    sweeper = Sweeper()
    assert sweeper.step() is False
    sweeper.step()
    assert [path.name for path in tf_directory.iterdir()] == [str(kept)]
    assert FastMonFile.objects.filter(sample__run=old, status="removed").count() == 6
    assert FastMonFile.objects.filter(sample__run=kept, status="registered").count() == 6
    assert kinds(old, "tf_files_removed") == ["tf_files_removed"]


def test_killed_between_file_and_word_it_says_the_word(sampler: Sampler, tf_directory: Path) -> None:
    def die(execute: Callable[..., Any], statement: str, *rest: Any) -> Any:
        if "FOR UPDATE" in statement:
            raise SystemExit
        return execute(statement, *rest)

    run = a_sampled_run(keep_seconds=0.0, slices_per_sample=0)
    waiting(run)
    sampler.step()
    with connection.execute_wrapper(die), pytest.raises(SystemExit):
        Sweeper().step()
    assert list(tf_directory.rglob("*.tf")) == []
    Sweeper().step()
    assert set(FastMonFile.objects.values_list("status", flat=True)) == {"removed"}


def test_what_a_killed_agent_left_half_written_is_removed(tf_directory: Path) -> None:
    directory = tf_directory / "100011"
    directory.mkdir(parents=True)
    old, fresh, other = (directory / name for name in (".a.tf.1.part", ".b.tf.2.part", "c.tf"))
    for path in (old, fresh, other):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    os.utime(fresh, (time.time() + 60,) * 2)
    Sweeper().step()
    assert sorted(directory.iterdir()) == [fresh, other]


def test_names_of_slices_have_room_behind_the_longest_name() -> None:
    name = tf_filename("x" * 240 + ".000001.stf", 99)
    assert name.endswith(".000001_tf_099.tf")
    assert len(name) == LONGEST_STEM + len("_tf_099.tf")
