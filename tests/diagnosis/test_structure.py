"""Structure facts: however an activation is written, it is the same net."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras.layers import (
    ELU,
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    Lambda,
    LeakyReLU,
    PReLU,
    ReLU,
    Reshape,
    Softmax,
)

import robusttune
from robusttune._diagnosis.model.info import OutputHead
from robusttune._diagnosis.model.observe import is_hidden_activation, observe
from robusttune._diagnosis.model.structure import heads, last_layer, regularization
from robusttune._diagnosis.trace import Batch
from tests.zoo import stack

X = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
Y = X[:, :1]


def chain(*layers: Any) -> keras.Model:
    """A compiled Sequential."""
    return stack(*layers, inputs=8)


def functional(*calls: Callable[[Any], Any]) -> keras.Model:
    """A compiled functional model of one call after the other."""
    x = first = keras.Input((8,))
    for call in calls:
        x = call(x)
    model = keras.Model(first, x)
    model.compile("adam", "mse")
    return model


def hidden_activations(model: keras.Model) -> list[str | None]:
    """What the rules see as the activations of the hidden layers."""
    seen = observe(model, None, Batch(X, Y))
    return [view.activation for view in seen.layers if is_hidden_activation(view, seen)]


SIGMOIDS = [
    lambda: chain(Dense(4, "sigmoid"), Dense(4, "sigmoid"), Dense(1)),
    lambda: chain(Dense(4), Activation("sigmoid"), Dense(4), Activation("sigmoid"), Dense(1)),
    lambda: chain(
        *(Dense(4), BatchNormalization(), Activation("sigmoid"), Dropout(0.1)),
        *(Dense(4), Dropout(0.1), Activation("sigmoid"), Dense(1)),
    ),
    lambda: functional(
        *(Dense(4), keras.activations.sigmoid, Dense(4), keras.ops.sigmoid, Dense(1))
    ),
    lambda: chain(
        keras.Sequential([keras.Input((8,)), Dense(4), Activation("sigmoid")]),
        keras.Sequential([keras.Input((4,)), Dense(4, "sigmoid")]),
        Dense(1),
    ),
    lambda: chain(Dense(4, Activation("sigmoid")), Dense(4, keras.ops.sigmoid), Dense(1)),
]


@pytest.mark.parametrize("make", SIGMOIDS)
def test_separate_activations_are_those_of_the_layers_before(make: Any) -> None:
    """An argument, a layer, a function on a tensor, or a model inside: two sigmoids, no more."""
    assert hidden_activations(make()) == ["sigmoid", "sigmoid"]


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (lambda: Activation("tanh"), "tanh"),
        (ReLU, "relu"),
        (lambda: ReLU(max_value=6.0), "relu6"),
        (lambda: ReLU(negative_slope=0.1), "leaky_relu"),
        (LeakyReLU, "leaky_relu"),
        (PReLU, "leaky_relu"),
        (ELU, "elu"),
    ],
)
def test_activation_layers_have_names(layer: Any, name: str) -> None:
    """Behind a layer, and as its argument."""
    assert hidden_activations(chain(Dense(4), layer(), Dense(1))) == [name]
    if name != "tanh" and layer is not PReLU:
        assert hidden_activations(chain(Dense(4, layer()), Dense(1))) == [name]


def test_linear_layers_stay_linear() -> None:
    """Where nothing is applied, an identity is, or only one of several ways has an activation."""
    assert hidden_activations(chain(Dense(4), Dense(4), Dense(1))) == ["linear"] * 2
    linear = chain(Dense(4), Activation("linear"), Dense(1))
    assert set(hidden_activations(linear)) == {"linear"}

    def forked(x: Any) -> Any:
        return keras.layers.Add()([x, Activation("relu")(x)])

    assert hidden_activations(functional(Dense(4), forked, Dense(1))) == ["linear", "relu"]


def test_a_function_of_the_users_is_unknown_and_not_linear() -> None:
    """A Lambda may be anything."""
    model = chain(Dense(4), Lambda(lambda t: keras.ops.sin(t)), Dense(4), Dense(1))
    assert hidden_activations(model) == ["linear"]  # of the second layer


@pytest.mark.parametrize(
    ("make", "activation"),
    [
        (lambda: chain(Dense(1, "sigmoid")), "sigmoid"),
        (lambda: chain(Dense(1), Activation("sigmoid")), "sigmoid"),
        (lambda: chain(Dense(1), Activation("sigmoid"), Reshape((1, 1)), Flatten()), "sigmoid"),
        (lambda: chain(Dense(1), Activation("linear")), "linear"),
        (lambda: chain(Dense(3), Softmax(), Dropout(0.1)), "softmax"),
        (lambda: functional(Dense(1), keras.activations.sigmoid), "sigmoid"),
        (lambda: functional(Dense(1), keras.ops.softmax), "softmax"),
        (lambda: chain(Dense(4), keras.Sequential([keras.Input((4,)), Dense(1, "tanh")])), "tanh"),
        (lambda: chain(Dense(1), Lambda(lambda t: 100 * t)), None),
        (lambda: functional(Dense(1, "sigmoid"), lambda t: 100 * t), None),
        (lambda: chain(Dense(1), BatchNormalization()), None),
    ],
)
def test_the_end_of_a_model_is_found_through_its_graph(make: Any, activation: Any) -> None:
    """By structure alone, without a run."""
    model = make()
    shape = model.outputs[0].shape
    assert last_layer(model) == OutputHead(units=shape[-1], activation=activation, axes=len(shape))


def test_the_ends_of_several_outputs_have_their_names() -> None:
    """In the order of the outputs."""
    x = keras.Input((8,))
    model = keras.Model(x, [Dense(1, name="b")(x), Activation("softmax", name="a")(Dense(3)(x))])
    assert heads(model) == (OutputHead(1, "linear", "b", 2), OutputHead(3, "softmax", "a", 2))


def test_strong_regularization_is_told_by_name() -> None:
    """What no recipe has; ordinary strengths are left alone."""
    strong = keras.regularizers
    model = chain(
        Dense(4, kernel_regularizer=strong.L2(2.0), name="a"),
        Dropout(0.95, name="b"),
        Dense(4, kernel_regularizer=strong.L1L2(1e-3, 1e-3), activity_regularizer=strong.L1(5.0)),
        GaussianNoise(1.0, name="c"),
        Dropout(0.5),
        GaussianNoise(0.1),
        Dense(1, name="d"),
    )
    model.compile(keras.optimizers.AdamW(weight_decay=2.0), "mse")
    found = regularization(model, strong=True)
    assert found.pop("optimizer.weight_decay") == 2.0
    assert sorted(found.values()) == pytest.approx([0.95, 1.0, 2.0, 5.0])
    model = chain(Dropout(0.5), Dense(1))
    model.compile(keras.optimizers.AdamW(), "mse")
    assert regularization(model, strong=True) == {}


def test_convolutions_are_seen_through_pooling_and_normalization() -> None:
    """Conv, norm, activation, pool: as everybody writes them."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            *(Conv2D(2, 3), BatchNormalization(), Activation("relu")),
            *(keras.layers.MaxPooling2D(), Flatten(), Dense(1)),
        ]
    )
    model.compile("adam", "mse")
    images = np.zeros((4, 8, 8, 1), "float32")
    seen = observe(model, None, Batch(images, np.zeros((4, 1))))
    hidden = [view.kind for view in seen.layers if is_hidden_activation(view, seen)]
    assert hidden == ["Activation"]


@pytest.mark.parametrize("separate", [False, True])
def test_a_vanishing_net_is_named_however_it_is_written(separate: bool) -> None:
    """Eight sigmoid layers that stay at chance."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 8)).astype("float32")
    y = (x[:, 0] > 0).astype(int)
    keras.utils.set_random_seed(0)
    layers: list[Any] = []
    for _ in range(8):
        layers += [Dense(16), Activation("sigmoid")] if separate else [Dense(16, "sigmoid")]
    model = keras.Sequential([keras.Input((8,)), *layers, Dense(1, "sigmoid")])
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy")
    guard = robusttune.Guard(robusttune.Policy(diagnosis_seconds=60.0))
    model.fit(x, y, epochs=6, verbose=0, callbacks=[guard])
    assert guard.record is not None
    assert guard.record.cause == "vanishing_gradients"
    assert guard.record.skill == pytest.approx(0.0, abs=0.05)
