"""Up to which learning rate does anything train at all, per optimizer?

The caps of robusttune._space may only cut what practically never trains. Each optimizer fits six
small models on real data that comes with scikit-learn, for some seeds, at learning rates from 0.03
to 100. Printed is the share of the fits that train: their validation loss ends at least 10 % below
that of the best constant prediction.

Usage: python -m benchmarks.learning_rate_caps [--seeds N] [--epochs N] [--optimizers adam,sgd]
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

RATES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)

OPTIMIZERS: dict[str, Callable[[float], keras.optimizers.Optimizer]] = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "adamax": keras.optimizers.Adamax,
    "nadam": keras.optimizers.Nadam,
    "rmsprop": keras.optimizers.RMSprop,
    "lion": keras.optimizers.Lion,
    "sgd": keras.optimizers.SGD,
    "sgd+momentum": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
    "adagrad": keras.optimizers.Adagrad,
    "adadelta": keras.optimizers.Adadelta,
    "ftrl": keras.optimizers.Ftrl,
}


@dataclass(frozen=True)
class Task:
    """Data, a model and its loss."""

    load: Callable[..., tuple[np.ndarray, np.ndarray]]
    layers: Callable[[], list[keras.layers.Layer]]
    outputs: int  # 0: regression


def dense(width: int) -> keras.layers.Layer:
    """Return the usual hidden layer."""
    return keras.layers.Dense(width, activation="relu")


TASKS = {
    "digits linear": Task(datasets.load_digits, list, 10),
    "digits mlp": Task(datasets.load_digits, lambda: [dense(64), dense(64)], 10),
    "digits mlp+bn": Task(
        datasets.load_digits,
        lambda: [
            dense(64),
            keras.layers.BatchNormalization(),
            dense(64),
            keras.layers.BatchNormalization(),
        ],
        10,
    ),
    "digits cnn": Task(
        datasets.load_digits,
        lambda: [
            keras.layers.Reshape((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Flatten(),
        ],
        10,
    ),
    "diabetes linear": Task(datasets.load_diabetes, list, 0),
    "diabetes mlp": Task(datasets.load_diabetes, lambda: [dense(32)], 0),
}


def trains(
    task: Task, make: Callable[[float], object], rate: float, seed: int, epochs: int
) -> bool:
    """Return whether a fit ends clearly better than a constant."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    x, y = task.load(return_X_y=True)
    x_train, x_val, y_train, y_val = train_test_split(x, y, test_size=0.25, random_state=seed)
    scaler = StandardScaler().fit(x_train)
    x_train, x_val = scaler.transform(x_train), scaler.transform(x_val)
    if task.outputs:
        shares = np.bincount(y_train, minlength=task.outputs) / len(y_train)
        constant = float(-np.mean(np.log(shares[y_val])))
        head = keras.layers.Dense(task.outputs, activation="softmax")
        loss = "sparse_categorical_crossentropy"
    else:
        mean, spread = y_train.mean(), y_train.std()
        y_train, y_val = (y_train - mean) / spread, (y_val - mean) / spread
        constant = float(np.mean(y_val**2))
        head = keras.layers.Dense(1)
        loss = "mse"
    model = keras.Sequential([keras.layers.Input((x.shape[1],)), *task.layers(), head])
    model.compile(optimizer=make(rate), loss=loss)
    model.fit(x_train, y_train, batch_size=32, epochs=epochs, verbose=0)
    final = model.evaluate(x_val, y_val, verbose=0)
    return bool(np.isfinite(final) and final < 0.9 * constant)


def main() -> None:
    """Print one row per optimizer and one column per learning rate."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--optimizers", default=",".join(OPTIMIZERS))
    arguments = parser.parse_args()
    print(
        f"{'optimizer':14}" + "".join(f"{rate:>8g}" for rate in RATES) + "   trains at the most in"
    )
    for name in arguments.optimizers.split(","):
        row, last = [], {}
        for rate in RATES:
            outcomes = {
                task_name: [
                    trains(task, OPTIMIZERS[name], rate, seed, arguments.epochs)
                    for seed in range(arguments.seeds)
                ]
                for task_name, task in TASKS.items()
            }
            row.append(np.mean([np.mean(o) for o in outcomes.values()]))
            last |= {task_name: rate for task_name, o in outcomes.items() if any(o)}
        highest = ", ".join(f"{task} {rate:g}" for task, rate in last.items())
        print(
            f"{name:14}" + "".join(f"{share:>8.0%}" for share in row) + f"   {highest}", flush=True
        )


if __name__ == "__main__":
    main()
