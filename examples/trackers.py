"""Causes in MLflow and in Weights & Biases: a search of 8 trials, of which 3 fail.

Both keep their runs in files here and need no network. Afterwards the script reads back what each
of them has: MLflow's database with MLflow's own client, and the files that `wandb sync` would send,
record by record as the protobuf messages that they are.

    python examples/trackers.py [optuna]

It takes a minute at most, leaves mlflow.db, mlruns and wandb in the current folder, and prints:

    MLflow: the search is FINISHED, with report.html; 8 trials, 3 failed
      trial 0000: FINISHED, value 0.002
      trial 0001: FAILED, divergent_learning_rate, diverged, confidence 0.94
      ...
    W&B: one group, 8 runs
      trial 0000: exit code 0, tags completed
      trial 0001: exit code 1, tags diverged divergent_learning_rate failed
      ...
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("WANDB_MODE", "offline")

import keras
import numpy as np
import optuna
import wandb
from mlflow import MlflowClient
from wandb.proto import wandb_internal_pb2

import robusttune
from robusttune.optuna import TrialGuard, robust
from robusttune.trackers import MLflowTracker, WandbTracker

STORE = "sqlite:///mlflow.db"
RATES = (0.1, 1e6, 0.05, 0.02, 1e7, 0.2, 1e5, 0.01)  # three of them diverge

rng = np.random.default_rng(0)
X = rng.normal(size=(256, 8)).astype("float32")
Y = X @ rng.normal(size=(8, 1)).astype("float32")


def model_of(rate: float) -> keras.Model:
    """Return a linear model."""
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def search_with_keras_tuner(trackers: list[Any]) -> None:
    """Search as ever; the trackers are one more argument."""
    tuner = robusttune.GridSearch(
        lambda hp: model_of(hp.Choice("rate", RATES)),
        objective="loss",
        directory="search",
        overwrite=True,
        policy=robusttune.Policy(avoid_unstable=False, sanitize="off"),
        record_callbacks=trackers,
    )
    tuner.search(X, Y, epochs=3, verbose=0)


def search_with_optuna(trackers: list[Any]) -> None:
    """Search as ever; the trackers are an argument of `robust`."""

    def objective(trial: optuna.Trial) -> float:
        model = model_of(trial.suggest_categorical("rate", RATES))
        history = model.fit(X, Y, epochs=3, verbose=0, callbacks=[TrialGuard(trial)])
        return float(history.history["loss"][-1])

    study = optuna.create_study(sampler=optuna.samplers.GridSampler({"rate": RATES}, seed=0))
    study.optimize(robust(objective, record_callbacks=trackers), n_trials=8)


def show_mlflow(parent: str) -> None:
    """Print what MLflow's client reads of the search and of its trials."""
    client = MlflowClient(tracking_uri=STORE)
    search = client.get_run(parent)
    files = [file.path for file in client.list_artifacts(parent)]
    trials, failed = (search.data.metrics[f"robusttune.{n}"] for n in ("trials", "failed"))
    print(
        f"MLflow: the search is {search.info.status}, with {', '.join(files)};"
        f" {trials:.0f} trials, {failed:.0f} failed"
    )
    runs = client.search_runs(
        [search.info.experiment_id],
        f"tags.`mlflow.parentRunId` = '{parent}'",
        order_by=["attributes.run_name"],
    )
    for run in runs:
        line = f"  {run.info.run_name}: {run.info.status}"
        if run.info.status == "FAILED":
            cause, symptom = (run.data.tags[f"robusttune.{n}"] for n in ("cause", "symptom"))
            confidence = run.data.metrics["robusttune.confidence"]
            print(f"{line}, {cause}, {symptom}, confidence {confidence:.2f}")
        else:
            print(f"{line}, value {run.data.metrics['value']:.3f}")


def wandb_messages(path: Path) -> Iterator[Any]:
    """Read an offline run: blocks of 32 kB of chunks, each after 7 bytes of header."""
    content, at, message = path.read_bytes(), 7, b""
    while at + 7 <= len(content):
        left_in_block = 32_768 - at % 32_768
        if left_in_block < 7:
            at += left_in_block
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        message += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last chunk
            yield wandb_internal_pb2.Record.FromString(message)
            message = b""


def show_wandb(group: str) -> None:
    """Print what the files of the offline runs have of a group."""
    lines = []
    for path in Path("wandb").glob("offline-run-*/run-*.wandb"):
        messages = list(wandb_messages(path))
        run = next(m.run for m in messages if m.WhichOneof("record_type") == "run")
        code = next(m.exit.exit_code for m in messages if m.WhichOneof("record_type") == "exit")
        if run.run_group == group:
            tags = " ".join(sorted(run.tags))
            lines.append(f"  {run.display_name}: exit code {code}, tags {tags}")
    print(f"W&B: one group, {len(lines)} runs", *sorted(lines), sep="\n")


def main(host: str = "keras_tuner") -> None:
    """Search with both trackers at once, and show what each has."""
    keras.utils.set_random_seed(0)
    with MLflowTracker(tracking_uri=STORE, experiment="search") as for_mlflow:
        for_wandb = WandbTracker(project="search")
        search = search_with_optuna if host == "optuna" else search_with_keras_tuner
        search([for_mlflow, for_wandb])
    assert for_mlflow.parent_run_id is not None
    show_mlflow(for_mlflow.parent_run_id)
    wandb.teardown()  # the process that writes W&B's files ends when it has written all
    show_wandb(for_wandb.group)


if __name__ == "__main__":
    main(*sys.argv[1:])
