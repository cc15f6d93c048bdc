"""Exceptions and their causes: real ones, live and from what Keras Tuner stores of them."""

from __future__ import annotations

import importlib
import json
import math
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from sklearn import ensemble, linear_model, metrics, model_selection, neighbors, preprocessing, svm
from sklearn.decomposition import PCA

from robusttune._exception_causes import classify_error, classify_message

X, Y = np.arange(40.0).reshape(10, 4), np.arange(10) % 2
HOLES = np.where(X == 5, np.nan, X)


def built(*parts: Any, shape: tuple[int, ...] = (10,)) -> keras.Model:
    """Return a model of layers."""
    return keras.Sequential([keras.Input(shape), *parts])


def fitted(head: Any, loss: Any, y: Any, **options: Any) -> None:
    """Train a model of one layer for one step."""
    model = built(head, shape=(4,))
    model.compile("sgd", loss, **options)
    model.fit(X, y, verbose=0)


def joined() -> Any:
    """Join images of two sizes."""
    images = keras.Input((8, 8, 1))
    return layers.Concatenate()([images, layers.Conv2D(4, 3)(images)])


def without_gradients() -> None:
    """Train a model whose weights take no part in its loss."""
    fitted(layers.Dense(1), lambda y, p: tf.constant(1.0) + 0 * tf.stop_gradient(p), Y)


def batches() -> Any:
    """Yield a batch that cannot be made."""
    yield X, {}["missing"]


@tf.function
def traced(x: Any) -> Any:
    """Raise while a graph is traced."""
    return x * {}["rate"]


def from_another() -> None:
    """Raise from the exception that is to blame."""
    try:
        np.zeros(3) + np.zeros(2)
    except ValueError as error:
        raise RuntimeError("the trial cannot go on") from error


def while_handling() -> None:
    """Raise by mistake while another exception is handled."""
    try:
        tf.reshape(tf.zeros(3), (2, 2))
    except tf.errors.InvalidArgumentError:
        print(undefined)  # type: ignore[name-defined] # noqa: F821


class OwnError(Exception):
    """An exception of the user's own."""


def raised(error: Exception) -> Callable[[], Any]:
    """Return a function that raises."""

    def function() -> None:
        raise error

    return function


