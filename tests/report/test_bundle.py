"""`report --bundle`: what goes with a bug report, and what does not."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from robusttune import TrialRecord
from robusttune._privacy import outline
from robusttune.cli import main

SECRET = "s3cret"


def write_project(root: Path) -> None:
    """Write a project in which everything that is the user's has a word in it."""
    for number in range(30):
        record = TrialRecord(
            trial_id=f"{SECRET}{number}",
            number=number,
            status="failed" if number > 20 else "completed",
            unstable=number > 20,
            symptom="exception" if number > 20 else None,
            cause="code_error" if number > 20 else None,
            value=0.123456 if number <= 20 else None,
            error=f"ValueError: /home/{SECRET}/data.csv" if number > 20 else None,
            advice=f"Look at {SECRET}.",
            evidence={"losses": [98765.4321], SECRET: SECRET, "host": f"{SECRET}.local"},
            params={f"rate_of_{SECRET}": 0.1 * number + 0.0424242, "path": f"/data/{SECRET}"},
        )
        folder = root / f"trial_{number}"
        folder.mkdir(parents=True)
        (folder / "robusttune.json").write_text(record.to_json())
        (folder / "trial.json").write_text(json.dumps({"status": "RUNNING"}))
    (root / "oracle.json").write_text("{}")
    policy = {"check_every": 4, "keep": [SECRET], "prior_searches": [f"/{SECRET}"], "odd": SECRET}
    (root / "robusttune.json").write_text(
        json.dumps({"adjustments": [], "search": {"policy": policy, "objective": SECRET}})
    )


def test_bundle_lists_what_it_has_and_has_nothing_private(tmp_path, capsys):
    """No value, name, text or path of the user's is in it; what a maintainer asks for is."""
    root, target = tmp_path / f"search_{SECRET}", tmp_path / "out" / "bundle.zip"
    write_project(root)
    assert main(["report", str(root), "--bundle", str(target)]) == 0
    printed = capsys.readouterr().out
    with zipfile.ZipFile(target) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert sorted(files) == ["policy.json", "records.json", "search.json", "versions.json"]
    whole = "".join(files.values())
    for private in (SECRET, "98765", "0.123456", "0424242", "/home", "/data", str(tmp_path)):
        assert private not in whole
    for name in files:
        assert name in printed
    assert printed.index("Not in it: data, values") < printed.index(f"\n{target}\n")
    records = json.loads(files["records.json"])
    assert len(records) == 30
    assert records[25]["cause"] == "code_error"
    assert records[25]["has"] == {"error": True, "value": False}
    assert records[25]["evidence_types"]["losses"] == "list"
    policy = json.loads(files["policy.json"])
    assert policy == {"check_every": 4, "keep": "1 names", "prior_searches": "1 names"}
    assert "robusttune" in json.loads(files["versions.json"])


def test_bundle_of_the_same_search_is_the_same_file(tmp_path):
    """It has no time of its own in it."""
    write_project(tmp_path / "search")
    for name in ("a.zip", "b.zip"):
        assert main(["report", str(tmp_path / "search"), "--bundle", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_outline_has_no_field_that_holds_texts_or_values():
    """A field that a record gets later on is private until somebody says otherwise."""
    record = TrialRecord(trial_id="x", error="e", advice="a", value=1.0, params={"p": 2.0})
    kept = outline(record)
    assert {"trial_id", "error", "advice", "value", "evidence"}.isdisjoint(kept)
    assert kept["params"] == 1
