"""Files that are written whole: what reaches the disk, and in which order."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from robusttune.tuners.files import write_atomically


@pytest.fixture
def calls(monkeypatch):
    """What is asked of the disk, in order; everything is done as well."""
    seen = []
    fsync, replace = os.fsync, os.replace

    def spied_fsync(descriptor):
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        seen.append("sync folder" if folder else f"sync {os.fstat(descriptor).st_size} bytes")
        fsync(descriptor)

    def spied_replace(source, target):
        seen.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", spied_fsync)
    monkeypatch.setattr(os, "replace", spied_replace)
    return seen


@pytest.mark.skipif(os.name != "posix", reason="folders are synchronized on POSIX only")
def test_a_durable_file_is_on_the_disk_before_its_name_is(tmp_path: Path, calls):
    """Renamed first, it could be empty after a power cut; the folder makes the name durable."""
    write_atomically(str(tmp_path / "record.json"), "12345")
    assert calls == ["sync 5 bytes", "rename", "sync folder"]


def test_a_file_that_need_not_be_durable_waits_for_no_disk(tmp_path: Path, calls):
    """It is renamed into place all the same, so that no reader sees a part."""
    write_atomically(str(tmp_path / "state.json"), "12345", durable=False)
    assert calls == ["rename"]
    assert (tmp_path / "state.json").read_text() == "12345"