KERAS: dict[str, tuple[Callable[[], Any], str | None]] = {
    "units": (lambda: built(layers.Dense(-3)), "invalid_model"),
    "dropout": (lambda: built(layers.Dropout(1.5)), "invalid_model"),
    "no sequence": (lambda: built(layers.LSTM(4)), "invalid_model"),
    "kernel": (lambda: built(layers.Conv2D(4, 10), shape=(8, 8, 1)), "invalid_model"),
    "reshape": (lambda: built(layers.Reshape((3, 4))), "invalid_model"),
    "sizes": (joined, "invalid_model"),
    "width": (lambda: built(layers.Dense(1))(np.zeros((2, 12))), "invalid_model"),
    "unknown activation": (lambda: layers.Dense(1, "rellu"), "code_error"),
    "unknown loss": (lambda: keras.losses.get("binarycrossentropy"), "code_error"),
    "not compiled": (lambda: built(layers.Dense(1)).fit(X, Y), "code_error"),
    "logits and labels": (
        lambda: fitted(layers.Dense(3), "binary_crossentropy", np.ones((10, 2))),
        "label_mismatch",
    ),
    "logits": (
        lambda: tf.nn.sigmoid_cross_entropy_with_logits(tf.zeros((4, 1)), tf.zeros((4, 3))),
        "label_mismatch",
    ),
    "one-hot": (
        lambda: fitted(layers.Dense(3, "softmax"), "categorical_crossentropy", np.ones((10, 2))),
        "label_mismatch",
    ),
    "classes": (
        lambda: fitted(
            layers.Dense(3, "softmax"), "sparse_categorical_crossentropy", Y * 7, run_eagerly=True
        ),
        "label_mismatch",
    ),
    "classes in a graph": (
        lambda: fitted(
            layers.Dense(3, "softmax"), "sparse_categorical_crossentropy", Y * 7, jit_compile=False
        ),
        "label_mismatch",
    ),
    "no gradients": (without_gradients, "invalid_model"),
    "bug in a loss": (lambda: fitted(layers.Dense(1), lambda y, p: y["a"], Y), "code_error"),
}
TENSORFLOW: dict[str, tuple[Callable[[], Any], str | None]] = {
    "reshape": (lambda: tf.reshape(tf.zeros(3), (2, 2)), "invalid_model"),
    "matmul": (lambda: tf.zeros((2, 3)) @ tf.zeros((2, 3)), "invalid_model"),
    "broadcast": (lambda: tf.zeros(3) + tf.zeros(4), "invalid_model"),
    "index": (lambda: tf.gather(tf.zeros(3), [7]), "invalid_model"),
    "memory": (
        raised(tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")),
        "out_of_memory",
    ),
    "numerics": (lambda: tf.debugging.check_numerics([np.nan], "loss"), None),
    "bug in a graph": (lambda: traced(tf.zeros(3)), "code_error"),
    "bug in a pipeline": (
        lambda: list(tf.data.Dataset.from_generator(batches, output_types=(tf.float32,) * 2)),
        "code_error",
    ),
}
KERAS_TUNER: dict[str, tuple[Callable[[], Any], str | None]] = {
    "declared": (raised(keras_tuner.errors.FailedTrialError("too deep")), "invalid_model"),
    "sampling": (
        lambda: keras_tuner.HyperParameters().Float("a", 0, 1, sampling="lin"),
        "code_error",
    ),
    "choice": (lambda: keras_tuner.HyperParameters().Choice("a", [1, "b"]), "code_error"),
    "name": (lambda: keras_tuner.HyperParameters().get("units"), "code_error"),
}
SKLEARN: dict[str, tuple[Callable[[], Any], str | None]] = {
    "X": (lambda: linear_model.LogisticRegression().fit(HOLES, Y), "non_finite_data"),
    "y": (lambda: linear_model.LinearRegression().fit(X, HOLES[:, 1]), "non_finite_data"),
    "inf": (lambda: linear_model.Ridge().fit(X + np.inf, Y), "non_finite_data"),
    "predictions": (lambda: metrics.mean_squared_error(X[:, 1], HOLES[:, 1]), None),
    "range": (lambda: linear_model.LogisticRegression(C=-1).fit(X, Y), "invalid_model"),
    "solver": (
        lambda: linear_model.LogisticRegression(penalty="l1", solver="lbfgs").fit(X, Y),
        "invalid_model",
    ),
    "combination": (
        lambda: svm.LinearSVC(penalty="l1", loss="hinge").fit(X, Y),
        "invalid_model",
    ),
    "neighbors": (lambda: neighbors.KNeighborsClassifier(40).fit(X, Y).predict(X), "invalid_model"),
    "components": (lambda: PCA(40).fit(X), "invalid_model"),
    "splits": (lambda: list(model_selection.KFold(40).split(X)), "invalid_model"),
    "out of bag": (
        lambda: ensemble.RandomForestClassifier(bootstrap=False, oob_score=True).fit(X, Y),
        "invalid_model",
    ),
    "empty split": (lambda: model_selection.train_test_split(X[:1]), "invalid_model"),
    "lengths": (lambda: linear_model.Ridge().fit(X, Y[:5]), "code_error"),
    "one dimension": (lambda: linear_model.Ridge().fit(X[0], Y), "code_error"),
    "not fitted": (lambda: linear_model.Ridge().predict(X), "code_error"),
    "regression targets": (
        lambda: linear_model.LogisticRegression().fit(X, X[:, 0] / 3),
        "label_mismatch",
    ),
    "unseen": (lambda: preprocessing.LabelEncoder().fit(Y).transform([7]), "label_mismatch"),
}
PYTHON: dict[str, tuple[Callable[[], Any], str | None]] = {
    "array memory": (lambda: np.zeros((10**8, 10**8)), "out_of_memory"),
    "memory": (lambda: [0] * 2**62, "out_of_memory"),
    "key": (lambda: {}["units"], "code_error"),
    "division": (lambda: 1 // int(np.sum(0)), "code_error"),
    "attribute": (lambda: np.float, "code_error"),
    "import": (lambda: importlib.import_module("no_such_module"), "code_error"),
    "type": (lambda: "64" + 1, "code_error"),  # type: ignore[operator]
    "values": (raised(TypeError("must be positive rank")), "code_error"),
    "own": (raised(OwnError("no such optimizer")), "code_error"),
    "nan to integer": (lambda: int(np.float64("nan")), None),
    "said": (raised(RuntimeError("the loss is NaN")), None),
    "from another": (from_another, "invalid_model"),
    "while handling": (while_handling, "invalid_model"),
}
FOUND = [
    pytest.param(*row, id=f"{of}: {name}")
    for of, table in {
        "keras": KERAS,
        "tensorflow": TENSORFLOW,
        "keras tuner": KERAS_TUNER,
        "sklearn": SKLEARN,
        "python": PYTHON,
    }.items()
    for name, row in table.items()
]


def provoked(provoke: Callable[[], Any]) -> Exception:
    """Return the exception that a function raises."""
    with np.errstate(all="ignore"):
        try:
            provoke()
        except Exception as error:
            return error
    raise AssertionError("nothing was raised")


def stored(error: BaseException) -> str:
    """Return what Keras Tuner stores of an exception."""
    return "".join(traceback.format_exception(error))


def bare(error: BaseException) -> str:
    """Return the class of an exception, as tracebacks name it, and its text."""
    kind = "".join(traceback.format_exception_only(error)).partition(":")[0].strip()
    return f"{kind}: {error}"


@pytest.mark.parametrize(("provoke", "cause"), FOUND)
@pytest.mark.filterwarnings("ignore")
def test_exceptions_have_one_cause_live_and_stored(provoke: Any, cause: str | None) -> None:
    """The traceback tells what the exception tells; NaN is a symptom, of unknown cause."""
    error = provoked(provoke)
    live, read = classify_error(error), classify_message(stored(error))
    assert (None if live is None else live.cause) == cause
    assert read.cause == (cause or "unknown")
    if live is not None:
        assert live.error.startswith(type(error).__name__)
        assert live.error.partition(":")[2] == read.error.partition(":")[2]
        assert live.where == read.where


# Classes that are not Python's own do not say by their names alone that code is wrong.
SAYS_TOO_LITTLE = (
    "python: own",
    "python: from another",  # of a chain the cause is lost
    "python: while handling",
    "sklearn: not fitted",
    "tensorflow: bug in a pipeline",
)


@pytest.mark.parametrize(("provoke", "cause"), [p for p in FOUND if p.id not in SAYS_TOO_LITTLE])
@pytest.mark.filterwarnings("ignore")
def test_exceptions_have_the_same_cause_without_a_traceback(
    provoke: Any, cause: str | None
) -> None:
    """Class and text are enough, as some hosts keep no more."""
    assert classify_message(bare(provoked(provoke))).cause == (cause or "unknown")


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (None, "unknown"),
        ("  \n", "unknown"),
        ("The worker did not answer.", "unknown"),
        ("loss: shapes must be equal", "unknown"),  # words, and no exception
        ("the kernel was out of memory", "out_of_memory"),
        ("SomethingError: odd", "unknown"),
        ("OSError: [Errno 28] No space left on device", "unknown"),
        ("NameError: name 'x' is not defined", "code_error"),
        ("ValueError: Input contains NaN.", "unknown"),
        ("ValueError: Input y_pred contains NaN.", "unknown"),
        ("ValueError: Input X contains NaN.", "non_finite_data"),
        ("ValueError: Input X contains infinity or a value too large", "non_finite_data"),
        ("AttributeError: `np.Inf` was removed. Use `np.inf` instead.", "code_error"),
        ("robusttune.errors.TrialFailure: the loss is high", "unknown"),  # a record tells why
        ("Traceback (most recent call last):\n  File 'a'\nNameError: name 'x'\n", "code_error"),
        ("Traceback (most recent call last):\n  File 'a'\nMemoryError\n", "out_of_memory"),
        ("Traceback (most recent call last):\n  File 'a'\nmine.OwnError: odd\n", "code_error"),
        ("Traceback (most recent call last):\n", "unknown"),
    ],
)
def test_messages_show_a_cause_only_where_they_are_conclusive(
    message: str | None, cause: str
) -> None:
    """What says nothing conclusive stays unknown."""
    assert classify_message(message).cause == cause


