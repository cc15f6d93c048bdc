"""Dense nets that do not learn: vanishing gradients, linear nets, too small, too regularized."""
# ruff: noqa: D103

from __future__ import annotations

import keras
import numpy as np
from keras import layers, optimizers, regularizers
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_circles,
    make_moons,
)
from sklearn.preprocessing import scale

from evaluation.stall_corpus.program import Programs, Setup

PROGRAMS = Programs()


class Jitter(layers.Layer):
    """Adds normal noise while training, of any strength."""

    def __init__(self, stddev: float) -> None:
        super().__init__()
        self.stddev = stddev

    def call(self, inputs, training=False):
        """Return the inputs, noisy in training."""
        if not training:
            return inputs
        return inputs + keras.random.normal(keras.ops.shape(inputs), stddev=self.stddev)


@PROGRAMS.failing("vanishing_gradients", source="AUTOTRAINER style: ten sigmoid layers, SGD")
def digits_ten_sigmoid_layers(fixed: bool) -> Setup:
    x, y = load_digits(return_X_y=True)
    model = keras.Sequential([layers.Input((64,))])
    for _ in range(10):
        model.add(layers.Dense(32, activation="elu" if fixed else "sigmoid"))
    model.add(layers.Dense(10, activation="softmax"))
    sgd = optimizers.SGD(0.02, momentum=0.9)
    model.compile(loss="sparse_categorical_crossentropy", optimizer=sgd, metrics=["accuracy"])
    return Setup(model, x / 16.0, y, {"epochs": 8, "batch_size": 32})


@PROGRAMS.failing("vanishing_gradients", source="forum: hard_sigmoid stack on iris")
def iris_hard_sigmoid_stack(fixed: bool) -> Setup:
    x, y = load_iris(return_X_y=True)
    y = keras.utils.to_categorical(y)
    act = "relu" if fixed else "hard_sigmoid"
    model = keras.Sequential([layers.Input((4,))])
    for units in (64, 64, 32, 32, 16, 16):
        model.add(layers.Dense(units))
        model.add(layers.Activation(act))
    model.add(layers.Dense(3, activation="softmax"))
    model.compile(optimizers.SGD(0.05), "categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, scale(x), y, {"epochs": 25, "batch_size": 8})


@PROGRAMS.failing("vanishing_gradients", source="forum: deep sigmoid net gives a flat line for sin")
def sine_deep_sigmoid_adam(fixed: bool) -> Setup:
    rng = np.random.default_rng(41)
    x = rng.uniform(-3, 3, (512, 1))
    act = "swish" if fixed else "sigmoid"
    inp = layers.Input((1,))
    h = inp
    for _ in range(12):
        h = layers.Dense(20, activation=act)(h)
    model = keras.Model(inp, layers.Dense(1)(h))
    model.compile(optimizer=optimizers.Adam(0.002), loss="mse")
    return Setup(model, x, np.sin(x), {"epochs": 20, "batch_size": 16})


@PROGRAMS.failing("vanishing_gradients", source="forum: softmax in every hidden layer")
def wine_softmax_hidden_layers(fixed: bool) -> Setup:
    x, y = load_wine(return_X_y=True)
    hidden = "relu" if fixed else "softmax"
    model = keras.Sequential([layers.Input((13,))])
    for units in (50, 50, 50):
        model.add(layers.Dense(units, activation=hidden))
    model.add(layers.Dense(3, activation="softmax"))
    model.compile(optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, scale(x), y, {"epochs": 20, "batch_size": 12})


@PROGRAMS.failing("vanishing_gradients", source="forum: 40 narrow tanh layers with sgd")
def tumour_forty_tanh_layers(fixed: bool) -> Setup:
    x, y = load_breast_cancer(return_X_y=True)
    inp = layers.Input((30,))
    h = layers.Dense(8, activation="tanh")(inp)
    for _ in range(39):
        z = layers.Dense(8, activation="tanh")(h)
        h = layers.Add()([h, z]) if fixed else z
    model = keras.Model(inp, layers.Dense(1, activation="sigmoid")(h))
    model.compile(optimizers.SGD(0.002), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, scale(x), y, {"epochs": 8, "batch_size": 16})


@PROGRAMS.failing("vanishing_gradients", source="forum: moons, sigmoid everywhere, momentum SGD")
def moons_deep_sigmoid_batchnorm_missing(fixed: bool) -> Setup:
    x, y = make_moons(600, noise=0.1, random_state=6)
    model = keras.Sequential([layers.Input((2,))])
    for _ in range(7):
        model.add(layers.Dense(16))
        if fixed:
            model.add(layers.BatchNormalization())
        model.add(layers.Activation("sigmoid"))
    model.add(layers.Dense(2, activation="softmax"))
    sgd = optimizers.SGD(0.1, momentum=0.9)
    model.compile(sgd, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 20, "batch_size": 16})


