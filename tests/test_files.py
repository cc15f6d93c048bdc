"""Files that are written whole: what reaches the disk, in which order, and what is in the way."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from robusttune import Report, TrialRecord
from robusttune._files import write_output
from robusttune._keras_tuner.project.files import write_atomically


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


@pytest.mark.parametrize("refusals", [1, 5])
def test_a_reader_that_holds_the_file_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int
) -> None:
    """Windows refuses to rename over a file that somebody has open."""
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    replace = os.replace

    def busy(source, target):
        if len(waits) < refusals:
            raise PermissionError(13, "in use")
        replace(source, target)

    monkeypatch.setattr(os, "replace", busy)
    write_atomically(str(tmp_path / "a.json"), "new", durable=False)
    assert len(waits) == refusals
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_file_that_stays_in_use_is_an_error_after_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old file is as it was, and nothing lies beside it."""
    (tmp_path / "page.html").write_text("old")
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)

    def busy(source, target):
        raise PermissionError(13, "in use")

    monkeypatch.setattr(os, "replace", busy)
    with pytest.raises(PermissionError, match="in use"):
        write_output(tmp_path / "page.html", b"new")
    assert sum(waits) == pytest.approx(1.0)
    assert (tmp_path / "page.html").read_text() == "old"
    assert os.listdir(tmp_path) == ["page.html"]


@pytest.fixture
def report() -> Report:
    """Of one failed trial."""
    failed = TrialRecord(trial_id="0", number=0, status="failed", unstable=True, cause="unknown")
    return Report.from_records([failed])


@pytest.mark.parametrize("write", [Report.to_html, lambda report, path: report.to_csv(path.parent)])
def test_a_report_that_cannot_be_written_leaves_the_old_one(
    write, report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader sees the old page until the new one is whole."""
    path = tmp_path / "trials.csv"
    path.write_text("old")

    def full(source, target):
        assert Path(target).read_text() == "old"
        assert Path(source).stat().st_size > 100
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write(report, path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["trials.csv"]


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
def test_a_report_goes_where_a_link_leads(report: Report, tmp_path: Path) -> None:
    """The link stays, and the page behind it is the new one."""
    (tmp_path / "served").mkdir()
    page, link = tmp_path / "served" / "page.html", tmp_path / "page.html"
    link.symlink_to(page)
    assert report.to_html(link) == link
    assert link.is_symlink()
    assert page.read_text(encoding="utf-8").startswith("<!")
    report.to_html(link)
    assert os.listdir(tmp_path / "served") == ["page.html"]


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
def test_a_report_goes_into_a_pipe(report: Report) -> None:
    """/dev/stdout and the like are written to, and stay what they are."""
    code = (
        "from pathlib import Path; from robusttune._files import write_output;"
        "write_output(Path('/dev/stdout'), b'page')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert ran.stdout == b"page"