class ResourceExhaustedError(Exception):
    """Stands in for TensorFlow's, which has the same name."""


class InvalidArgumentError(Exception):
    """Stands in for TensorFlow's, which has the same name."""


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError(), "out_of_memory"),
        (ResourceExhaustedError("OOM when allocating tensor with shape[9]"), "out_of_memory"),
        (
            InvalidArgumentError(
                "Received a label value of 4 which is outside the valid range of [0, 4)."
            ),
            "label_mismatch",
        ),
        (ValueError("Input X contains NaN."), "non_finite_data"),
        (
            ValueError('Input 0 of layer "lstm" is incompatible with the layer: expected ndim=3'),
            "invalid_model",
        ),
        (ValueError("Computed output size would be negative."), "invalid_model"),
        (InvalidArgumentError("indices[0,0] = 40 is not in [0, 20)"), "invalid_model"),
        (ValueError("Solver lbfgs supports only 'l2' or None penalties, got l1"), "invalid_model"),
        (ValueError("The 'liblinear' solver does not support multiclass"), "invalid_model"),
        (ValueError("The combination of penalty='l1' and loss='hinge' is not"), "invalid_model"),
        (ValueError("n_components=40 must be between 0 and 10"), "invalid_model"),
        (ValueError("hidden_layer_sizes must be > 0, got [-3]."), "invalid_model"),
        (ValueError("n_samples=30 should be >= n_clusters=40."), "invalid_model"),
        (ValueError("Expected n_neighbors <= n_samples_fit, but n_neighbors"), "invalid_model"),
        (ValueError("Cannot have number of splits n_splits=40 greater than"), "invalid_model"),
        (ValueError("Out of bag estimation only available if bootstrap=True"), "invalid_model"),
        (ValueError("value 2 for Parameter subsample exceed bound [0,1]"), "invalid_model"),
        (ValueError("Expected 2D array, got 1D array instead"), "code_error"),
        (ValueError("Found input variables with inconsistent numbers"), "code_error"),
        (TypeError("supports only integers"), "code_error"),
        (KeyError("large"), "code_error"),
        (ZeroDivisionError("division by zero"), "code_error"),
        (TypeError("must be positive rank"), "code_error"),
    ],
)
def test_exceptions_have_causes(error: Exception, cause: str) -> None:
    """Type and message decide; words of shapes in a TypeError of the user's decide nothing."""
    found = classify_error(error)
    assert found is not None
    assert found.cause == cause


