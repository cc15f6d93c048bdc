"""The loss of the best constant prediction, for every loss of Keras, against a plain search."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from scipy.optimize import minimize

from robusttune._diagnosis.reference.baseline import constant_loss
from robusttune._diagnosis.trace import Batch

RNG = np.random.default_rng(0)
ROWS = 200
REALS = (3 + 2 * RNG.gamma(2.0, size=(ROWS, 2))).astype("float32")
BITS = (RNG.uniform(size=(ROWS, 2)) < (0.2, 0.7)).astype("float32")
CLASSES = RNG.choice(4, ROWS, p=[0.5, 0.3, 0.15, 0.05])
ONE_HOT = np.eye(4, dtype="float32")[CLASSES]
MULTI_HOT = (RNG.uniform(size=(ROWS, 4)) < 0.4).astype("float32")
losses = keras.losses


def _plain(z: Any) -> Any:
    return z


def _sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def _softmax(z: Any) -> Any:
    return np.exp(z - z.max()) / np.exp(z - z.max()).sum()


CASES = [
    (losses.MeanSquaredError(), REALS, _plain),
    (losses.MeanAbsoluteError(), REALS, _plain),
    (losses.MeanAbsolutePercentageError(), REALS, _plain),
    (losses.MeanSquaredLogarithmicError(), REALS, _plain),
    (losses.Huber(delta=0.5), REALS, _plain),
    (losses.LogCosh(), REALS, _plain),
    (losses.Poisson(), REALS, np.exp),
    (losses.Hinge(), BITS, _plain),
    (losses.SquaredHinge(), 2 * BITS - 1, _plain),
    (losses.CategoricalHinge(), ONE_HOT, _plain),
    (losses.CosineSimilarity(), REALS - 5, _plain),
    (losses.BinaryCrossentropy(), BITS, _sigmoid),
    (losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.2), BITS, _plain),
    (losses.BinaryFocalCrossentropy(apply_class_balancing=True), BITS, _sigmoid),
    (losses.BinaryFocalCrossentropy(from_logits=True, gamma=3.0), BITS, _plain),
    (losses.CategoricalCrossentropy(), ONE_HOT, _softmax),
    (losses.CategoricalCrossentropy(), MULTI_HOT, _softmax),
    (losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1), ONE_HOT, _plain),
    (losses.CategoricalFocalCrossentropy(), ONE_HOT, _softmax),
    (losses.CategoricalFocalCrossentropy(from_logits=True, gamma=1.0), ONE_HOT, _plain),
    (losses.SparseCategoricalCrossentropy(), CLASSES, _softmax),
    (losses.SparseCategoricalCrossentropy(from_logits=True), CLASSES, _plain),
    (losses.KLDivergence(), ONE_HOT * 0.8 + 0.05, _softmax),
    (losses.Dice(), MULTI_HOT, _sigmoid),
    (losses.Tversky(alpha=0.3, beta=0.7), MULTI_HOT, _sigmoid),
]
if hasattr(losses, "CategoricalGeneralizedCrossEntropy"):
    CASES.append((losses.CategoricalGeneralizedCrossEntropy(q=0.7), CLASSES, _softmax))


def _model(loss: Any, units: int, **compiled: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(units)])
    model.compile("sgd", loss, **compiled)
    return model


def _least(loss: Any, y: Any, units: int, head: Any, weights: Any = None) -> float:
    """The least loss that a search over constants finds."""

    def value(z: Any) -> float:
        constant = np.tile(head(np.asarray(z)), (len(y), 1)).astype("float32")
        return float(loss(y, constant, sample_weight=weights))

    found = []
    for seed in range(2):
        start = np.random.default_rng(seed).normal(size=units)
        for _ in range(2):  # once more from where it stopped: corners hold it up
            done = minimize(value, start, method="Nelder-Mead", options={"maxiter": 200})
            start = done.x
        found.append(done.fun)
    return float(min(found))


@pytest.mark.parametrize(
    ("loss", "y", "head"), CASES, ids=lambda value: getattr(value, "name", None)
)
def test_the_best_constant_of_every_loss_is_found(loss: Any, y: Any, head: Any) -> None:
    """No search over constants finds a better one, and what is told can be reached."""
    units = 4 if y.ndim == 1 else y.shape[1]
    batches = [Batch(None, y[:128]), Batch(None, y[128:])]
    found = constant_loss(_model(loss, units), batches)
    least = _least(loss, y, units, head)
    assert found == pytest.approx(least, rel=4e-3, abs=2e-3)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "binary_crossentropy"])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean_with_sample_weight", "sum"])
def test_sample_weights_count_as_in_training(loss: str, reduction: str) -> None:
    """Class weights come as sample weights, and may be far from 1 on average."""
    weights = np.where(BITS[:, 0] > 0, 5.0, 0.5).astype("float32")
    kinds = {"mse": losses.MeanSquaredError, "mae": losses.MeanAbsoluteError}
    kinds |= {"huber": losses.Huber, "binary_crossentropy": losses.BinaryCrossentropy}
    made = kinds[loss](reduction=reduction)
    y = BITS[:, :1]
    head = _sigmoid if loss == "binary_crossentropy" else _plain
    found = constant_loss(_model(made, 1), [Batch(None, y, weights)])
    assert found == pytest.approx(_least(made, y, 1, head, weights), rel=2e-3)


def test_several_outputs_add_up_by_their_weights() -> None:
    """Targets and losses by name or in a list, with loss weights."""
    x = keras.Input((3,))
    ends = [keras.layers.Dense(1, name="b")(x), keras.layers.Dense(4, "softmax", name="a")(x)]
    targets = {"a": CLASSES, "b": REALS[:, :1]}
    entropy = constant_loss(_model("sparse_categorical_crossentropy", 4), [Batch(None, CLASSES)])
    spread = float(REALS[:, 0].var())
    model = keras.Model(x, ends)
    kinds = {"a": "sparse_categorical_crossentropy", "b": "mse"}
    model.compile("sgd", kinds, loss_weights={"a": 2.0, "b": 0.5})
    for y in (targets, [targets["b"], targets["a"]]):
        found = constant_loss(model, [Batch(None, y)])
        assert found == pytest.approx(2 * entropy + 0.5 * spread, rel=1e-4)
    model.compile("sgd", [kinds["b"], kinds["a"]])
    found = constant_loss(model, [Batch(None, (targets["b"], targets["a"]))])
    assert found == pytest.approx(entropy + spread, rel=1e-4)


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (lambda y, p: keras.ops.mean(y - p), REALS),  # the user's own
        ("mse", np.full((40, 1), np.nan)),
        ("sparse_categorical_crossentropy", np.array([-1, 0, 1])),
        ("sparse_categorical_crossentropy", np.arange(100)),  # each class once: shares unknown
        ("categorical_crossentropy", -ONE_HOT),
    ],
)
def test_what_is_not_known_is_not_told(loss: Any, y: Any) -> None:
    """Then there is no number."""
    assert constant_loss(_model(loss, 4), [Batch(None, y)]) is None


def test_a_subclass_of_a_loss_is_the_users_own() -> None:
    """Its `call` may be anything."""

    class Own(losses.MeanSquaredError):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)

    assert constant_loss(_model(Own(), 2), [Batch(None, REALS)]) is None


def test_ignored_labels_do_not_count() -> None:
    """Pixels without a label are left out, as in training."""
    loss = losses.SparseCategoricalCrossentropy(ignore_class=3)
    found = constant_loss(_model(loss, 4), [Batch(None, CLASSES)])
    kept = CLASSES[CLASSES != 3]
    shares = np.bincount(kept) / len(kept)
    assert found == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-4)


def test_steps_and_pixels_share_their_constant() -> None:
    """One constant a unit of the last axis, for each step of a sequence."""
    x = keras.Input((5, 3))
    model = keras.Model(x, keras.layers.Dense(1)(x))
    model.compile("sgd", "mse")
    y = RNG.normal(size=(64, 5)) + np.arange(5)
    assert constant_loss(model, [Batch(None, y)]) == pytest.approx(y.var(), rel=1e-3)


def test_large_targets_are_looked_at_in_part() -> None:
    """Images as targets cost milliseconds."""
    model = SimpleNamespace(optimizer=None, loss="mse")
    images = RNG.normal(size=(64, 64, 64, 3)).astype("float32")
    constant_loss(model, [Batch(None, images[:8])])
    began = time.process_time()
    found = constant_loss(model, [Batch(None, images)] * 8)
    assert time.process_time() - began < 0.5
    assert found == pytest.approx(1.0, rel=0.02)
