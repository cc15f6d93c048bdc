"""What sanitizing does to the search spaces that people publish, and to a search in a bad one.

    python -m benchmarks.sanitize spaces [--csv FILE]
    python -m benchmarks.sanitize search [--rates linear|log] [--data digits,diabetes]
                                         [--seeds N] [--trials N] [--epochs N]

`spaces` prints what becomes of each space in public_spaces.py: its source, and for each changed
parameter before -> after. It fails if anything is not as the table says.

`search` runs Keras Tuner's random search in an unstable space on real data, with and without
sanitizing, with the same budget and seeds, and counts the failing trials: those whose loss is not
finite in some epoch, that raise, or that end no better than the best constant prediction. Also
printed is the score of the best trial.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_tuner
import numpy as np
import optuna
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks.public_spaces import SPACES
from benchmarks.spaces.space import Space
from robusttune import Policy, SearchSpaceWarning
from robusttune._keras_tuner.space.sanitizer import SpaceSanitizer, neutral
from robusttune._space import Choice, Float, Int, Parameter
from robusttune.optuna._space import sanitize_trial


def declare(hp: keras_tuner.HyperParameters, parameter: Parameter) -> Any:
    """Declare a parameter in Keras Tuner and return its value."""
    if isinstance(parameter, Choice):
        return hp.Choice(parameter.name, list(parameter.choices), default=parameter.default)
    kind = hp.Int if isinstance(parameter, Int) else hp.Float
    return kind(
        parameter.name,
        parameter.low,
        parameter.high,
        step=parameter.step,
        sampling="log" if parameter.log else "linear",
        default=parameter.default,
    )


def suggest(trial: optuna.Trial, parameter: Parameter) -> Any:
    """Ask Optuna for a value of a parameter."""
    if isinstance(parameter, Choice):
        return trial.suggest_categorical(parameter.name, parameter.choices)
    step = {} if parameter.step is None else {"step": parameter.step}
    kind = trial.suggest_float if isinstance(parameter, Float) else trial.suggest_int
    return kind(parameter.name, parameter.low, parameter.high, log=parameter.log, **step)


def model_of(space: Space) -> Callable[[keras_tuner.HyperParameters], keras.Model]:
    """Return the build function of a Keras Tuner space."""

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        layers: list[keras.layers.Layer] = []
        optimizer, settings = space.optimizer, {}
        for parameter, use in space.parameters:
            value = declare(hp, parameter)
            if use == "optimizer":
                optimizer = value
            elif use == "units":
                layers.append(keras.layers.Dense(value))
            elif use == "units or none":
                layers.extend([keras.layers.Dense(value)] if value else [])
            elif use == "dropout":
                layers.append(keras.layers.Dropout(value))
            elif use == "dropout/10":
                layers.append(keras.layers.Dropout(value / 10))
            elif use == "l2":
                layers.append(
                    keras.layers.Dense(2, kernel_regularizer=keras.regularizers.L2(value))
                )
            elif use:
                settings[use] = value
        model = keras.Sequential([keras.layers.Input((4,)), *layers, keras.layers.Dense(1)])
        model.compile(type(keras.optimizers.get(optimizer))(**settings), loss="mse")
        return model

    return build


def sanitized(space: Space) -> dict[str, str]:
    """Return what each changed parameter of a space becomes, as text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if space.host == "keras_tuner":
            hps = keras_tuner.HyperParameters()
            build = model_of(space)
            build(hps)
            before = {hp.name: str(neutral(hp)) for hp in hps.space}
            SpaceSanitizer(build, Policy()).sanitize(hps)
            after = {hp.name: str(neutral(hp)) for hp in hps.space}
            return {name: text for name, text in after.items() if text != before[name]}
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        trial = sanitize_trial(study.ask())
        for parameter, _ in space.parameters:
            suggest(trial, parameter)
        held = study.trials[0].distributions
    changed = {a["parameter"] for a in study.user_attrs.get("robusttune:adjustments", [])}
    texts = {}
    for name in sorted(changed):
        d = held[name]
        if isinstance(d, optuna.distributions.CategoricalDistribution):
            texts[name] = str(Choice(name, d.choices))
        elif isinstance(d, optuna.distributions.FloatDistribution):
            texts[name] = str(Float(name, d.low, d.high, d.log, d.step))
        else:
            assert isinstance(d, optuna.distributions.IntDistribution)
            texts[name] = str(Int(name, d.low, d.high, d.log, d.step))
    return texts