def test_an_exception_without_words_is_named_by_its_type_alone() -> None:
    """No colon is left dangling."""
    found = classify_error(Exception())
    assert found is not None
    assert found.error == "Exception"


def test_an_exception_whose_message_cannot_be_told_is_named_by_its_type() -> None:
    """Somebody's class may need what it was not given."""

    class NoTextError(Exception):
        def __str__(self) -> str:
            return self.missing

    found = classify_error(NoTextError())
    assert found is not None
    assert (found.cause, found.error) == ("code_error", "NoTextError")


def test_a_numerics_check_is_no_cause_by_itself() -> None:
    """check_numerics only says that a number is not finite: the diagnosis goes on."""
    assert classify_error(InvalidArgumentError("CheckNumerics failed: Tensor had NaN")) is None


def test_the_users_own_line_is_named() -> None:
    """The innermost line outside installed packages is in the finding."""
    try:
        np.reshape(np.arange(3), (2, 2))
    except ValueError as error:
        found = classify_error(error)
    assert found is not None
    assert found.cause == "invalid_model"
    assert found.where is not None
    assert found.where.startswith("test_exception_causes.py:")


def test_error_of_a_traceback_keeps_all_lines_of_its_text() -> None:
    """The text of an exception may have several lines; the frames before it are dropped."""
    message = (
        "Traceback (most recent call last):\n  File 'a', line 1\n    f()\nKeyError: one\ntwo\n"
    )
    assert classify_message(message).error == "KeyError: one two"


def test_error_of_a_class_with_a_module_is_named_without_it() -> None:
    """The error column has the same words on every host."""
    message = "keras_tuner.src.errors.FailedTrialError: too deep"
    assert classify_message(message).error == "FailedTrialError: too deep"


def test_a_class_of_the_users_is_what_it_is_derived_from() -> None:
    """Live that can be seen; a traceback does not tell it."""

    class TooDeepError(keras_tuner.errors.FailedTrialError):
        pass

    found = classify_error(TooDeepError("90 layers"))
    assert found is not None
    assert found.cause == "invalid_model"


def test_a_group_of_exceptions_is_read_through_its_margin() -> None:
    """What its members say counts too."""
    group = ExceptionGroup("two fits", [ValueError("odd"), MemoryError("Unable to allocate")])
    error = provoked(raised(group))
    live = classify_error(error)
    assert live is not None
    assert live.cause == classify_message(stored(error)).cause == "out_of_memory"
    assert live.error.startswith("ExceptionGroup: two fits")
    assert live.where is not None


def test_a_trial_that_keras_tuner_stored_has_the_cause_of_its_exception(tmp_path: Path) -> None:
    """Its own refusal of a large model, as it is in trial.json."""
    tuner = keras_tuner.RandomSearch(
        lambda hp: built(layers.Dense(30)),
        objective="loss",
        max_trials=1,
        max_model_size=10,
        directory=tmp_path,
    )
    tuner.search(X, Y, verbose=0)
    (path,) = tmp_path.glob("*/trial_*/trial.json")
    found = classify_message(json.loads(path.read_text())["message"])
    assert found.cause == "invalid_model"
    assert found.error.startswith("FailedTrialError")


