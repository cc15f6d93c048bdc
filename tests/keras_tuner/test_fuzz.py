"""Garbage in project folders and records: an error of our own, or a search that goes on.

2,000 examples in all: `EXAMPLES` says how they are shared out.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from robusttune import Report, RobustTuneError, RobustTuneWarning, TrialRecord
from robusttune._records import COLUMNS
from tests.keras_tuner.cheap_search import Power, open_tuner, search

EXAMPLES = {"record": 1200, "report": 400, "tuner": 400}
KINDS = ("RandomSearch", "GridSearch", "BayesianOptimization", "Hyperband")

RECORD = TrialRecord(
    trial_id="3",
    number=3,
    status="failed",
    unstable=True,
    symptom="non_finite_loss",
    cause="divergent_learning_rate",
    other_causes=("unscaled_data",),
    confidence=0.9,
    epoch=1,
    step=12,
    seconds=1.5,
    advice="lower it",
    fix_verified=True,
    error="ValueError: x",
    evidence={"loss": [1.0, "nan"]},
    params={"x": 0.5, "n": 2},
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=5,
)


def fuzz(kind: str) -> Any:
    """Settings of one fuzzed test: its share of the examples, drawn alike in each run."""
    return settings(
        max_examples=EXAMPLES[kind],
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def test_there_are_2000_examples() -> None:
    """Of records, reports and tuners together."""
    assert sum(EXAMPLES.values()) == 2000


def paths(body: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All places in a JSON value."""
    yield at
    if isinstance(body, (dict, list)):
        for key, item in body.items() if isinstance(body, dict) else enumerate(body):
            yield from paths(item, (*at, key))


@st.composite
def garbled(draw: Any, text: str) -> str:
    """JSON text with one or two things wrong with it."""
    how = draw(st.sampled_from(["replace", "replace", "delete", "cut", "noise", "other"]))
    if how == "cut":
        return text[: draw(st.integers(0, len(text) - 1))]
    if how == "noise":
        at = draw(st.integers(0, len(text) - 1))
        return text[:at] + draw(st.text(min_size=1, max_size=4)) + text[at + 1 :]
    if how == "other":
        return json.dumps(draw(json_values))
    body = json.loads(text)
    for _ in range(draw(st.integers(1, 2))):
        places = list(paths(body))[1:]
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        holder = functools.reduce(lambda inner, key: inner[key], way, body)
        if how == "delete":
            del holder[last]
        else:
            holder[last] = copy.deepcopy(draw(json_values))
    return json.dumps(body)


@fuzz("record")
@given(garbled(RECORD.to_json()) | st.text(max_size=30) | st.binary(max_size=30))
def test_record_is_read_or_refused(text: str | bytes) -> None:
    """A record, which can be written and read again, or one ValueError that says why not."""
    refusal = None
    try:
        record = TrialRecord.from_json(text)
    except ValueError as error:
        refusal = str(error)
    if refusal is None:
        assert TrialRecord.from_json(record.to_json()) == record
    else:
        assert refusal.startswith("Not a trial record: ")


@functools.cache
def projects() -> Path:
    """A folder with a project of each kind, in which a trial failed and one was cut short."""
    root = Path(tempfile.mkdtemp())
    for kind in KINDS:
        with contextlib.suppress(Power):
            search(open_tuner(kind, root / kind, stop_at=6, fails=("2", "0002")))
    return root


@pytest.fixture(scope="module", autouse=True)
def _cleaned() -> Iterator[None]:
    yield
    if projects.cache_info().currsize:
        shutil.rmtree(projects())


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), max_size=20)


@contextlib.contextmanager
def garbled_project(data: Any, kind: str) -> Iterator[Path]:
    """A copy of a project in which something is wrong."""
    with tempfile.TemporaryDirectory() as name:
        copied = Path(name) / "project"
        shutil.copytree(projects() / kind / "project", copied)
        found = sorted(path for path in copied.rglob("*") if path.is_file())
        contents = [path.read_bytes() for path in found]
        chosen = st.lists(st.sampled_from(found), min_size=1, max_size=2, unique=True)
        for path in data.draw(chosen):
            how = data.draw(st.sampled_from(["garble"] * 6 + ["bytes", "remove", "swap", "folder"]))
            if how == "garble":
                text = data.draw(garbled(path.read_text()))
                path.write_text(text, encoding="utf-8", errors="replace")
            elif how == "bytes":
                path.write_bytes(data.draw(st.binary(max_size=40)))
            elif how == "remove":
                path.unlink()
            elif how == "swap":
                path.write_bytes(data.draw(st.sampled_from(contents)))
            else:
                folder = copied / ("trial_" + data.draw(names))
                if not folder.exists():
                    folder.mkdir()
                    (folder / "trial.json").write_bytes(contents[-1])
        yield copied


@fuzz("report")
@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_report_is_made(data: Any, kind: str) -> None:
    """A report of what can be read: a project with trials in it is never refused."""
    with garbled_project(data, kind) as project:
        report = Report.from_directory(project)
        assert list(report.trials.columns[: len(COLUMNS)]) == list(COLUMNS)
        assert report.summary()


@pytest.mark.full
@fuzz("tuner")
@given(data=st.data(), kind=st.sampled_from(KINDS))
def test_tuner_goes_on_or_refuses(data: Any, kind: str) -> None:
    """The tuner opens the project and can run its next trial, or raises an error of ours."""
    with garbled_project(data, kind) as project, warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", RobustTuneWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            tuner = open_tuner(kind, project.parent)
        except RobustTuneError:
            return
        trial = tuner.oracle.create_trial("tuner0")
        if trial.status == "RUNNING":
            tuner.oracle.update_trial(trial.trial_id, {"score": 1.0})
            trial.status = "COMPLETED"
            tuner.oracle.end_trial(trial)
        assert set(tuner.oracle.end_order) <= set(tuner.oracle.trials)
