"""What happens to a search, with Keras Tuner or Optuna alone and with robusttune: measured.

Each case is a search of six trials on a tiny model, in which something goes wrong in the same way
on both sides; robusttune runs with its default policy where the table does not say otherwise. What
the table says is read from the searches when they have ended, by the same code for both sides.
Cases in which a process is killed or hangs run in processes of their own. What goes wrong in each
case is in `cases/`.

    python -m evaluation.with_and_without [--only NAME ...]

Prints a Markdown table. It takes some minutes; most of that is importing TensorFlow.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras_tuner
import numpy as np

from evaluation.cases.interrupted import crashed, half_written, hung, killed, worker_dies
from evaluation.cases.models import (
    LABELS,
    X,
    classifier,
    constant_predictions,
    growing_rate,
    rates,
    too_large,
    wrong_shapes,
)
from evaluation.cases.search import Search, scored, told
from evaluation.cases.studies import optuna_exception, optuna_nan

SIDES = ("plain", "robust")


def _with_nan() -> Search:
    x = X.copy()
    x[7, 2] = np.nan
    return Search(build=rates(), x=x)


_UNSCALED = Search(build=rates(), x=1000 * X)
_OVER_SIZE = Search(build=too_large, options={"max_model_size": 1000})
_INFINITE = Search(
    build=constant_predictions, objective=keras_tuner.Objective("val_signal_to_noise", "max")
)
_ACCURACY = Search(build=classifier, y=LABELS, objective="val_accuracy")

Run = Callable[[str, Path], str]
CASES: dict[str, tuple[str, Run]] = {
    "nan": (
        "three NaN trials in a row",
        lambda side, folder: told(Search(build=rates(100.0, 300.0, 1000.0)), side, folder),
    ),
    "late": (
        "NaN after good epochs",
        lambda side, folder: scored(Search(build=growing_rate), side, folder),
    ),
    "accuracy": (
        "NaN weights, and the objective is accuracy",
        lambda side, folder: scored(_ACCURACY, side, folder),
    ),
    "inf": ("an infinite score", lambda side, folder: scored(_INFINITE, side, folder)),
    "unscaled": ("unscaled data", lambda side, folder: told(_UNSCALED, side, folder)),
    "data": ("NaN in the data", lambda side, folder: scored(_with_nan(), side, folder)),
    "oversized": (
        "three models over `max_model_size`",
        lambda side, folder: told(_OVER_SIZE, side, folder),
    ),
    "shapes": (
        "three models that cannot be built",
        lambda side, folder: told(Search(build=wrong_shapes), side, folder),
    ),
    "killed": (
        "`RandomSearch` is killed, and started again",
        lambda side, folder: killed("killed", side, folder),
    ),
    "killed_grid": (
        "`GridSearch` is killed, and started again",
        lambda side, folder: killed("killed_grid", side, folder),
    ),
    "state": ("`oracle.json` is half-written", half_written),
    "crashed": ("a trial takes the process down (`isolate=True`)", crashed),
    "hung": ("a trial hangs (`isolate=True, trial_seconds=3`)", hung),
    "worker": ("one of two workers dies in its trial (`worker_silence=5`)", worker_dies),
    "optuna_nan": ("Optuna: a model becomes NaN", optuna_nan),
    "optuna_exception": ("Optuna: the objective raises", optuna_exception),
}


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep what tuners print, log and warn of to themselves."""
    logging.getLogger("robusttune").setLevel(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=CASES, metavar="NAME", default=list(CASES))
    arguments = parser.parse_args()
    print("| what goes wrong | alone | with robusttune |\n|---|---|---|")
    for name in arguments.only:
        title, run = CASES[name]
        cells = []
        for side in SIDES:
            with tempfile.TemporaryDirectory() as folder, quietly():
                began = time.perf_counter()
                cells.append(run(side, Path(folder)))
                seconds = time.perf_counter() - began
            print(f"{name}, {side}: {seconds:.0f} s", file=sys.stderr)
        print(f"| {title} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
