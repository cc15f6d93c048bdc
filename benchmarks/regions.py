"""How well regions are found: planted shapes, noise, and time, beside a plain decision tree.

    python -m benchmarks.regions                 about ten minutes
    python -m benchmarks.regions --repeats 5 --noise-studies 50

A search space of seven hyperparameters is sampled at random; trials fail in a planted shape, whose
borders are no round numbers (the rules that are found prefer those). IoU is measured on 4,000 fresh
points. The tree is scikit-learn's, of depth 4, on the same trials.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from robusttune._regions import Axis, find_regions

Sample = dict[str, Any]
OPTIMIZERS = ("sgd", "adam", "rmsprop")
AXES = {
    axis.name: axis
    for axis in (
        Axis(name="learning_rate", kind="float", log=True),
        Axis(name="units", kind="int", log=True),
        Axis(name="dropout", kind="float"),
        Axis(name="depth", kind="int"),
        Axis(name="momentum", kind="float"),
        Axis(name="optimizer", kind="choice"),
        Axis(name="batch_norm", kind="choice"),
    )
}
SHAPES: dict[str, Callable[[Sample], Any]] = {
    "threshold": lambda s: s["learning_rate"] > 0.137,
    "lr & optimizer": lambda s: (s["learning_rate"] > 0.0123) & (s["optimizer"] == "sgd"),
    "two boxes": lambda s: (
        ((s["learning_rate"] > 0.137) & (s["optimizer"] == "adam"))
        | ((s["dropout"] > 0.343) & (s["depth"] > 5))
    ),
    "three-way": lambda s: (
        (s["learning_rate"] > 0.0123) & (s["optimizer"] != "adam") & ~s["batch_norm"]
    ),
    "diagonal": lambda s: s["learning_rate"] * s["units"] > 2.87,
    "momentum & lr": lambda s: (s["momentum"] > 0.53) & (s["learning_rate"] > 0.00117),
}


def draw(trials: int, rng: np.random.Generator) -> Sample:
    """Return random trials; momentum is active with sgd only."""
    optimizer = rng.choice(OPTIMIZERS, trials)
    return {
        "learning_rate": 10 ** rng.uniform(-5, 1, trials),
        "units": np.exp(rng.uniform(np.log(8), np.log(512), trials)).round().astype(int),
        "dropout": rng.uniform(0, 0.5, trials),
        "depth": rng.integers(1, 9, trials),
        "momentum": np.where(optimizer == "sgd", rng.uniform(0, 1, trials), np.nan),
        "optimizer": optimizer,
        "batch_norm": rng.random(trials) < 0.5,
    }


def params_of(sample: Sample) -> dict[str, list[Any]]:
    """Return lists of values, None where inactive."""
    return {
        name: [None if value != value else value for value in column.tolist()]
        for name, column in sample.items()
    }


def rows_of(sample: Sample) -> list[dict[str, Any]]:
    """Return one dict a trial."""
    columns = params_of(sample)
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def by_tree(sample: Sample, failed: Any, fresh: Sample) -> Any:
    """Return where a plain decision tree predicts failures."""

    def encode(sample: Sample) -> Any:
        columns = [np.log10(sample["learning_rate"]), np.log10(sample["units"])]
        columns += [sample["dropout"], sample["depth"], sample["batch_norm"]]
        columns += [np.nan_to_num(sample["momentum"], nan=-1.0)]
        columns += [sample["optimizer"] == name for name in OPTIMIZERS]
        return np.array(columns, dtype=float).T

    tree = DecisionTreeClassifier(max_depth=4, random_state=0).fit(encode(sample), failed)
    return tree.predict(encode(fresh)).astype(bool)


def iou(left: Any, right: Any) -> float:
    """Return the intersection over the union of two sets of points."""
    union = (left | right).sum()
    return float((left & right).sum() / union) if union else 1.0


def planted(trials: int, label_noise: float, repeats: int, seed: int) -> None:
    """Print the IoU of each shape."""
    fresh = draw(4000, np.random.default_rng(seed))
    rows = rows_of(fresh)
    print(f"\n{trials} trials, {label_noise:.0%} label noise, {repeats} repeats")
    print(f"{'shape':16}{'share':>7}{'IoU':>8}{'lowest':>8}{'tree':>8}{'seconds':>9}")
    means = []
    for name, shape in SHAPES.items():
        truth = shape(fresh)
        ours, trees, seconds = [], [], []
        for repeat in range(repeats):
            rng = np.random.default_rng([seed, repeat])
            sample = draw(trials, rng)
            failed = shape(sample) ^ (rng.random(trials) < label_noise)
            start = time.perf_counter()
            regions = find_regions(params_of(sample), failed, AXES)
            seconds.append(time.perf_counter() - start)
            inside = np.array([any(r.contains(row) for r in regions) for row in rows])
            ours.append(iou(inside, truth))
            trees.append(iou(by_tree(sample, failed, fresh), truth))
        means.append((np.mean(ours), np.mean(trees)))
        print(
            f"{name:16}{truth.mean():7.2f}{np.mean(ours):8.3f}{min(ours):8.2f}"
            f"{np.mean(trees):8.3f}{np.mean(seconds):9.2f}"
        )
    print(f"{'mean':23}{np.mean([m[0] for m in means]):8.3f}{np.mean([m[1] for m in means]):16.3f}")


def false_regions(studies: int, trials: int, rate: float, seed: int) -> None:
    """Print the share of searches without any structure that show a region."""
    start = time.perf_counter()
    found = 0
    for study in range(studies):
        rng = np.random.default_rng([seed, study])
        found += bool(find_regions(params_of(draw(trials, rng)), rng.random(trials) < rate, AXES))
    each = (time.perf_counter() - start) / studies
    print(
        f"{studies} studies of {trials} trials, {rate:.0%} failing at random:"
        f" {found / studies:.1%} show a region ({each:.2f} s each)"
    )


def power(studies: int, trials: int, seed: int) -> None:
    """Print how often a shape is found at all."""
    for name in ("threshold", "lr & optimizer", "three-way"):
        found = 0
        for study in range(studies):
            rng = np.random.default_rng([seed, study])
            sample = draw(trials, rng)
            found += bool(find_regions(params_of(sample), SHAPES[name](sample), AXES))
        print(f"{name} found in {found / studies:.0%} of {studies} studies of {trials} trials")


def large(trials: int, seed: int) -> None:
    """Print the time for many trials."""
    rng = np.random.default_rng(seed)
    sample = draw(trials, rng)
    failed = SHAPES["two boxes"](sample) ^ (rng.random(trials) < 0.05)
    params = params_of(sample)
    start, busy = time.perf_counter(), time.process_time()
    regions = find_regions(params, failed, AXES)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    print(f"{trials} trials: {seconds:.1f} s, {busy:.1f} s of them on a processor")
    for region in regions:
        print(f"  {region.rule}: {region.failures} of {region.trials}, p = {region.p_value:.3f}")


def main() -> None:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--noise-studies", type=int, default=300)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    seed = arguments.seed
    for trials, label_noise in ((100, 0.0), (100, 0.05), (400, 0.0), (400, 0.05)):
        planted(trials, label_noise, arguments.repeats, seed)
    print("\nNoise")
    for trials, rate in ((60, 0.25), (200, 0.1)):
        false_regions(arguments.noise_studies, trials, rate, seed)
    print("\nPower")
    for trials in (20, 30, 60):
        power(50, trials, seed)
    print("\nTime")
    large(100_000, seed)


if __name__ == "__main__":
    main()
