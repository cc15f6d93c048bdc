"""The demo: an unstable search on real data, run to its end, with its report.

The data are the diabetes table of scikit-learn as it was measured, unscaled. The target is the
progression of the disease, in hundreds of points above the least in the table: it is 0 for one
patient, and a loss that divides by it is infinite there.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

TRIALS = 30
EPOCHS = 15
SEED = 4


def run(directory: Path, trials: int = TRIALS) -> int:
    """Run the search, show it, and write its report.

    Args:
        directory: Where the project and the report are written; the demo's own older files there
            are replaced.
        trials: How many trials.

    Returns:
        The exit code, 0.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    console = Console(file=sys.stdout)
    console.print(
        f"{trials} trials on the diabetes table, unscaled: learning rates from 1e-5 to 10, with and"
        " without a Normalization layer, and a loss that divides by the target.",
        highlight=False,
    )
    began = time.perf_counter()
    project = directory / "search"
    if project.exists():
        shutil.rmtree(project)
    report = search(project, trials, console)
    seconds = time.perf_counter() - began
    console.print(f"\nThe search ended after {seconds:.0f} s, with all its trials.\n")
    console.print(report.summary(width=min(console.width, 120)), markup=False, highlight=False)
    written = [*report.to_csv(directory), report.to_html(directory / "report.html")]
    for path in written:
        console.print(path, highlight=False, soft_wrap=True)
    return 0


def search(project: Path, trials: int, console: Console) -> Any:
    """Run the search in the folder `project` and return its report."""
    import keras
    import keras_tuner
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import train_test_split

    import robusttune

    features, progression = load_diabetes(return_X_y=True, scaled=False)
    target = (progression - progression.min()).reshape(-1, 1) / 100
    x, x_val, y, y_val = train_test_split(
        features.astype("float32"), target.astype("float32"), test_size=0.25, random_state=SEED
    )
    if 0 not in y:
        raise AssertionError("the patient with target 0 must be in the training data")

    def percentage_error(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(keras.ops.abs((y_true - y_pred) / y_true))

    def build(hp: Any) -> Any:
        model = keras.Sequential([keras.Input((x.shape[1],))])
        if hp.Boolean("normalize"):
            normalization = keras.layers.Normalization()
            normalization.adapt(x)
            model.add(normalization)
        model.add(keras.layers.Dense(hp.Int("units", 8, 64, step=8), activation="relu"))
        model.add(keras.layers.Dense(1))
        rate = hp.Float("learning_rate", 1e-5, 10.0, sampling="log")
        loss = hp.Choice("loss", ["mse", "percentage_error"])
        model.compile(
            keras.optimizers.SGD(rate),
            loss=percentage_error if loss == "percentage_error" else "mse",
            metrics=["mae"],
        )
        return model

    class ShownSearch(robusttune.RandomSearch):  # type: ignore[misc, unused-ignore]
        """Shows one line a trial, in place of Keras Tuner's own screen."""

        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            record = self.oracle.robusttune_records()[trial.trial_id]
            values = trial.hyperparameters.values
            shown = ", ".join(
                f"{name}={value:.2g}" if isinstance(value, float) else f"{name}={value}"
                for name, value in values.items()
            )
            if record.unstable:
                at = "" if record.step is None else f" at step {record.step}"
                where = f"{record.symptom}{at}"
                result = f"[red]{record.status}: {record.cause}[/] ({where})"
            else:
                result = f"[green]val_mae {record.value:.2f}[/]"
            line = f"trial {trial.trial_id}  {shown}: {result}"
            console.print(line, highlight=False, soft_wrap=True)

    # Each trial has its own line here, the failing ones too.
    logging.getLogger("robusttune").setLevel(logging.ERROR)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # which counts how often Keras traces
    keras.utils.set_random_seed(SEED)
    tuner = ShownSearch(
        build,
        objective=keras_tuner.Objective("val_mae", "min"),
        max_trials=trials,
        seed=SEED,
        directory=str(project.parent),
        project_name=project.name,
        # The same verdicts also where the machine is busy.
        policy=robusttune.Policy(diagnosis_seconds=30.0),
    )
    tuner.search(x, y, validation_data=(x_val, y_val), epochs=EPOCHS, batch_size=32, verbose=0)
    return tuner.report()