def test_reading_messages_takes_time_in_proportion_to_their_length() -> None:
    """A message may be of any length, and of anybody's making."""
    for text in ("\n" * 500_000, "a." * 250_000, '  File "' * 70_000, "X" + " contains" * 60_000):
        began = time.perf_counter()
        classify_message(f"ValueError: {text}")
        classify_message(text)
        classify_message(f"Traceback (most recent call last):\n{text}")
        assert time.perf_counter() - began < 5


def _torch_refuses(name: str) -> BaseException:
    """Return what PyTorch raises."""
    import torch
    from torch.nn import functional as nn

    ones = torch.ones
    refused = {
        "label": lambda: nn.cross_entropy(ones(2, 4), torch.tensor([1, 4])),
        "negative label": lambda: nn.nll_loss(ones(2, 4), torch.tensor([1, -1])),
        "pixel": lambda: nn.binary_cross_entropy(ones(2) / 2, 255 * ones(2)),
        "category": lambda: nn.embedding(torch.tensor([7]), ones(5, 3)),
        "matrices": lambda: ones(2, 3) @ ones(4, 2),
        "sum": lambda: ones(2, 3) + ones(2, 4),
        "reshape": lambda: ones(6).reshape(4, 2),
        "joined": lambda: torch.cat([ones(2, 3), ones(3, 4)], 1),
        "channels": lambda: nn.conv2d(ones(1, 3, 8, 8), ones(4, 1, 3, 3)),
        "kernel": lambda: nn.conv2d(ones(1, 1, 2, 2), ones(4, 1, 3, 3)),
        "list": lambda: [1, 2][3],
    }
    with pytest.raises((RuntimeError, IndexError)) as raised:
        refused[name]()
    return raised.value


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("label", "label_mismatch"),
        ("negative label", "label_mismatch"),
        ("pixel", "label_mismatch"),
        *((n, "invalid_model") for n in ("category", "matrices", "sum", "reshape", "joined")),
        ("channels", "invalid_model"),
        ("kernel", "invalid_model"),
        ("list", "code_error"),
    ],
)
def test_pytorchs_words_for_labels_and_shapes(name: str, cause: str) -> None:
    """Its RuntimeError and IndexError say the same as TensorFlow's InvalidArgumentError."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    error = _torch_refuses(name)
    found = classify_error(error)
    assert found is not None
    assert str(found.cause) == cause
    assert str(classify_message("".join(traceback.format_exception(error))).cause) == cause


def test_pytorch_refuses_a_probability_that_is_nan() -> None:
    """Which reports a number that is not finite, and is the fault of what has made it."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    with pytest.raises(RuntimeError) as raised:
        torch.nn.functional.binary_cross_entropy(torch.ones(2) * math.nan, torch.ones(2))
    assert classify_error(raised.value) is None
    message = "".join(traceback.format_exception(raised.value))
    assert str(classify_message(message).cause) == "unknown"


def _jax_refuses(name: str) -> BaseException:
    """Return what JAX raises."""
    import jax
    from jax import numpy as jnp

    ones = jnp.ones
    refused = {
        "matrices": lambda: ones((2, 3)) @ ones((4, 2)),
        "sum": lambda: ones((2, 3)) + ones((2, 4)),
        "reshape": lambda: ones(6).reshape(4, 2),
        "joined": lambda: jnp.concatenate([ones((2, 3)), ones((3, 4))], 1),
        "stacked": lambda: jnp.stack([ones(2), ones(3)]),
        "broadcast": lambda: jnp.broadcast_to(ones(3), (2, 4)),
        "channels": lambda: jax.lax.conv(ones((1, 3, 8, 8)), ones((4, 1, 3, 3)), (1, 1), "SAME"),
        "call": lambda: ones(3)(2),
    }
    with pytest.raises((TypeError, ValueError)) as raised:
        refused[name]()
    return raised.value


@pytest.mark.parametrize(
    "name", ["matrices", "sum", "reshape", "joined", "stacked", "broadcast", "channels", "call"]
)
def test_jaxs_words_for_shapes(name: str) -> None:
    """Its TypeError says the same; one of another kind is a fault of the code."""
    pytest.importorskip("jax", reason="JAX is not installed")
    error = _jax_refuses(name)
    cause = "code_error" if name == "call" else "invalid_model"
    found = classify_error(error)
    assert found is not None
    assert str(found.cause) == cause
    assert str(classify_message("".join(traceback.format_exception(error))).cause) == cause
