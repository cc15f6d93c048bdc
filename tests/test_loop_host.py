"""A small host has records, reports, regions and suggestions through the seam alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import pytest

from robusttune import Policy
from robusttune._report import sources
from robusttune._space import Choice, Float
from robusttune.cli import main


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the host, registered for one test."""
    monkeypatch.setattr(sources, "_HOSTS", dict(sources._HOSTS))
    from tests import loop_host

    sources.register(
        sources.Host(
            name="loop",
            title="The Loop",
            reader="tests.loop_host",
            code="tests.loop_host",
            reads=lambda source: source.endswith(".loop"),
        )
    )
    return loop_host


@pytest.mark.full
def test_a_plain_loop_is_a_host(host: Any, tmp_path: Path, regression: Any, capsys: Any) -> None:
    """Real fits: the guard is in them, the record is stored, the region is found and left out."""
    path = tmp_path / "search.loop"
    seen: list[Any] = []

    def objective(params: Mapping[str, Any]) -> float:
        model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(params["learning_rate"]), "mse")
        fit = model.fit(*regression, epochs=3, batch_size=params["batch"], verbose=0)
        return float(fit.history["loss"][-1])

    space = [Float("learning_rate", 1e-3, 1e3, log=True), Choice("batch", (16, 32))]
    loop = host.Loop(path, space, Policy())
    loop.run(objective, 24, [lambda trial, record: seen.append((trial.number, record))])

    report = loop.report()
    failed = report.failures
    assert [number for number, _ in seen] == list(range(24))
    assert tuple(record for _, record in seen) == report.records
    assert set(failed.cause) == {"divergent_learning_rate"}
    assert set(report.trials.status) == {"completed", "failed"}
    assert list(report.adjustments.parameter) == ["learning_rate"]
    (region,) = report.find_regions()
    assert region.rule.startswith("learning_rate > ")
    (suggestion,) = report.suggest_space()
    assert suggestion.further["loop"].startswith("space['learning_rate'] = Float(0.001, ")

    assert main(["report", str(path), "--html", str(tmp_path / "page.html")]) == 0
    assert suggestion.further["loop"] in capsys.readouterr().out
    assert ">The Loop</p>" in (tmp_path / "page.html").read_text()


def test_what_such_a_host_stores_has_no_status(host: Any, tmp_path: Path) -> None:
    """A trial that raises, one that returns NaN, one that ends well and one that still runs."""
    path = tmp_path / "search.loop"
    loop = host.Loop(path, [Float("x", 0.0, 1.0)], Policy())
    results = iter([0.5, float("nan"), KeyError("units"), KeyboardInterrupt()])

    def objective(params: Mapping[str, Any]) -> float:
        result = next(results)
        if isinstance(result, BaseException):
            raise result
        return result

    with pytest.raises(KeyboardInterrupt):
        loop.run(objective, 4)
    assert all("status" not in trial for trial in json.loads(path.read_text())["trials"])
    rows = loop.report().trials
    assert list(rows.status) == ["completed", "failed", "failed", "running"]
    assert list(rows.cause.fillna("")) == ["", "unknown", "code_error", ""]
