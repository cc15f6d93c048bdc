"""A search with Keras Tuner, alone or with robusttune, and what is told of it when it has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np

import robusttune
from evaluation.cases.models import TRIALS, Build, X, Y

EPOCHS = 6


class CountEpochs(keras.callbacks.Callback):
    """Counts the epochs of all fits; tuners copy it, so that the count is the class's."""

    total = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Count one."""
        CountEpochs.total += 1


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search and what goes wrong in it.

    Args:
        build: Builds the model of a trial; `hp.Int("n", 0, 5)` is the number of the trial.
        x: Inputs.
        y: Targets.
        objective: Of the tuner.
        policy: Fields of robusttune's policy that are not the default.
        options: Arguments of the tuner.
        kind: Keras Tuner's name of the tuner. A grid goes through the trials in their order.
    """

    build: Build | keras_tuner.HyperModel
    x: Any = field(default_factory=lambda: X)
    y: Any = field(default_factory=lambda: Y)
    objective: Any = "val_loss"
    policy: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    kind: str = "GridSearch"

    def tuner(self, side: str, folder: Path) -> Any:
        """Return the tuner of a side; it goes on with what lies in the folder."""
        known: dict[str, Any] = {
            "objective": self.objective,
            "directory": str(folder),
            "project_name": "search",
            **self.options,
        }
        if side == "plain":
            return getattr(keras_tuner, self.kind)(self.build, **known)
        policy = robusttune.Policy(**self.policy)
        return getattr(robusttune, self.kind)(self.build, policy=policy, **known)

    def run(self, tuner: Any) -> None:
        """Search."""
        data = {"validation_data": (self.x, self.y), "batch_size": 16, "epochs": EPOCHS}
        tuner.search(self.x, self.y, verbose=0, callbacks=[CountEpochs()], **data)


def stored(folder: Path) -> Counter[str]:
    """Return how many trials have which status, by the project folder."""
    return Counter(robusttune.Report.from_directory(folder / "search").trials["status"])


def described(states: Mapping[str, int], error: Exception | None = None) -> str:
    """Say what came of a search.

    Args:
        states: How many trials have which status.
        error: What the search raised.
    """
    failed = states.get("failed", 0)
    ended = states.get("completed", 0) + failed
    if error is not None:
        return f"**{type(error).__name__}** after {ended} of {TRIALS} trials"
    return f"{ended} of {TRIALS} trials" + (f", {failed} failed" if failed else "")


def searched(search: Search, side: str, folder: Path) -> tuple[Any, str]:
    """Run a search in this process; return its tuner, and how it ended."""
    CountEpochs.total = 0
    tuner = search.tuner(side, folder)
    error: Exception | None = None
    try:
        search.run(tuner)
    except Exception as caught:  # what the table shows
        error = caught
    oracle = tuner.oracle
    text = described(Counter(oracle.trials[id_].status.lower() for id_ in oracle.end_order), error)
    if side == "robust":
        causes = Counter(robusttune.Report.from_tuner(tuner).failures["cause"])
        if causes:
            text += ": " + ", ".join(f"{cause} ({n})" for cause, n in causes.most_common())
    return tuner, text


def told(search: Search, side: str, folder: Path) -> str:
    """Run a search and say how it ended."""
    return searched(search, side, folder)[1]


def scored(search: Search, side: str, folder: Path) -> str:
    """Run a search; say how it ended, how many epochs were trained, and the best score."""
    tuner, text = searched(search, side, folder)
    best = tuner.oracle.get_best_trials(1)
    if not best:
        return f"{text}; {CountEpochs.total} epochs"
    weights = tuner.get_best_models(1)[0].get_weights()
    of = "" if all(np.isfinite(array).all() for array in weights) else " **of NaN weights**"
    return f"{text}; {CountEpochs.total} epochs; best score {best[0].score:.3g}{of}"
