"""Thousands of small fits on synthetic tasks: at which learning rates do they never train?

Fits of one architecture run side by side in one compiled loop (JAX), each with a task, optimizer,
learning rate, momentum and activation of its own. Losses on all rows are taken at a few numbers of
steps; a fit has failed there where its loss is not finite, or not below that of the best constant
prediction.

    python -m evaluation.failure_prior.sweep --csv sweep.csv
    python -m evaluation.failure_prior.sweep --csv clipped.csv --clipped --fits 300 --seed 1
"""

from __future__ import annotations

import argparse
import csv
import functools
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np

from evaluation.failure_prior.tasks import COLUMNS, FAMILIES, OUTPUTS, ROWS, Task, draw

OPTIMIZERS = ("sgd", "adam", "rmsprop")
ACTIVATIONS = ("relu", "tanh", "sigmoid", "elu")
LOSSES = ("mse", "mae", "bce", "cce", "bce clipped", "cce clipped")
_EPSILON = 1e-7  # keras.config.epsilon()
TOGETHER = 300  # fits side by side
CHECKPOINTS = (30, 100, 300, 1000)
# Depth, width, rows a batch, and the last checkpoint: what is large is not trained for long.
ARCHITECTURES = (
    (1, 16, 8, 1000),
    (2, 16, 32, 1000),
    (4, 16, 32, 1000),
    (3, 32, 16, 1000),
    (1, 64, 32, 1000),
    (2, 64, 64, 300),
    (4, 64, 16, 300),
    (3, 64, 32, 300),
    (1, 128, 128, 300),
    (2, 128, 32, 300),
    (4, 128, 32, 100),
    (5, 32, 32, 300),
)
COLUMN_NAMES = (
    "family",
    "optimizer",
    "learning_rate",
    "momentum",
    "batch_size",
    "depth",
    "width",
    "activation",
    "loss",
    "columns",
    "input_scale",
    "target_scale",
    "target_offset",
    "steps",
    "ratio",
)


def configuration(rng: np.random.Generator) -> dict[str, Any]:
    """Draw what a fit has beside its task and its architecture."""
    optimizer = str(rng.choice(OPTIMIZERS, p=(0.5, 0.3, 0.2)))
    momentum = float(rng.choice([0.0, 0.9, rng.uniform(0, 0.99)], p=(0.35, 0.2, 0.45)))
    return {
        "optimizer": optimizer,
        "learning_rate": float(10 ** rng.uniform(-5.5, 1.5)),
        "momentum": momentum if optimizer == "sgd" else 0.0,
        "activation": str(rng.choice(ACTIVATIONS, p=(0.55, 0.2, 0.1, 0.15))),
    }


def constant_loss(task: Task) -> float:
    """Return the loss of the best constant prediction."""
    if task.loss == "mse":
        return float(np.var(task.y))
    if task.loss == "mae":
        return float(np.abs(task.y - np.median(task.y)).mean())
    shares = np.bincount(task.y) / len(task.y)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def scales(task: Task) -> dict[str, float]:
    """Return what is measured on the data, as robusttune does."""
    regression = task.loss in ("mse", "mae")
    return {
        "columns": task.x.shape[1],
        "input_scale": float(np.sqrt(np.mean(task.x**2))),
        "target_scale": float(np.std(task.y)) if regression else 1.0,
        "target_offset": float(abs(np.mean(task.y)) / np.std(task.y)) if regression else 0.0,
    }


def _rows(params: Any, x: Any, fit: Any) -> Any:
    h = x
    first, hidden, last = params
    for weights, bias in (first, *hidden):
        z = h @ weights + bias
        h = jax.lax.switch(
            fit["activation"], (jax.nn.relu, jnp.tanh, jax.nn.sigmoid, jax.nn.elu), z
        )
    return h @ last[0] + last[1]


def _loss(params: Any, x: Any, y: Any, fit: Any) -> Any:
    out = _rows(params, x, fit)
    gap = out[:, 0] - y
    inside = jnp.arange(OUTPUTS) < fit["outputs"]
    logits = jnp.where(inside, out, -1e30)
    target = jnp.clip(y, 0, OUTPUTS - 1).astype(int)
    cce = jax.nn.logsumexp(logits, axis=1) - jnp.take_along_axis(out, target[:, None], 1)[:, 0]
    label = jnp.clip(y, 0, 1)
    bce = jax.nn.softplus(out[:, 0]) - label * out[:, 0]
    # From clipped probabilities, as Keras has them on PyTorch and JAX: no gradient beyond.
    chances = jnp.clip(jax.nn.softmax(logits, axis=1), _EPSILON, 1 - _EPSILON)
    cce_clipped = -jnp.log(jnp.take_along_axis(chances, target[:, None], 1)[:, 0])
    chance = jnp.clip(jax.nn.sigmoid(out[:, 0]), _EPSILON, 1 - _EPSILON)
    bce_clipped = -(label * jnp.log(chance) + (1 - label) * jnp.log(1 - chance))
    each = jnp.stack([gap**2, jnp.abs(gap), bce, cce, bce_clipped, cce_clipped])
    return each[fit["loss"]].mean()


