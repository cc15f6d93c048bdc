"""Fit the failure prior to a sweep, and say how well it is calibrated on tasks it has not seen.

Each family of tasks is left out in turn. Compared are a logistic regression with hinges and
products, boosted trees, and the small networks that are shipped.

    python -m evaluation.failure_prior.fit --csv sweep.csv clipped.csv [--compare] [--write]

--write puts the model into robusttune/learning/failure_prior.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import robusttune._learning
from robusttune._learning.failure_prior import FILE, NUMBERS, FailurePrior, encode, with_products

CHOICES = {
    "optimizer": ("sgd", "adam", "rmsprop"),
    "activation": ("relu", "tanh", "sigmoid", "elu"),
    "loss": ("mse", "mae", "bce", "cce", "bce clipped", "cce clipped"),
}
_HIDDEN, _NETWORKS, _REFERENCE = (32, 16), 5, 48
_EDGES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
_KNOTS = {
    "learning_rate": (-4, -3, -2, -1, 0),
    "input_scale": (-1, 0, 1, 2),
    "target_scale": (0, 1, 2),
}

Array = np.ndarray[Any, Any]


def network(seed: int) -> Any:
    """Return an untrained network."""
    return MLPClassifier(_HIDDEN, alpha=0.1, max_iter=30, random_state=seed, batch_size=256)


class Networks:
    """A few networks on standardized columns, whose chances are averaged."""

    def fit(self, x: Array, y: Array) -> Networks:
        """Fit each of them."""
        self.scaler = StandardScaler().fit(x)
        self.each = [network(seed).fit(self.scaler.transform(x), y) for seed in range(_NETWORKS)]
        return self

    def predict_proba(self, x: Array) -> Array:
        """Return the averaged chances."""
        return np.mean([each.predict_proba(self.scaler.transform(x)) for each in self.each], axis=0)


def hinges(x: Array) -> Array:
    """Return the columns, hinges of some, and all products of two."""
    columns = [x]
    for name, knots in _KNOTS.items():
        column = x[:, [NUMBERS.index(name)]]
        columns += [np.maximum(column - knot, 0) for knot in knots]
    every = np.hstack(columns)
    first, second = np.triu_indices(every.shape[1])
    return np.hstack([every, every[:, first] * every[:, second]])


MODELS: dict[str, tuple[Callable[[Array], Array], Callable[[], Any]]] = {
    "networks": (with_products, Networks),
    "boosted trees": (
        lambda x: x,
        lambda: HistGradientBoostingClassifier(
            max_iter=120, max_leaf_nodes=15, learning_rate=0.08, l2_regularization=5
        ),
    ),
    "logistic": (
        hinges,
        lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=150)),
    ),
}


def read(paths: Sequence[Path]) -> tuple[Array, Array, Array]:
    """Return columns, which fits failed, and their families."""
    frame = pd.concat([pd.read_csv(path) for path in paths])
    x = encode(frame.to_dict("records"), CHOICES)
    return x, (~(frame["ratio"] < 1.0)).to_numpy(), frame["family"].to_numpy()


def left_out(x: Array, y: Array, families: Array, model: Callable[[], Any]) -> Array:
    """Return the chance of each fit, by a model that has not seen its family."""
    chances = np.zeros(len(y))
    for family in np.unique(families):
        out = families == family
        chances[out] = model().fit(x[~out], y[~out]).predict_proba(x[out])[:, 1]
    return chances


def calibration(chances: Array, failed: Array) -> dict[str, Any]:
    """Return Brier score, log loss and the reliability table."""
    table = []
    for low, high in itertools.pairwise(_EDGES):
        inside = (chances > low) & (chances <= high) if low else chances <= high
        if inside.any():
            rate = round(float(failed[inside].mean()), 3)
            table.append([low, high, int(inside.sum()), rate])
    surprise = -np.log(np.clip(np.where(failed, chances, 1 - chances), 1e-6, 1))
    return {
        "fits": len(failed),
        "brier": round(float(np.mean((chances - failed) ** 2)), 4),
        "brier_of_constant": round(float(failed.mean() * (1 - failed.mean())), 4),
        "log_loss": round(float(surprise.mean()), 4),
        "reliability": table,
    }


def show(name: str, chances: Array, failed: Array, families: Array) -> None:
    """Print how well a model is calibrated."""
    found = calibration(chances, failed)
    print(f"{name}: Brier {found['brier']}, log loss {found['log_loss']}")
    for low, high, count, rate in found["reliability"]:
        print(f"  said {low:.1f}-{high:.1f}: {count:6d} fits, {rate:.3f} failed")
    sure = chances > 0.9
    each = [f"{f} {failed[sure & (families == f)].mean():.3f}" for f in np.unique(families)]
    print("  failed of what is above 0.9:", ", ".join(each), flush=True)


def stored(x: Array, y: Array, families: Array, chances: Array) -> dict[str, Any]:
    """Return the model as JSON, fitted to all fits."""
    model = Networks().fit(with_products(x), y)
    rows = np.random.default_rng(0).choice(len(x), _REFERENCE, replace=False)
    networks = [
        [
            [np.round(weights, 4).tolist(), np.round(bias, 4).tolist()]
            for weights, bias in zip(each.coefs_, each.intercepts_, strict=True)
        ]
        for each in model.each
    ]
    return {
        "about": "made by evaluation/failure_prior/fit.py",
        "families": sorted(set(families)),
        "left_out": calibration(chances, y),
        "choices": CHOICES,
        "longest": 1000,
        "centre": np.round(model.scaler.mean_, 5).tolist(),
        "scale": np.round(model.scaler.scale_, 5).tolist(),
        "reference": np.round(x[rows], 3).tolist(),
        "networks": networks,
    }


def main() -> None:
    """Fit, show and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, nargs="+", required=True)
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    x, y, families = read(options.csv)
    every = {}
    for name, (columns, model) in MODELS.items():
        if name == "networks" or options.compare:
            every[name] = left_out(columns(x), y, families, model)
            show(name, every[name], y, families)
    if options.write:
        body = stored(x, y, families, every["networks"])
        path = Path(robusttune._learning.__file__).with_name(FILE)
        text = json.dumps(body, separators=(",", ":"))
        path.write_text(text + "\n", encoding="utf-8")
        prior, rows = FailurePrior.of(body), pd.read_csv(options.csv[0]).to_dict("records")[:500]
        brier = np.mean((prior.chances(rows) - y[:500]) ** 2)
        print(f"written: {len(text) / 1000:.0f} kB; Brier of the first 500 as stored {brier:.4f}")


if __name__ == "__main__":
    main()