@PROGRAMS.failing("no_nonlinearity", source="Stack Overflow: net predicts a straight line for sine")
def sine_without_activations(fixed: bool) -> Setup:
    rng = np.random.default_rng(43)
    x = rng.uniform(-4, 4, (500, 1))
    y = np.sin(1.5 * x) + 0.02 * rng.normal(size=(500, 1))
    act = "tanh" if fixed else None
    model = keras.Sequential()
    model.add(layers.Input((1,)))
    model.add(layers.Dense(64, activation=act))
    model.add(layers.Dense(64, activation=act))
    model.add(layers.Dense(1))
    model.compile(loss="mse", optimizer=optimizers.Adam(0.01))
    return Setup(model, x, y, {"epochs": 25, "batch_size": 16})


@PROGRAMS.failing("no_nonlinearity", source="forum: XOR with Dense layers and no activation")
def xor_blobs_linear_layers(fixed: bool) -> Setup:
    rng = np.random.default_rng(44)
    bits = rng.integers(0, 2, (400, 2))
    x = bits + rng.normal(0, 0.1, (400, 2))
    y = (bits.sum(1) == 1).astype("float32")
    model = keras.Sequential([layers.Input((2,))])
    model.add(layers.Dense(16, activation="relu" if fixed else "linear"))
    model.add(layers.Dense(8, activation="relu" if fixed else "linear"))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile("nadam", "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 20, "batch_size": 4})


@PROGRAMS.failing("no_nonlinearity", source="forum: make_circles stays at 50 percent")
def circles_separate_linear_activation(fixed: bool) -> Setup:
    x, y = make_circles(600, noise=0.05, factor=0.5, random_state=4)
    model = keras.Sequential()
    model.add(layers.Input((2,)))
    for units in (40, 20, 10):
        model.add(layers.Dense(units))
        model.add(layers.Activation("elu" if fixed else "linear"))
    model.add(layers.Dense(2))
    model.add(layers.Activation("softmax"))
    model.compile(optimizers.SGD(0.1, 0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 20, "batch_size": 20, "validation_split": 0.1})


@PROGRAMS.failing("no_nonlinearity", source="forum: y = x^2 is learned as a constant")
def parabola_functional_linear(fixed: bool) -> Setup:
    x = np.linspace(-2, 2, 400)[:, None]
    inp = keras.Input((1,))
    h = layers.Dense(32, use_bias=True)(inp)
    if fixed:
        h = layers.ReLU()(h)
    h = layers.Dense(32)(h)
    model = keras.Model(inp, layers.Dense(1)(h))
    model.compile(optimizer=optimizers.RMSprop(0.005), loss="mae")
    return Setup(model, x, x**2, {"epochs": 20, "batch_size": 16})


@PROGRAMS.failing("no_nonlinearity", source="forum: network cannot multiply two numbers")
def product_of_two_inputs_linear(fixed: bool) -> Setup:
    rng = np.random.default_rng(46)
    x = rng.uniform(-1, 1, (1000, 2))
    y = 2 * x[:, 0] * x[:, 1]
    act = keras.activations.gelu if fixed else keras.activations.linear
    model = keras.Sequential([layers.Input((2,)), layers.Dense(50, activation=act)])
    model.add(layers.Dropout(0.0))
    model.add(layers.Dense(50, activation=act))
    model.add(layers.Dense(1))
    model.compile("adam", loss="mse", metrics=["mae"])
    return Setup(model, x, y, {"epochs": 15, "batch_size": 10})


@PROGRAMS.failing("no_nonlinearity", source="forum: class depends on a band, linear hidden layers")
def band_three_classes_linear(fixed: bool) -> Setup:
    rng = np.random.default_rng(47)
    x = rng.normal(size=(700, 3))
    radius = np.linalg.norm(x, axis=1)
    y = keras.utils.to_categorical(np.digitize(radius, [1.3, 1.9]), 3)
    model = keras.Sequential([layers.Input((3,)), layers.Dense(48)])
    if fixed:
        model.add(layers.LeakyReLU())
    model.add(layers.BatchNormalization())
    model.add(layers.Dense(3, activation="softmax"))
    model.compile(optimizers.Adam(0.02), "categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 20, "batch_size": 25})


@PROGRAMS.failing("insufficient_capacity", source="forum: one hidden neuron for several periods")
def sine_one_tanh_unit(fixed: bool) -> Setup:
    rng = np.random.default_rng(48)
    x = rng.uniform(-3, 3, (600, 1))
    y = np.sin(2.5 * x)
    model = keras.Sequential([layers.Input((1,))])
    model.add(layers.Dense(64 if fixed else 1, activation="tanh"))
    model.add(layers.Dense(64 if fixed else 1, activation="tanh"))
    model.add(layers.Dense(1))
    model.compile(loss="mse", optimizer=optimizers.Adam(0.01))
    return Setup(model, x, y, {"epochs": 25, "batch_size": 12})


@PROGRAMS.failing("insufficient_capacity", source="forum: one relu unit on a ring")
def circles_one_unit(fixed: bool) -> Setup:
    x, y = make_circles(500, noise=0.03, factor=0.3, random_state=9)
    model = keras.Sequential([layers.Input((2,))])
    model.add(layers.Dense(32 if fixed else 1, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 25, "batch_size": 10})


@PROGRAMS.failing("insufficient_capacity", source="forum: a layer of one unit before ten classes")
def digits_one_unit_bottleneck(fixed: bool) -> Setup:
    x, y = load_digits(return_X_y=True)
    model = keras.Sequential([layers.Input((64,)), layers.Rescaling(1 / 16)])
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.Dense(24 if fixed else 1, activation="relu", name="code"))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 25, "batch_size": 32})