def show_spaces(path: str | None) -> int:
    """Print the table; return how many spaces did not come out as expected."""
    rows, wrong = [], 0
    for space in SPACES:
        changes = sanitized(space)
        wrong += changes != dict(space.changes)
        asked = {parameter.name: str(parameter) for parameter, _ in space.parameters}
        told = "; ".join(f"{name}: {asked[name]} -> {text}" for name, text in changes.items())
        mark = "" if changes == dict(space.changes) else f"   EXPECTED {dict(space.changes)}"
        print(f"{space.source}\n    {told or 'untouched'}{mark}")
        rows.append([space.source, space.host, len(asked), told])
    sound = sum(not space.changes for space in SPACES)
    print(
        f"\n{len(SPACES)} spaces: {sound} sound ones, {len(SPACES) - sound} to be changed;"
        f" {wrong} not as expected"
    )
    if path:
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["source", "host", "parameters", "changes"], *rows])
    return wrong


@dataclass(frozen=True)
class Data:
    """Training and validation data, and the loss of the best constant prediction."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    classes: int
    constant: float


def load(name: str) -> Data:
    """Load a data set that comes with scikit-learn; inputs and targets are standardized."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.25, random_state=0)
    scaler = StandardScaler().fit(x_train)
    x_train, x_val = scaler.transform(x_train), scaler.transform(x_val)
    if name == "diabetes":
        mean, spread = y_train.mean(), y_train.std()
        y_train, y_val = (y_train - mean) / spread, (y_val - mean) / spread
        classes, constant = 0, float(np.mean(y_val**2))
    else:
        classes = int(y.max()) + 1
        shares = np.bincount(y_train) / len(y_train)
        constant = float(-np.mean(np.log(shares[y_val])))
    return Data((x_train, y_train), (x_val, y_val), classes, constant)


# Ranges that people do write. "linear" asks for rates from 0 to 10, "log" for nearly the same in
# the logarithm, so that only the caps and the other ranges are left to mend.
RATES = {
    "linear": {"min_value": 0.0, "max_value": 10.0},
    "log": {"min_value": 1e-5, "max_value": 10.0, "sampling": "log"},
}


def unstable_build(data: Data, rates: str) -> Callable[[keras_tuner.HyperParameters], keras.Model]:
    """Return a build function with dropout and momentum from 0 to 1, and rates up to 10."""

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        layers: list[keras.layers.Layer] = [keras.layers.Input((data.train[0].shape[1],))]
        for _ in range(hp.Int("layers", 1, 2)):
            layers.append(keras.layers.Dense(hp.Int("units", 16, 128, step=16), activation="relu"))
            layers.append(keras.layers.Dropout(hp.Float("dropout", 0.0, 1.0, step=0.1)))
        layers.append(keras.layers.Dense(data.classes or 1, "softmax" if data.classes else None))
        rate, momentum = hp.Float("lr", **RATES[rates]), hp.Float("momentum", 0.0, 1.0)
        if hp.Choice("optimizer", ["sgd", "adam", "rmsprop"]) == "sgd":
            optimizer: Any = keras.optimizers.SGD(rate, momentum=momentum)
        elif hp.get("optimizer") == "adam":
            optimizer = keras.optimizers.Adam(rate)
        else:
            optimizer = keras.optimizers.RMSprop(rate, momentum=momentum)
        model = keras.Sequential(layers)
        model.compile(optimizer, "sparse_categorical_crossentropy" if data.classes else "mse")
        return model

    return build


