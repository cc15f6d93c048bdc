"""Healthy trials, written before the rules were known: schedules, spikes and losses."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from evaluation.diagnosis_corpus.scenario import (
    F32,
    Family,
    Setup,
    blobs,
    cancer,
    compiled,
    curved,
    dense,
    diabetes,
    digits,
    linear,
    scaled,
)

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
SCE = "sparse_categorical_crossentropy"

OK_LOSSES = Family()


@OK_LOSSES.healthy
def _held_finetune_1e5() -> Setup:
    x, y = digits()
    x = x / 16
    m = compiled(dense(x, (64,), 10, head="softmax"), ADAM(1e-2), SCE)
    m.fit(x, y, epochs=4, verbose=0)
    return Setup(compiled(m, ADAM(1e-5), SCE), x, y, epochs=3)


@OK_LOSSES.healthy
def _held_frozen_base() -> Setup:
    x, y = digits()
    x = x / 16
    m = dense(x, (64, 64), 10, head="softmax")
    m.layers[0].trainable = False
    return Setup(compiled(m, ADAM(1e-3), SCE), x, y)


@OK_LOSSES.healthy
def _held_warmup() -> Setup:
    x, y = linear()
    s = keras.optimizers.schedules.CosineDecay(1e-6, 200, warmup_target=1e-2, warmup_steps=60)
    return Setup(compiled(dense(x), ADAM(s), "mse"), x, y, epochs=12)


@OK_LOSSES.healthy
def _held_warm_restarts() -> Setup:
    x, y = curved()
    s = keras.optimizers.schedules.CosineDecayRestarts(2e-2, 30)
    return Setup(compiled(dense(x), ADAM(s), "mse"), x, y, epochs=12)


@OK_LOSSES.healthy
def _held_cyclic_big_lr_recovers() -> Setup:
    x, y = linear()

    def f(e):
        return 0.3 if e == 3 else 0.01

    return Setup(
        compiled(dense(x), SGD(0.01), "mse"),
        x,
        y,
        epochs=9,
        fit={"callbacks": [keras.callbacks.LearningRateScheduler(f)]},
    )


@OK_LOSSES.healthy
def _held_spikes_outlier_rows() -> Setup:
    x, y = linear()
    y = y.copy()
    y[::64] *= 40
    return Setup(compiled(dense(x), ADAM(1e-3), "mse"), x, y, epochs=10)


@OK_LOSSES.healthy
def _held_spike_one_batch() -> Setup:
    x, y = linear()
    x = x.copy()
    x[100] *= 60
    return Setup(compiled(dense(x, (32,)), ADAM(1e-3), "mse"), x, y, epochs=8)


@OK_LOSSES.healthy
def _held_negative_loss_cosine() -> Setup:
    x, _y = linear()
    return Setup(
        compiled(dense(x, (16,), 10), ADAM(1e-3), "cosine_similarity"),
        x,
        x[:, ::-1].copy(),
        epochs=5,
    )


@OK_LOSSES.healthy
def _held_negative_gauss_nll() -> Setup:
    x, y = linear()
    y = y * 0.01

    def nll(a, p):
        return ops.mean(p[:, 1:] + 0.5 * ops.square(a - p[:, :1]) * ops.exp(-2 * p[:, 1:]))

    return Setup(compiled(dense(x, (32,), 2), ADAM(3e-3), nll), x, y[:, None], epochs=12)


@OK_LOSSES.healthy
def _held_reward_to_minus_inf() -> Setup:
    x, y = linear()
    return Setup(
        compiled(dense(x, (16,), 1), ADAM(1e-3), lambda a, p: -ops.mean(a * p)), x, y, epochs=8
    )


@OK_LOSSES.healthy
def _held_wasserstein_critic() -> Setup:
    x, y = cancer()
    x = scaled(x)
    return Setup(
        compiled(dense(x, (16,), 1), keras.optimizers.RMSprop(5e-4), lambda a, p: ops.mean(a * p)),
        x,
        (y * 2.0 - 1).astype(F32),
        epochs=5,
    )


@OK_LOSSES.healthy
def _held_poisson_counts() -> Setup:
    r = np.random.default_rng(11)
    x = r.normal(size=(600, 5)).astype(F32)
    y = r.poisson(np.exp(4 + 0.5 * x[:, 0])).astype(F32)
    return Setup(
        compiled(dense(x, (16,), 1, head="exponential"), ADAM(1e-2), "poisson"), x, y, epochs=20
    )


@OK_LOSSES.healthy
def _held_nll_sum_large() -> Setup:
    r = np.random.default_rng(12)
    x = r.normal(size=(600, 5)).astype(F32)
    y = r.poisson(300, (600, 50)).astype(F32)
    return Setup(
        compiled(dense(x, (16,), 50), ADAM(1e-2), lambda a, p: ops.sum(ops.exp(p) - a * p, -1)),
        x,
        y,
        epochs=20,
    )


@OK_LOSSES.healthy
def _held_big_targets_adam() -> Setup:
    x, y = diabetes()
    x = scaled(x)
    return Setup(compiled(dense(x, (64, 64)), ADAM(1e-2), "mse"), x, y, epochs=20)


@OK_LOSSES.healthy
def _held_prices_mae() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, (64, 64)), ADAM(3e-2), "mae"), x, 2e5 + 5e4 * y, epochs=20)


@OK_LOSSES.healthy
def _held_prices_slow_start() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, (64, 64)), ADAM(1e-3), "mse"), x, 300 + 50 * y, epochs=5)


@OK_LOSSES.healthy
def _held_near_zero_loss() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, (16,)), ADAM(1e-3), "mse"), x, y * 1e-4, epochs=8)


@OK_LOSSES.healthy
def _held_zero_targets() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, (16,)), ADAM(1e-3), "mse"), x, 0 * y, epochs=8)


@OK_LOSSES.healthy
def _held_constant_targets() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, (16,)), ADAM(1e-3), "mse"), x, 0 * y + 3, epochs=8)


@OK_LOSSES.healthy
def _held_custom_near_zero() -> Setup:
    x, y = linear()
    return Setup(
        compiled(dense(x, (16,)), ADAM(1e-3), lambda a, p: 1e-6 * ops.mean(ops.square(a - p))),
        x,
        y,
        epochs=8,
    )


@OK_LOSSES.healthy
def _held_triplet_margin() -> Setup:
    x, y = blobs()

    def f(a, p):
        return ops.mean(
            ops.maximum(
                ops.sum(ops.square(p[::2] - p[1::2]), -1) * 0.5
                - ops.sum(ops.square(p - ops.roll(p, 3, 0)), -1)[::2]
                + 1.0,
                0.0,
            )
        )

    return Setup(
        compiled(dense(x, (16,), 4), ADAM(1e-3), f), x, y[:, None] * np.ones((1, 4)), epochs=6
    )


@OK_LOSSES.healthy
def _held_linear_regression_sgd() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, ()), SGD(0.01), "mse"), x, y, epochs=6)


@OK_LOSSES.healthy
def _held_logistic_cancer() -> Setup:
    x, y = cancer()
    x = scaled(x)
    return Setup(
        compiled(dense(x, (), 1, head="sigmoid"), ADAM(1e-2), "binary_crossentropy"),
        x,
        y.astype(F32),
        epochs=8,
    )


@OK_LOSSES.healthy
def _held_linear_stack_linear_task() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, (16, 16), activation=None), ADAM(1e-3), "mse"), x, y, epochs=12)


@OK_LOSSES.healthy
def _held_bottleneck_linear_task() -> Setup:
    x, y = linear()
    return Setup(compiled(dense(x, (16, 1, 16)), ADAM(3e-3), "mse"), x, y, epochs=15)