@PROGRAMS.failing("insufficient_capacity", source="forum: autoencoder returns the mean digit")
def autoencoder_code_of_one(fixed: bool) -> Setup:
    x = load_digits().data / 16.0
    inp = layers.Input((64,))
    code = layers.Dense(40 if fixed else 1, activation="tanh", name="code")(inp)
    out = layers.Dense(64)(code)
    model = keras.Model(inp, out, name="autoencoder")
    model.compile(optimizer=optimizers.Adam(0.005), loss="mse")
    return Setup(model, x, x, {"epochs": 20, "batch_size": 32})


@PROGRAMS.failing(
    "insufficient_capacity", "no_nonlinearity", source="forum: perceptron without hidden layer"
)
def checkerboard_no_hidden_layer(fixed: bool) -> Setup:
    rng = np.random.default_rng(52)
    x = rng.uniform(-1, 1, (800, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    model = keras.Sequential([layers.Input((2,))])
    if fixed:
        model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(optimizers.Adam(0.02), loss="binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 20, "batch_size": 16})


@PROGRAMS.failing("over_regularized", source="forum: Dropout(0.95) after every layer")
def wine_dropout_everywhere(fixed: bool) -> Setup:
    x, y = load_wine(return_X_y=True)
    rate = 0.1 if fixed else 0.95
    model = keras.Sequential([layers.Input((13,))])
    for _ in range(3):
        model.add(layers.Dense(32, activation="relu"))
        model.add(layers.Dropout(rate))
    model.add(layers.Dense(3, activation="softmax"))
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, scale(x), y, {"epochs": 20, "batch_size": 8})


@PROGRAMS.failing("over_regularized", source="forum: kernel_regularizer=l2(10)")
def diabetes_ridge_of_ten(fixed: bool) -> Setup:
    x, y = load_diabetes(return_X_y=True, scaled=False)
    reg = regularizers.L2(1e-5 if fixed else 10.0)
    model = keras.Sequential([layers.Input((10,))])
    model.add(layers.Dense(32, activation="relu", kernel_regularizer=reg))
    model.add(layers.Dense(1, kernel_regularizer=reg))
    model.compile(optimizer=optimizers.Adam(0.01), loss="mse", metrics=["mae"])
    return Setup(model, scale(x), scale(y), {"epochs": 25, "batch_size": 16})


@PROGRAMS.failing("over_regularized", source="forum: AdamW weight_decay copied from another unit")
def digits_adamw_decay(fixed: bool) -> Setup:
    x, y = load_digits(return_X_y=True)
    y = keras.utils.to_categorical(y)
    model = keras.Sequential([layers.Input((64,)), layers.Dense(64, activation="relu")])
    model.add(layers.Dense(10, activation="softmax"))
    opt = optimizers.AdamW(0.002, weight_decay=0.001 if fixed else 200.0)
    model.compile(opt, "categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, x / 16.0, y, {"epochs": 10, "batch_size": 32})


@PROGRAMS.failing("over_regularized", source="forum: noise of 50 on standardized inputs")
def tumour_input_noise(fixed: bool) -> Setup:
    x, y = load_breast_cancer(return_X_y=True)
    model = keras.Sequential([layers.Input((30,))])
    model.add(Jitter(0.05 if fixed else 50.0))
    model.add(layers.Dense(16, activation="tanh"))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile("rmsprop", loss="binary_crossentropy", metrics=["accuracy"])
    return Setup(model, scale(x), y, {"epochs": 20, "batch_size": 16})


@PROGRAMS.failing("over_regularized", source="forum: activity_regularizer=l1 silences the layer")
def sine_activity_penalty(fixed: bool) -> Setup:
    x = np.linspace(-3, 3, 400)[:, None]
    penalty = None if fixed else regularizers.L1(1.0)
    inp = layers.Input((1,))
    h = layers.Dense(40, activation="tanh", activity_regularizer=penalty)(inp)
    h = layers.Dense(40, activation="tanh")(h)
    model = keras.Model(inp, layers.Dense(1)(h))
    model.compile(optimizer=optimizers.Adam(0.005), loss="mse")
    return Setup(model, x, np.sin(2 * x), {"epochs": 25, "batch_size": 20})


@PROGRAMS.failing("over_regularized", source="forum: L1L2 on kernels and biases, iris at a third")
def iris_l1_l2_everywhere(fixed: bool) -> Setup:
    x, y = load_iris(return_X_y=True)
    strength = 1e-5 if fixed else 1.0
    model = keras.Sequential([layers.Input((4,))])
    for units, act in ((20, "selu"), (10, "selu"), (3, "softmax")):
        reg = regularizers.L1L2(l1=strength, l2=strength)
        model.add(layers.Dense(units, act, kernel_regularizer=reg, bias_regularizer=reg))
    model.compile(optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Setup(model, scale(x), y, {"epochs": 20, "batch_size": 10})


@PROGRAMS.failing("over_regularized", source="forum: max_norm(0.01) on all kernels")
def moons_tiny_max_norm(fixed: bool) -> Setup:
    x, y = make_moons(500, noise=0.1, random_state=8)
    limit = keras.constraints.MaxNorm(4.0 if fixed else 0.01)
    model = keras.Sequential([layers.Input((2,))])
    model.add(layers.Dense(24, activation="relu", kernel_constraint=limit))
    model.add(layers.Dense(24, activation="relu", kernel_constraint=limit))
    model.add(layers.Dense(1, activation="sigmoid", kernel_constraint=limit))
    model.compile(optimizers.Adam(0.01), loss="binary_crossentropy", metrics=["accuracy"])
    return Setup(model, x, y, {"epochs": 20, "batch_size": 16})


@PROGRAMS.failing("over_regularized", source="forum: AlphaDropout and GaussianDropout at 0.98")
def polynomial_gaussian_dropout(fixed: bool) -> Setup:
    rng = np.random.default_rng(60)
    x = rng.uniform(-1, 1, (600, 2))
    y = scale(x[:, 0] ** 2 - x[:, 1] + x[:, 0] * x[:, 1])
    model = keras.Sequential([layers.Input((2,)), layers.Dense(64, activation="relu")])
    model.add(layers.GaussianDropout(0.02 if fixed else 0.98))
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.GaussianDropout(0.02 if fixed else 0.98))
    model.add(layers.Dense(1))
    model.compile(optimizer="adam", loss="mse")
    return Setup(model, x, y, {"epochs": 20, "batch_size": 20})