NO_SCORE = 1e30  # keeps a plain Keras Tuner going, which ends after three failures in a row


def search(
    data: Data, rates: str, seed: int, trials: int, epochs: int, *, sanitize: bool
) -> tuple[int, int, float]:
    """Run one search; return non-finite trials, all failing trials and the best validation loss."""
    keras.utils.set_random_seed(seed)
    build = unstable_build(data, rates)
    non_finite, failing, best = 0, 0, float("inf")

    class Tuner(keras_tuner.RandomSearch):
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal non_finite, failing, best
            try:
                model = self.hypermodel.build(trial.hyperparameters)
                fit = model.fit(*data.train, epochs=epochs, verbose=0, batch_size=32)
                final = float(model.evaluate(*data.validation, verbose=0))
            except Exception as error:
                print(f"a trial raised {error!r}", file=sys.stderr)
                failing += 1
                return NO_SCORE
            finite = bool(np.all(np.isfinite([*fit.history["loss"], final])))
            non_finite += not finite
            failing += not finite or final >= data.constant
            best = min(best, final) if finite else best
            return final if finite else NO_SCORE

    with tempfile.TemporaryDirectory() as directory:
        tuner = Tuner(build, max_trials=trials, seed=seed, directory=directory)
        if sanitize:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SearchSpaceWarning)
                SpaceSanitizer(tuner.hypermodel.build, Policy()).sanitize(
                    tuner.oracle.hyperparameters
                )
        tuner.search(verbose=0)
    return non_finite, failing, best


def show_search(names: list[str], rates: str, seeds: int, trials: int, epochs: int) -> None:
    """Print failing trials and the best score, with and without, seed by seed."""
    for name in names:
        data = load(name)
        print(
            f"\n{name}, {rates} rates: {seeds} seeds x {trials} trials x {epochs} epochs;"
            f" the best constant prediction has a validation loss of {data.constant:.3f}"
        )
        columns = f"{'NaN':>8}{'failing':>9}{'best':>9}"
        print(f"{'seed':>6}   without:{columns}   with:{columns}")
        rows = []
        for seed in range(1, seeds + 1):  # Keras Tuner takes 0 as no seed
            began = time.perf_counter()
            row = [
                *search(data, rates, seed, trials, epochs, sanitize=False),
                *search(data, rates, seed, trials, epochs, sanitize=True),
            ]
            rows.append(row)
            print(f"{seed:>6}{_cells(row)}   {time.perf_counter() - began:.0f} s", flush=True)
        print(f"{'mean':>6}{_cells(np.mean(rows, axis=0))}", flush=True)


def _cells(row: Sequence[float]) -> str:
    without, with_ = (f"{row[i]:>8g}{row[i + 1]:>9g}{row[i + 2]:>9.3g}" for i in (0, 3))
    return f"{'':11}{without}{'':8}{with_}"


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    spaces = commands.add_parser("spaces", help="the table of public spaces")
    spaces.add_argument("--csv", help="also write the table to a file")
    searching = commands.add_parser("search", help="a search with and without sanitizing")
    searching.add_argument("--seeds", type=int, default=5)
    searching.add_argument("--trials", type=int, default=20)
    searching.add_argument("--epochs", type=int, default=8)
    searching.add_argument("--rates", choices=RATES, default="linear")
    searching.add_argument("--data", default="digits,diabetes", help="of scikit-learn")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if arguments.command == "spaces":
        sys.exit(1 if show_spaces(arguments.csv) else 0)
    show_search(
        arguments.data.split(","),
        arguments.rates,
        arguments.seeds,
        arguments.trials,
        arguments.epochs,
    )


if __name__ == "__main__":
    main()
