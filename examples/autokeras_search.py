"""AutoKeras on robusttune: its own tuner made robust, with a policy and record callbacks.

AutoModel takes a tuner class, and hands what it does not know itself on to that tuner: so `policy=`
and `record_callbacks=` are arguments of AutoModel. The same holds for its tasks, such as
`ak.ImageClassifier(tuner=...)`. The block below is unstable on purpose: one of its scales is huge.

    pip install autokeras
    python examples/autokeras_search.py

It takes a minute at most and prints something like:

    trial 0: completed, no cause
    trial 1: completed, no cause
    trial 2: failed, unknown
    3 trials, 1 failed; the best has a loss of 0.97
"""

from __future__ import annotations

from typing import Any

import autokeras as ak
import keras
import numpy as np
from autokeras.tuners.greedy import Greedy

import robusttune


class Scaled(ak.Block):
    """A layer whose outputs are multiplied, in some trials by too much."""

    def build(self, hp: Any, inputs: Any = None) -> Any:
        """Return the outputs of the block."""
        outputs = keras.layers.Dense(8)(keras.tree.flatten(inputs)[0])
        return keras.layers.Rescaling(hp.Choice("scale", [1.0, 1e30]))(outputs)


class Head(ak.ClassificationHead):
    """AutoKeras 3.0 hands the layer a NumPy integer, which Keras 3.15 refuses."""

    def build(self, hp: Any, inputs: Any = None) -> Any:
        """Return the outputs of the head."""
        self.shape = [int(size) for size in self.shape]
        return super().build(hp, inputs)


def main() -> None:
    """Search, and say how each trial ended."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 8)).astype("float32")
    y = (x @ rng.normal(size=(8, 3))).argmax(axis=1)
    entry = ak.Input()
    model = ak.AutoModel(
        inputs=entry,
        outputs=Head()(Scaled()(entry)),
        tuner=robusttune.robust(Greedy),  # was: tuner="greedy"
        policy=robusttune.Policy(diagnosis_seconds=2.0),
        record_callbacks=[
            lambda trial, record: print(
                f"trial {record.number}: {record.status}, {record.cause or 'no cause'}"
            )
        ],
        max_trials=3,
        overwrite=True,
        seed=3,
    )
    model.fit(x, y, epochs=2, validation_split=0.25, verbose=0)
    trials = model.tuner.report().trials
    failed, best = (trials.status == "failed").sum(), trials.value.min()
    print(f"{len(trials)} trials, {failed} failed; the best has a loss of {best:.2g}")


if __name__ == "__main__":
    main()