def _update(fit: Any, step: Any, param: Any, grad: Any, m: Any, v: Any) -> Any:
    rate = fit["rate"]
    plain_m = fit["momentum"] * m - rate * grad
    adam_m, adam_v = 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad**2
    rms_v = 0.9 * v + 0.1 * grad**2
    corrected = rate * jnp.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    moves = (
        plain_m,
        -corrected * adam_m / (jnp.sqrt(adam_v) + 1e-7),
        -rate * grad / jnp.sqrt(rms_v + 1e-7),
    )
    which = fit["optimizer"]
    move = jnp.select([which == i for i in range(3)], moves)
    return (
        param + move,
        jnp.where(which == 0, plain_m, adam_m),
        jnp.where(which == 2, rms_v, adam_v),
    )


def _train(params: Any, x: Any, y: Any, fit: Any, key: Any, batch: int, steps: int) -> Any:
    zeros = jax.tree.map(jnp.zeros_like, params)

    def step(carry: Any, number: Any) -> Any:
        params, m, v = carry
        rows = jax.random.randint(jax.random.fold_in(key, number), (batch,), 0, ROWS)
        grads = jax.grad(_loss)(params, x[rows], y[rows], fit)
        moved = jax.tree.map(
            lambda p, g, a, b: _update(fit, number + 1.0, p, g, a, b), params, grads, m, v
        )
        tree = jax.tree.structure(params)
        leaves = tree.flatten_up_to(moved)
        return tuple(tree.unflatten([leaf[i] for leaf in leaves]) for i in range(3)), None

    carry, losses, done = (params, zeros, zeros), [], 0
    for checkpoint in (each for each in CHECKPOINTS if each <= steps):
        carry, _ = jax.lax.scan(step, carry, jnp.arange(done, checkpoint))
        losses.append(_loss(carry[0], x, y, fit))
        done = checkpoint
    return jnp.stack(losses)


@functools.cache
def _trainer(batch: int, steps: int) -> Any:
    return jax.jit(jax.vmap(lambda p, x, y, fit, key: _train(p, x, y, fit, key, batch, steps)))


def _glorot(rng: np.random.Generator, shape: tuple[int, int], into: int, out: int) -> Any:
    limit = np.sqrt(6.0 / (into + out))
    return rng.uniform(-limit, limit, size=shape).astype("float32")


def run(
    architecture: tuple[int, int, int, int],
    fits: int,
    rng: np.random.Generator,
    *,
    clipped: bool = False,
) -> list[list[Any]]:
    """Return the rows of so many fits of one architecture."""
    depth, width, batch, steps = architecture
    families = [name for name, (_, classes) in FAMILIES.items() if classes or not clipped]
    names = [str(name) for name in rng.choice(families, size=fits)]
    tasks = [draw(name, rng) for name in names]
    if clipped:
        tasks = [replace(task, loss=f"{task.loss} clipped") for task in tasks]
    configurations = [configuration(rng) for _ in range(fits)]
    x = np.zeros((fits, ROWS, COLUMNS), dtype="float32")
    for row, task in enumerate(tasks):
        x[row, :, : task.x.shape[1]] = task.x
    y = np.array([task.y for task in tasks], dtype="float32")
    layers = []
    for task in tasks:
        first = _glorot(rng, (COLUMNS, width), task.x.shape[1], width), np.zeros(width, "float32")
        hidden = [
            (_glorot(rng, (width, width), width, width), np.zeros(width, "float32"))
            for _ in range(depth - 1)
        ]
        last = _glorot(rng, (width, OUTPUTS), width, task.outputs), np.zeros(OUTPUTS, "float32")
        layers.append((first, hidden, last))
    params = jax.tree.map(lambda *each: jnp.stack(each), *layers)
    fit = {
        "rate": jnp.array([c["learning_rate"] for c in configurations], dtype=jnp.float32),
        "momentum": jnp.array([c["momentum"] for c in configurations], dtype=jnp.float32),
        "optimizer": jnp.array([OPTIMIZERS.index(c["optimizer"]) for c in configurations]),
        "activation": jnp.array([ACTIVATIONS.index(c["activation"]) for c in configurations]),
        "loss": jnp.array([LOSSES.index(task.loss) for task in tasks]),
        "outputs": jnp.array([task.outputs for task in tasks]),
    }
    keys = jax.random.split(jax.random.key(int(rng.integers(2**31))), fits)
    losses = np.asarray(_trainer(batch, steps)(params, x, y, fit, keys))
    rows = []
    for row, task in enumerate(tasks):
        about = {
            "family": names[row],
            **configurations[row],
            "batch_size": batch,
            "depth": depth,
            "width": width,
            "loss": task.loss,
            **scales(task),
        }
        constant = constant_loss(task)
        for checkpoint, loss in zip(CHECKPOINTS, losses[row], strict=False):
            about |= {"steps": checkpoint, "ratio": float(loss) / constant}
            rows.append([about[name] for name in COLUMN_NAMES])
    return rows


def main() -> None:
    """Run the sweep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--fits", type=int, default=900, help="of each architecture")
    parser.add_argument(
        "--clipped", action="store_true", help="only cross-entropies of clipped probabilities"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with options.csv.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMN_NAMES)
        for number, architecture in enumerate(ARCHITECTURES):
            began = time.process_time()
            rng = np.random.default_rng((options.seed, number))
            for _ in range(options.fits // TOGETHER):
                writer.writerows(run(architecture, TOGETHER, rng, clipped=options.clipped))
                file.flush()
            print(architecture, f"{time.process_time() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
