"""Notebooks: what a cell shows at the end of a search, in a real kernel, and values as tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from robusttune import Policy, TrialRecord
from robusttune._report.words import count_of_causes

SEARCH = """
import keras
import numpy as np
import robusttune

def build(hp):
    rate = hp.Choice("rate", [0.1, 1e6, 0.05, 0.02, 1e7])
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model

policy = robusttune.Policy(sanitize="off", avoid_unstable=False)
tuner = robusttune.GridSearch(build, "loss", directory="search", policy=policy)
x = np.random.default_rng(0).normal(size=(128, 4)).astype("float32")
"""


def text_of(cell: Any) -> str:
    """Return what a cell shows in the end, as text."""
    shown = [
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    ]
    return re.sub(r"\x1b\[[0-9;]*m", "", "".join(shown))


@pytest.mark.full
def test_a_cell_says_in_the_end_what_failed(tmp_path: Path) -> None:
    """Keras Tuner clears it at each trial, and with it the trial's own warning."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    cells = [SEARCH, "tuner.search(x, x[:, :1], epochs=2)", "policy", "tuner.report().records[1]"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    kernel = {"name": "python3", "display_name": "Python", "language": "python"}
    notebook.metadata["kernelspec"] = kernel
    nbclient.NotebookClient(
        notebook, timeout=280, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    search, policy, record = notebook.cells[1:]
    last = text_of(search)  # two streams, in no order
    line = "2 of 5 trials failed: divergent_learning_rate 2; tuner.report() has more\n"
    assert last.count(line) == 1
    assert "Trial 5 Complete" in last
    assert "Trial 4 Complete" not in last  # so the cell was cleared
    assert "diverged in epoch" not in last
    assert "<caption>Policy" in policy.outputs[0]["data"]["text/html"]
    assert "divergent_learning_rate" in record.outputs[0]["data"]["text/html"]


def record(trial_id: int, cause: str | None = None, status: str = "completed") -> TrialRecord:
    """A trial that has ended."""
    fields: dict[str, Any] = {"status": status, "unstable": cause is not None, "cause": cause}
    return TrialRecord(trial_id=str(trial_id), **fields)


def test_count_of_causes() -> None:
    """The commonest first; trials that were only unstable are told apart."""
    bad = [record(n, "unsafe_loss", "failed") for n in range(2)]
    worse = record(3, "divergent_learning_rate", "failed")
    unstable = record(4, "divergent_learning_rate")
    good = [record(n) for n in range(5, 8)]
    assert count_of_causes([*bad, worse, *good]) == (
        "3 of 6 trials failed: unsafe_loss 2, divergent_learning_rate 1"
    )
    assert count_of_causes([*bad, unstable]) == (
        "2 of 3 trials failed and 1 more completed but was unstable:"
        " unsafe_loss 2, divergent_learning_rate 1"
    )
    assert count_of_causes([unstable, *good]).startswith(
        "None of 4 trials failed; 1 completed but was"
    )
    assert count_of_causes(good) == "None of 3 trials failed"


def test_a_record_as_html_is_escaped() -> None:
    """It may have text of an exception and of the user's own in any field."""
    html = TrialRecord(
        trial_id="<b>7",
        status="failed",
        cause="code_error",
        advice="<script>x</script>",
        error="ValueError: <img src=x>" + "y" * 1000,
        evidence={"<i>": ["<u>"]},
        params={"rate & co": 0.1},
    )._repr_html_()
    assert not re.search(r"<(script|img|i|u)\b", html)
    assert "&lt;b&gt;7" in html
    assert "code_error" in html
    assert "{&quot;rate &amp; co&quot;:0.1}" in html
    assert "y" * 500 not in html
    assert "number" not in html  # what is not known is left out


def test_a_policy_as_html_shows_what_was_changed() -> None:
    """All fields, those that are not the default in bold."""
    html = Policy(clip=1.0, keep=frozenset({"<lr>"}))._repr_html_()
    assert re.findall(r"<b>(.*?)</b>", html) == ["1.0", "frozenset({&#x27;&lt;lr&gt;&#x27;})"]
    assert html.count("<tr>") == len(Policy.__dataclass_fields__)
    assert "<b>" not in Policy()._repr_html_()
