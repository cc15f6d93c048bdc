"""The guard inside real fits, in every mode people train in."""

from __future__ import annotations

import collections
import functools
import gc
import weakref
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from robusttune import FailureCause, Guard, Policy, Symptom
from robusttune._guard import recorder
from tests.zoo import hidden

MODES: dict[str, dict[str, Any]] = {
    "graph": {},
    "eager": {"run_eagerly": True},
    "jit": {"jit_compile": True},
    "steps_per_execution": {"steps_per_execution": 16},
}
STEPS = 10  # 320 rows in batches of 32


def finite(model: keras.Model) -> bool:
    """Whether all weights are finite."""
    return all(np.isfinite(w).all() for w in model.get_weights())


def with_bad_row(x: np.ndarray, row: int) -> np.ndarray:
    """A copy with one NaN."""
    bad = x.copy()
    bad[row, 0] = np.nan
    return bad


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_guard_healthy_fit_is_bit_identical(mode: str, optimizer: str, regression: Any) -> None:
    """A guarded healthy fit gives the very weights of the same fit without a guard."""
    x, y = regression
    plain = hidden(0.01, optimizer, **MODES[mode])
    expected = plain.fit(x, y, epochs=3, shuffle=False, verbose=0).history
    model, guard = hidden(0.01, optimizer, **MODES[mode]), Guard()
    history = model.fit(x, y, epochs=3, shuffle=False, verbose=0, callbacks=[guard]).history
    assert not guard.failed
    assert guard.trace is not None
    assert guard.trace.clipped_steps == 0
    if mode != "jit":  # XLA may order the sums of another graph in another way
        assert history == expected
        for a, b in zip(plain.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    else:
        np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_guard_keeps_the_weights_of_the_last_good_step(mode: str, regression: Any) -> None:
    """A NaN in batch 6 stops the fit there; the weights are those of a loop run by hand."""
    x, y = regression
    bad = 6
    by_hand = hidden()
    for step in range(bad):
        rows = slice(32 * step, 32 * (step + 1))
        by_hand.train_on_batch(x[rows], y[rows])
    model, guard = hidden(**MODES[mode]), Guard(Policy(clip=None))
    history = model.fit(
        with_bad_row(x, 32 * bad + 5), y, epochs=4, shuffle=False, verbose=0, callbacks=[guard]
    )
    assert guard.trace is not None
    assert guard.trace.step == bad
    assert guard.trace.epoch == 0
    assert guard.trace.symptom in (Symptom.NON_FINITE_LOSS, Symptom.NON_FINITE_GRADIENT)
    assert np.isnan(history.history["loss"]).all()
    assert len(history.history["loss"]) == 1
    for a, b in zip(by_hand.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert int(model.optimizer.iterations.numpy()) == bad


@pytest.mark.parametrize("mode", ["graph", "eager", "steps_per_execution"])
def test_guard_hands_over_the_failing_batch(mode: str, regression: Any) -> None:
    """The failing batch and the first ones are at hand as the step saw them."""
    x, y = regression
    bad = with_bad_row(x, 32 * 9 + 5)
    guard = Guard()
    hidden(**MODES[mode]).fit(bad, y, shuffle=False, verbose=0, callbacks=[guard])
    assert guard.trace is not None
    assert guard.trace.failing_batch is not None
    np.testing.assert_array_equal(guard.trace.failing_batch.x, bad[32 * 9 :])
    np.testing.assert_array_equal(guard.trace.failing_batch.y, y[32 * 9 :])
    assert len(guard.trace.first_batches) == 9
    np.testing.assert_array_equal(guard.trace.first_batches[0].x, x[:32])


@pytest.mark.parametrize(("size", "kept"), [(1, 512), (32, 16), (64, 8), (100, 8)])
def test_guard_keeps_batches_until_there_are_rows_enough(
    size: int, kept: int, regression: Any
) -> None:
    """Some hundred rows and some steps, whatever the batch size: eight rows tell nothing."""
    x, y = (np.tile(array, (4, 1)) for array in regression)
    guard = Guard()
    bad = with_bad_row(x, 1279)
    hidden().fit(bad, y, batch_size=size, shuffle=False, verbose=0, callbacks=[guard])
    assert guard.trace is not None
    assert len(guard.trace.first_batches) == kept
    np.testing.assert_array_equal(guard.trace.first_batches[-1].y, y[size * (kept - 1) :][:size])
    assert guard.trace.failing_batch is not None


def test_guard_keeps_batches_within_a_bound_of_memory(
    regression: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are large are kept only as far as the memory goes."""
    monkeypatch.setattr(recorder, "MAX_KEPT_BYTES", 3 * 4 * 11 * 4)  # floats of a batch of 4
    x, y = regression
    guard = Guard()
    bad = with_bad_row(x, 319)
    hidden().fit(bad, y, batch_size=4, shuffle=False, verbose=0, callbacks=[guard])
    assert guard.trace is not None
    assert len(guard.trace.first_batches) == 3


@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_guard_reads_the_first_batches_off_the_input_of_xla(
    steps_per_execution: int, regression: Any
) -> None:
    """XLA cannot call the host: the first batches are there all the same, a later one is named."""
    x, y = (np.tile(array, (2, 1)) for array in regression)
    guard = Guard()
    model = hidden(jit_compile=True, steps_per_execution=steps_per_execution)
    model.fit(with_bad_row(x, 32 * 17), y, shuffle=False, verbose=0, callbacks=[guard])
    trace = guard.trace
    assert trace is not None
    assert trace.step == 17
    assert trace.failing_batch is None
    assert "jit_compile" in trace.missing["failing_batch"]
    assert len(trace.first_batches) == 16
    np.testing.assert_array_equal(trace.first_batches[7].y, y[32 * 7 : 32 * 8])
    early = with_bad_row(x, 32 * 2)
    model.fit(early, y, shuffle=False, verbose=0, callbacks=[guard])
    assert guard.trace is not None
    assert guard.trace.step == 2
    assert guard.trace.failing_batch is not None
    np.testing.assert_array_equal(guard.trace.failing_batch.x, early[64:96])


@pytest.mark.parametrize("mode", MODES)
def test_guard_stops_divergence_that_stays_finite(mode: str, regression: Any) -> None:
    """Adam at learning rate 10 never becomes NaN; it is ended in its first epochs all the same.

    The metrics of that epoch are finite, and would be taken for a result: they become NaN.
    """
    x, y = regression
    model, guard = hidden(10.0, "Adam", **MODES[mode]), Guard()
    history = model.fit(x, y, epochs=20, verbose=0, callbacks=[guard]).history
    assert all(np.isnan(values[-1]) for values in history.values())
    assert guard.trace is not None
    assert guard.trace.symptom is Symptom.DIVERGED
    assert guard.trace.epoch is not None
    assert guard.trace.epoch < 3
    assert finite(model)


@pytest.mark.parametrize("mode", MODES)
def test_guard_ends_a_divergent_fit_with_finite_weights(mode: str, regression: Any) -> None:
    """Whatever the rate, the weights that remain are finite."""
    x, y = regression
    for rate in (5.0, 1e10, 1e30):
        model, guard = hidden(rate, **MODES[mode]), Guard()
        model.fit(x, y, epochs=5, verbose=0, callbacks=[guard])
        assert guard.failed
        assert finite(model), rate


def test_guard_sees_a_nan_that_relu_swallows(regression: Any) -> None:
    """The loss stays finite on the CPU; the gradient does not."""
    x, y = regression
    model, guard = hidden(), Guard()
    model.fit(with_bad_row(x, 3), y, verbose=0, callbacks=[guard])
    assert guard.failed
    assert finite(model)


@pytest.mark.parametrize("check_every", [1, 3, 1000])
def test_guard_names_the_step_whenever_the_host_looks(check_every: int, regression: Any) -> None:
    """The step latches the failure, so that a rare look still finds its place."""
    x, y = regression
    model, guard = hidden(), Guard(Policy(check_every=check_every))
    model.fit(with_bad_row(x, 32 * 4), y, epochs=3, shuffle=False, verbose=0, callbacks=[guard])
    assert guard.trace is not None
    assert guard.trace.step == 4
    assert guard.trace.epoch == 0
    assert int(model.optimizer.iterations.numpy()) == 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_guard_knows_data_in_order_from_divergence(loss: str, mode: str) -> None:
    """Data that get harder, as a growing series read in its order, are no divergence."""
    price = np.exp(np.linspace(0, 9, 960)) / np.exp(9)
    x, y = price[:-1, None].astype("float32"), price[1:, None].astype("float32")
    histories = []
    for callbacks in ([], [guard := Guard()]):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.01), loss, **MODES[mode])
        fit = model.fit(x, y, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
        histories.append(fit.history["loss"])
    assert not guard.failed
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-5)
    assert guard.trace is not None
    assert guard.trace.losses.max() > 100 * guard.trace.start_loss  # far above its start


@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_guard_knows_short_epochs_in_order_from_divergence(loss: str) -> None:
    """The last steps of a short epoch may be the hard ones, before there were five of them."""
    price = np.exp(np.linspace(0, 12, 9 * 32)) / np.exp(12)
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e-4), loss)
    x, y = price[:-33, None], price[33:, None]
    model.fit(x, y, epochs=2, shuffle=False, verbose=0, callbacks=[guard := Guard()])
    assert not guard.failed


@pytest.mark.parametrize("check_every", [1, 10])
def test_guard_sees_divergence_on_data_in_order(check_every: int) -> None:
    """A fit that runs away on such data is ended, whenever the host looks."""
    price = np.exp(np.linspace(0, 9, 960)) / np.exp(9)
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(8), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(100.0), "huber")
    guard = Guard(Policy(check_every=check_every))
    model.fit(price[:-1, None], price[1:, None], shuffle=False, verbose=0, callbacks=[guard])
    assert guard.trace is not None
    assert guard.trace.symptom is Symptom.DIVERGED


def test_guard_history_holds_the_last_steps(regression: Any) -> None:
    """Losses and norms of the last steps, the failing one at the end."""
    x, y = regression
    guard = Guard(Policy(history=8))
    hidden().fit(with_bad_row(x, 32 * 9), y, shuffle=False, verbose=0, callbacks=[guard])
    trace = guard.trace
    assert trace is not None
    assert trace.losses.shape == trace.gradient_norms.shape == (8,)
    assert trace.first_step == 2
    assert np.isfinite(trace.losses[:-1]).all()
    assert np.isnan(trace.gradient_norms[-1])
    assert trace.start_loss == pytest.approx(float(hidden().train_on_batch(x[:32], y[:32])))


def test_guard_gradient_norms_are_those_of_the_tape(regression: Any) -> None:
    """The recorded norm is the global norm of the gradient, before any clipping."""
    x, y = regression
    model = hidden()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(x[:32], training=True) - y[:32]) ** 2)
    norm = float(
        tf.linalg.global_norm(tape.gradient(loss, [v.value for v in model.trainable_variables]))
    )
    guard = Guard(Policy(clip=0.01))
    model.fit(x[:32], y[:32], verbose=0, callbacks=[guard])
    assert guard.trace is not None
    assert guard.trace.gradient_norms[0] == pytest.approx(norm, rel=1e-5)
    assert guard.trace.losses[0] == pytest.approx(float(loss), rel=1e-5)
    assert guard.trace.clipped_steps == 1


@pytest.mark.parametrize("mode", MODES)
def test_guard_clips_to_a_global_norm_as_keras_does(mode: str, regression: Any) -> None:
    """policy.clip=c is global_clipnorm=c."""
    x, y = regression
    keras.utils.set_random_seed(1)
    by_keras = hidden(**MODES[mode])
    by_keras.compile(keras.optimizers.SGD(0.01, global_clipnorm=0.5), "mse", **MODES[mode])
    by_keras.fit(x, y, epochs=2, shuffle=False, verbose=0)
    model = hidden(**MODES[mode])
    model.fit(x, y, epochs=2, shuffle=False, verbose=0, callbacks=[Guard(Policy(clip=0.5))])
    for a, b in zip(by_keras.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["clipnorm", "clipvalue", "global_clipnorm"])
def test_guard_leaves_the_users_own_clipping_alone(name: str, regression: Any) -> None:
    """With a clip of the user's the guard does not clip, whatever the policy."""
    x, y = regression
    expected, model = hidden(), hidden()
    for each in (expected, model):
        each.compile(keras.optimizers.SGD(0.01, **{name: 1.0}), "mse")
    expected.fit(x, y, epochs=2, shuffle=False, verbose=0)
    guard = Guard(Policy(clip=1e-6))
    model.fit(x, y, epochs=2, shuffle=False, verbose=0, callbacks=[guard])
    for a, b in zip(expected.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_guard_auto_clip_tames_a_spike(regression: Any) -> None:
    """One batch with targets a million times too large moves the weights as far as the recent peak.

    That one fades by 1 % a step.
    """
    x, y = regression
    spiked = y.copy()
    spiked[32 * 9 : 32 * 9 + 32] *= 1e6
    model, guard = hidden(), Guard()
    model.fit(x, spiked, epochs=1, shuffle=False, verbose=0, callbacks=[guard])
    plain = hidden()
    plain.fit(x, spiked, epochs=1, shuffle=False, verbose=0)
    assert guard.trace is not None
    assert guard.trace.clipped_steps == 1
    before = hidden()
    before.fit(x[: 32 * 9], y[: 32 * 9], epochs=1, shuffle=False, verbose=0)
    moves = zip(before.get_weights(), model.get_weights(), strict=True)
    moved = np.sqrt(sum(np.square(a - b).sum() for a, b in moves))
    peak = functools.reduce(
        lambda peak, norm: max(0.99 * peak, norm), guard.trace.gradient_norms[:9]
    )
    assert moved == pytest.approx(0.01 * peak, rel=1e-3)
    assert max(np.abs(w).max() for w in plain.get_weights()) > 1e3


class CustomStep(keras.Model):
    """A train_step of its own that never scales its loss."""

    def __init__(self, inner: keras.Model) -> None:
        super().__init__()
        self.inner = inner

    def call(self, x: Any) -> Any:
        """Forward."""
        return self.inner(x)

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step."""
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
        grads = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(grads, self.trainable_variables, strict=True))
        return {"loss": loss}


def test_guard_custom_train_step(regression: Any) -> None:
    """A custom train_step is guarded through its optimizer."""
    x, y = regression
    model, guard = CustomStep(hidden()), Guard()
    model.compile(keras.optimizers.SGD(0.01))
    model.fit(x, y, epochs=2, verbose=0, callbacks=[guard])
    assert not guard.failed
    model.fit(with_bad_row(x, 32 * 2), y, shuffle=False, verbose=0, callbacks=[guard])
    assert guard.trace is not None
    assert guard.trace.step == 2
    assert finite(model)


def test_guard_sees_the_loss_that_a_custom_train_step_logs(regression: Any) -> None:
    """Divergence that stays finite ends such a fit too."""
    keras.utils.set_random_seed(1)
    model, guard = CustomStep(keras.layers.Dense(1)), Guard()
    model.compile(keras.optimizers.SGD(1.5))
    model.fit(*regression, epochs=20, verbose=0, callbacks=[guard])
    assert guard.trace is not None
    assert guard.trace.symptom is Symptom.DIVERGED
    assert np.isfinite(guard.trace.losses).all()


class TwoOptimizers(keras.Model):
    """A small GAN: two players, two optimizers, one train_step."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.generator = keras.Sequential([keras.Input((4,)), keras.layers.Dense(10)])
        self.critic = keras.Sequential([keras.Input((10,)), keras.layers.Dense(1)])
        self.rate = rate

    def compile(self, **kwargs: Any) -> None:
        """Two optimizers."""
        super().compile(**kwargs)
        self.generator_optimizer = keras.optimizers.SGD(self.rate)
        self.critic_optimizer = keras.optimizers.SGD(self.rate)

    def call(self, x: Any) -> Any:
        """Forward."""
        return self.critic(x)

    def train_step(self, real: Any) -> dict[str, Any]:
        """One step of both."""
        noise = tf.random.stateless_normal((tf.shape(real)[0], 4), seed=(1, 2))
        with tf.GradientTape() as tape:
            fake = self.generator(noise, training=True)
            loss = tf.reduce_mean(self.critic(fake) ** 2) + tf.reduce_mean(
                (self.critic(real) - 1) ** 2
            )
        grads = tape.gradient(loss, self.critic.trainable_variables)
        self.critic_optimizer.apply(grads, self.critic.trainable_variables)
        with tf.GradientTape() as tape:
            other = tf.reduce_mean((self.critic(self.generator(noise, training=True)) - 1) ** 2)
        grads = tape.gradient(other, self.generator.trainable_variables)
        self.generator_optimizer.apply(grads, self.generator.trainable_variables)
        return {"critic": loss, "generator": other}


@pytest.mark.parametrize(("rate", "fails"), [(0.01, False), (1e15, True)])
def test_guard_several_optimizers(rate: float, fails: bool, regression: Any) -> None:
    """A GAN's two optimizers are both guarded."""
    keras.utils.set_random_seed(1)
    model, guard = TwoOptimizers(rate), Guard()
    model.compile(optimizer=None)
    model.fit(regression[0], epochs=3, verbose=0, callbacks=[guard])
    assert guard.failed is fails
    assert finite(model)


def _classifier(**compile_args: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((10,))
    hidden = keras.layers.Dense(16, activation="relu")(inputs)
    model = keras.Model(
        inputs,
        {
            "a": keras.layers.Dense(1, name="a")(hidden),
            "b": keras.layers.Dense(3, activation="softmax", name="b")(hidden),
        },
    )
    model.compile(
        keras.optimizers.Adam(1e-3),
        {"a": "mse", "b": "sparse_categorical_crossentropy"},
        **compile_args,
    )
    return model


def test_guard_multi_output(regression: Any) -> None:
    """Several outputs and losses: healthy without an alarm, and stopped at a bad batch."""
    x, y = regression
    targets = {"a": y, "b": np.arange(len(y)) % 3}
    model, guard = _classifier(), Guard()
    model.fit(x, targets, epochs=2, verbose=0, callbacks=[guard])
    assert not guard.failed
    model.fit(with_bad_row(x, 0), targets, shuffle=False, verbose=0, callbacks=[guard])
    assert guard.trace is not None
    assert guard.trace.step == 0
    assert guard.trace.failing_batch is not None
    assert set(guard.trace.failing_batch.y) == {"a", "b"}


def _datasets(x: np.ndarray, y: np.ndarray) -> dict[str, dict[str, Any]]:
    def generator() -> Any:
        while True:
            for start in range(0, len(x), 32):
                yield x[start : start + 32], y[start : start + 32]

    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    weights = np.linspace(0.5, 1.5, len(x))
    return {
        "tf.data": {"x": batches},
        "tf.data of unknown size": {"x": batches.filter(lambda *_: True)},
        "generator": {"x": generator(), "steps_per_epoch": STEPS},
        "sample_weight": {"x": x, "y": y, "sample_weight": weights},
        "validation_split": {"x": x, "y": y, "validation_split": 0.2},
    }


@pytest.mark.parametrize(
    "kind", ["tf.data", "tf.data of unknown size", "generator", "sample_weight", "validation_split"]
)
def test_guard_every_kind_of_data(kind: str, regression: Any) -> None:
    """However the data come in, a healthy fit is left alone and a NaN ends one."""
    x, y = regression
    guard = Guard()
    hidden().fit(**_datasets(x, y)[kind], epochs=2, verbose=0, callbacks=[guard])
    assert not guard.failed
    assert guard.record is not None
    assert not guard.record.unstable
    bad = _datasets(with_bad_row(x, 40), y)[kind]
    model = hidden()
    model.fit(**bad, epochs=2, verbose=0, callbacks=[guard])
    assert guard.failed
    assert finite(model)


def test_guard_class_weight() -> None:
    """Class weights reach the step as sample weights."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(128, 4)).astype("float32")
    y = (x[:, 0] > 0).astype("float32")
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy")
    guard = Guard()
    model.fit(x, y, class_weight={0: 1.0, 1: 5.0}, epochs=8, verbose=0, callbacks=[guard])
    assert not guard.failed
    assert guard.trace is not None
    assert guard.trace.first_batches == []  # a healthy fit keeps no data alive
    x[-1] = np.inf
    model.fit(x, y, class_weight={0: 1.0, 1: 5.0}, shuffle=False, verbose=0, callbacks=[guard])
    assert guard.trace.failing_batch is not None
    weights = guard.trace.failing_batch.sample_weight
    np.testing.assert_array_equal(weights.ravel(), np.where(y[-32:] > 0, 5.0, 1.0))


def test_guard_gradient_accumulation(regression: Any) -> None:
    """Accumulated gradients: the same weights as without the guard, and none of them spoilt."""
    x, y = regression

    def accumulating() -> keras.Model:
        model = hidden()
        model.compile(keras.optimizers.SGD(0.01, gradient_accumulation_steps=4), "mse")
        return model

    plain, model, guard = accumulating(), accumulating(), Guard()
    plain.fit(x, y, epochs=2, shuffle=False, verbose=0)
    model.fit(x, y, epochs=2, shuffle=False, verbose=0, callbacks=[guard])
    for a, b in zip(plain.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.fit(with_bad_row(x, 32), y, shuffle=False, verbose=0, callbacks=[guard])
    assert guard.trace is not None
    assert guard.trace.step == 1
    assert finite(model)


def test_guard_mixed_float16_scaling_is_no_alarm(regression: Any) -> None:
    """A LossScaleOptimizer meets inf gradients by design and halves its scale."""
    x, y = regression
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((10,)),
            keras.layers.Dense(16, activation="relu", dtype="mixed_float16"),
            keras.layers.Dense(1, dtype="float32"),
        ]
    )
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.01), initial_scale=2.0**24
    )
    model.compile(optimizer, "mse")
    guard = Guard()
    model.fit(x, y, epochs=4, verbose=0, callbacks=[guard])
    assert not guard.failed
    assert float(optimizer.dynamic_scale) < 2.0**24
    model.fit(with_bad_row(x, 32), y, shuffle=False, verbose=0, callbacks=[guard])
    assert guard.failed
    assert finite(model)


def test_guard_learning_rate_schedule(regression: Any) -> None:
    """A schedule that climbs into divergence is stopped where it diverges."""
    x, y = regression
    model = hidden()
    schedule = keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 10.0)  # grows tenfold an epoch
    model.compile(keras.optimizers.SGD(schedule), "mse")
    guard = Guard()
    model.fit(x, y, epochs=12, verbose=0, callbacks=[guard])
    assert guard.failed
    assert guard.trace is not None
    assert guard.trace.epoch is not None
    assert guard.trace.epoch >= 1
    assert len(guard.trace.epoch_logs) == guard.trace.epoch
    assert guard.record is not None
    assert guard.record.status == "completed"


@pytest.mark.parametrize("layer", ["LSTM", "GRU", "SimpleRNN"])
def test_guard_recurrent(layer: str) -> None:
    """Recurrent layers: a healthy fit without an alarm, a bad one stopped."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(96, 12, 3)).astype("float32")
    y = x.sum(axis=(1, 2), keepdims=False)[:, None]
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((12, 3)), getattr(keras.layers, layer)(8), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    guard = Guard()
    model.fit(x, y, epochs=2, verbose=0, callbacks=[guard])
    assert not guard.failed
    x[40] = np.inf
    model.fit(x, y, shuffle=False, verbose=0, callbacks=[guard])
    assert guard.trace is not None
    assert guard.trace.step == 1


def test_guard_embedding_gradients_are_sparse() -> None:
    """An Embedding gives IndexedSlices: they count in the norm, and are clipped."""
    x = np.random.default_rng(0).integers(0, 50, size=(128, 5))
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            keras.layers.Embedding(50, 8),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(0.01), "mse")
    guard = Guard(Policy(clip=1e-3))
    model.fit(x, np.ones((128, 1)), epochs=2, verbose=0, callbacks=[guard])
    assert not guard.failed
    assert guard.trace is not None
    assert guard.trace.clipped_steps == 8


def test_guard_model_without_an_optimizer_of_keras(regression: Any) -> None:
    """Where there is nothing to instrument, the loss is watched from the logs."""

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.dense(x)

        def train_step(self, data: Any) -> dict[str, Any]:
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x) - y) ** 2)
            for v, g in zip(
                self.trainable_variables,
                tape.gradient(loss, self.trainable_variables),
                strict=True,
            ):
                v.assign_sub(1e3 * g)
            return {"loss": loss}

    x, y = regression
    model, guard = Own(), Guard()
    model.compile(optimizer=None)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[guard])
    assert guard.failed
    assert guard.trace is not None
    assert "gradient_norms" in guard.trace.missing


def test_guard_two_fits_of_one_model(regression: Any) -> None:
    """The second fit starts afresh, with or without a guard."""
    x, y = regression
    model, guard = hidden(), Guard()
    model.fit(with_bad_row(x, 0), y, shuffle=False, verbose=0, callbacks=[guard])
    assert guard.failed
    model.fit(x, y, verbose=0, callbacks=[guard])
    assert not guard.failed
    model.fit(x, y, verbose=0)
    assert finite(model)


@pytest.mark.parametrize("inner", [False, True])
def test_guard_takes_a_train_step_that_is_a_tf_function(inner: bool, regression: Any) -> None:
    """The user's own trace does not carry one fit into the next one."""

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.dense(x)

        def update(self, x: Any, y: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            return loss

        def train_step(self, data: Any) -> Any:
            return {"loss": self.update(*data)}

    name = "update" if inner else "train_step"
    setattr(Own, name, tf.function(getattr(Own, name)))
    x, y = regression
    bad = with_bad_row(x, 32 * 6)
    model = Own()
    model.compile(keras.optimizers.SGD(0.01))
    model.fit(bad, y, shuffle=False, verbose=0, callbacks=[guard := Guard()])
    assert guard.failed
    assert finite(model)
    before = np.mean((model.predict(x, verbose=0) - y) ** 2)
    model.fit(x, y, epochs=5, verbose=0)
    assert np.mean((model.predict(x, verbose=0) - y) ** 2) < 0.9 * before
    if not inner:  # an inner trace has the first guard in it, and the next one does not see it
        model.fit(bad, y, verbose=0, callbacks=[guard])
        assert guard.failed
        assert finite(model)


@pytest.mark.parametrize("mode", MODES)
def test_guard_keeps_moving_statistics_from_before_the_bad_step(mode: str, regression: Any) -> None:
    """What the forward pass of the failing step has changed is put back."""
    x, y = regression
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((10,)), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse", **MODES[mode])
    by_hand = keras.models.clone_model(model)
    by_hand.set_weights(model.get_weights())
    by_hand.compile("sgd", "mse")
    for step in range(6):
        rows = slice(32 * step, 32 * (step + 1))
        by_hand.train_on_batch(x[rows], y[rows])
    guard = Guard()
    model.fit(with_bad_row(x, 32 * 6), y, shuffle=False, verbose=0, callbacks=[guard])
    assert guard.failed
    for a, b in zip(by_hand.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_guard_lets_weights_be_infinite_on_purpose(regression: Any) -> None:
    """A mask of -inf is no failure."""

    class Masked(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            start = keras.initializers.Constant(-np.inf)
            self.mask = self.add_weight(shape=(2,), initializer=start, trainable=False)

        def call(self, x: Any) -> Any:
            return keras.ops.softmax(keras.ops.concatenate([x, x + self.mask], axis=-1))

    x, y = regression
    layers = [keras.layers.Dense(2), Masked(), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((10,)), *layers])
    model.compile("sgd", "mse")
    model.fit(x, y, epochs=2, verbose=0, callbacks=[guard := Guard()])
    assert not guard.failed


def test_guard_keeps_the_initial_weights_of_a_model_that_its_first_step_builds(
    regression: Any,
) -> None:
    """Without an Input layer, a fit is the same, and what is known of it too."""
    x, y = regression
    seen = []
    for layers in ([], [keras.Input((10,))]):
        keras.utils.set_random_seed(1)
        hidden = keras.layers.Dense(8, activation="relu")
        model = keras.Sequential([*layers, hidden, keras.layers.Dropout(0.2)])
        model.add(keras.layers.Dense(1))
        model.compile("adam", "mse")
        guard = Guard()
        history = model.fit(with_bad_row(x, 32 * 6), y, shuffle=False, verbose=0, callbacks=[guard])
        assert guard.trace is not None
        seen.append((guard.trace.initial_weights, guard.trace.losses, history.history))
        assert guard.trace.initial_weights
        assert not np.array_equal(guard.trace.initial_weights[0], model.get_weights()[0])
    for a, b in zip(seen[0][0], seen[1][0], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(seen[0][1], seen[1][1])


def test_guard_leaves_no_trace(regression: Any, tmp_path: Any) -> None:
    """After the fit, model, optimizer and saved file are what they would have been."""
    x, y = regression
    keras.backend.clear_session()  # so that both have the same names
    plain = hidden(optimizer="Adam")
    plain.fit(x, y, shuffle=False, verbose=0)
    keras.backend.clear_session()
    model = hidden(optimizer="Adam")
    model.fit(x, y, shuffle=False, verbose=0, callbacks=[Guard()])
    assert "apply" not in vars(model.optimizer)
    assert "scale_loss" not in vars(model.optimizer)
    assert "train_step" not in vars(model)
    assert [v.path for v in plain.variables] == [v.path for v in model.variables]
    assert len(plain.optimizer.variables) == len(model.optimizer.variables)
    assert plain.get_config() == model.get_config()
    assert plain.optimizer.get_config() == model.optimizer.get_config()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_guard_leaves_no_trace_after_an_exception(regression: Any) -> None:
    """A fit that raises never ends for its callbacks; `release` cleans up."""

    class Raises(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise RuntimeError("the user's own")

    x, y = regression
    model, guard = hidden(), Guard()
    with pytest.raises(RuntimeError, match="own"):
        model.fit(x, y, verbose=0, callbacks=[guard, Raises()])
    guard.release()
    assert "apply" not in vars(model.optimizer)
    assert "train_step" not in vars(model)
    assert guard.trace is not None
    assert len(guard.trace.losses) == STEPS


def test_guard_leaves_no_trace_after_an_error_in_a_step(regression: Any) -> None:
    """What raises in the step, Ctrl-C too, takes the instrumentation off by itself."""
    x, y = regression
    model = hidden()
    with pytest.raises(ValueError, match="incompatible"):
        model.fit(x[:, :3], y, verbose=0, callbacks=[Guard()])
    assert not {"train_step", "fit"} & set(vars(model))
    assert "apply" not in vars(model.optimizer)


def test_guard_that_was_broken_off_does_not_reach_into_the_next_fit(regression: Any) -> None:
    """A guard that has stopped the updates of a fit which then raised does so in that fit only."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    x, y = regression
    model, guard = hidden(1e6), Guard()
    interrupts = keras.callbacks.LambdaCallback(on_epoch_end=stop)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, verbose=0, callbacks=[guard, interrupts])
    assert guard.failed
    model.optimizer.learning_rate = 1e-30
    before = int(model.optimizer.iterations)
    model.fit(x, y, verbose=0)
    assert int(model.optimizer.iterations) - before == STEPS
    assert not {"train_step", "fit"} & set(vars(model))


def test_guard_leaves_a_users_own_train_step_on_the_instance(regression: Any) -> None:
    """What the user has put on the model itself runs, and is there again afterwards."""
    x, y = regression
    model = hidden()
    own, traced = model.train_step, []

    def mine(data: Any) -> Any:
        traced.append(True)
        return own(data)

    vars(model)["train_step"] = mine
    model.fit(x, y, verbose=0, callbacks=[Guard()])
    assert traced
    assert vars(model)["train_step"] is mine


def test_guard_lets_callbacks_choose_what_is_trained(regression: Any) -> None:
    """A callback that unfreezes a layer at the start of the fit may do so before the optimizer."""
    x, y = regression
    model = hidden()
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    unfreeze = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: setattr(model.layers[0], "trainable", True)
    )
    before = model.layers[0].get_weights()[0]
    model.fit(x, y, verbose=0, callbacks=[Guard(), unfreeze])
    assert not np.array_equal(before, model.layers[0].get_weights()[0])


def test_guard_takes_metrics_that_are_no_numbers(regression: Any) -> None:
    """A metric may be an array, one value for each class."""
    x, y = regression
    y = np.concatenate([y, y], axis=1)  # Keras 3.7 takes the metric of a single output for a number
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse", metrics=[keras.metrics.R2Score(class_aggregation=None)])
    guard = Guard()
    history = model.fit(x, y, verbose=0, callbacks=[guard]).history
    assert np.shape(history["r2_score"]) == (1, 2)
    assert guard.trace is not None
    assert [set(logs) for logs in guard.trace.epoch_logs] == [{"loss"}]


@pytest.mark.full
def test_guard_keeps_no_model_alive(regression: Any) -> None:
    """When the fit and its callbacks are gone, so is the model."""
    x, y = regression
    gone = []
    for seed in range(5):
        model = hidden(0.01 if seed % 2 else 1e20)
        model.fit(x, y, verbose=0, callbacks=[Guard()])
        gone.append(weakref.ref(model))
        del model
        keras.backend.clear_session()
        gc.collect()
    assert [ref() for ref in gone] == [None] * 5


@pytest.mark.full
def test_guard_leaves_nothing_alive_over_many_fits(regression: Any) -> None:
    """Nothing of ours outlives its fit: no model, optimizer or batch, and no graph of Keras's."""
    x, y = regression
    ours = ["Guard", "StepRecorder", "ModelRecorder", "FitTrace", "Batch"]
    kept = [*ours, "Sequential", "SGD", "FuncGraph", "CondBranchFuncGraph"]

    def alive() -> collections.Counter[str]:
        keras.backend.clear_session()
        gc.collect()
        names = collections.Counter(type(thing).__name__ for thing in gc.get_objects())
        return collections.Counter({name: names[name] for name in kept})

    before = alive()
    for number in range(20):
        model = hidden(0.01 if number % 5 else 1e20)
        model.fit(x, y, verbose=0, callbacks=[Guard(Policy(diagnosis_seconds=0.05))])
    del model
    assert not alive() - before


def test_guard_skips_a_step_whose_loss_alone_is_infinite(regression: Any) -> None:
    """A loss that is not finite is a failure, also where its gradient is."""
    x, y = regression
    y = np.copy(y)
    y[32] = 1e9  # in the second batch

    def sometimes_infinite(y_true: Any, y_pred: Any) -> Any:
        trap = keras.ops.where(keras.ops.max(y_true) > 1e8, np.inf, 0.0)
        return keras.ops.mean(keras.ops.abs(y_true - y_pred)) + keras.ops.stop_gradient(trap)

    guard, model, bare = Guard(), hidden(loss=sometimes_infinite), hidden(loss="mae")
    model.fit(x, y, shuffle=False, verbose=0, callbacks=[guard])
    bare.fit(x[:32], y[:32], shuffle=False, verbose=0)
    assert guard.trace is not None
    assert (guard.trace.symptom, guard.trace.step) == (Symptom.NON_FINITE_LOSS, 1)
    for ours, theirs in zip(model.get_weights(), bare.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_guard_counts_steps_between_two_looks(regression: Any) -> None:
    """A fit that is broken off before the host has looked still knows its steps."""
    x, y = regression

    def batches() -> Any:
        for start in range(0, 160, 32):
            yield x[start : start + 32], y[start : start + 32]
        raise ValueError("the source has dried up")

    guard, model = Guard(Policy(check_every=50)), hidden()
    with pytest.raises(Exception, match="dried up"):
        model.fit(batches(), steps_per_epoch=10, shuffle=False, verbose=0, callbacks=[guard])
    guard.release()
    assert guard.trace is not None
    assert (guard.trace.first_step, len(guard.trace.losses)) == (0, 5)


def test_guard_gives_an_optimizers_own_method_back(regression: Any) -> None:
    """An `apply` of the instance is called in a guarded fit, and is there again after it."""
    model, calls = hidden(), []
    apply = model.optimizer.apply

    def noted(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return apply(*args, **kwargs)

    model.optimizer.apply = noted
    model.fit(*regression, verbose=0, callbacks=[Guard()])
    assert calls
    assert model.optimizer.apply is noted


def test_guard_traces_the_step_once(regression: Any) -> None:
    """The metrics and the optimizer make their variables before the step is traced, not in it."""
    updated = []

    class Noted(keras.optimizers.Adam):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            updated.append(tuple(variable.shape))
            super().update_step(gradient, variable, learning_rate)

    model = hidden()
    model.compile(Noted(1e-3), "mse", metrics=["mae"])
    model.fit(*regression, epochs=2, verbose=0, callbacks=[Guard()])
    assert updated == [weights.shape for weights in model.get_weights()]


def test_guard_deepcopy_is_a_fresh_guard() -> None:
    """Tuners copy their callbacks for every trial."""
    import copy

    policy = Policy(clip=2.0)
    copied = copy.deepcopy(Guard(policy))
    assert copied.policy == policy
    assert copied.record is None


def test_guard_rejects_a_policy_of_another_kind() -> None:
    """A wrong argument gets one clear error."""
    with pytest.raises(TypeError, match=r"policy must be a robusttune\.Policy or None"):
        Guard({"clip": 1.0})  # type: ignore[arg-type]


def test_guard_record_names_cause_and_advice(regression: Any) -> None:
    """After a plain fit, guard.record says what a report would say."""
    x, y = regression
    guard = Guard(Policy(diagnosis_seconds=60.0))
    hidden(100.0).fit(x, y, epochs=3, verbose=0, callbacks=[guard])
    assert guard.record is not None
    assert guard.record.unstable
    assert guard.record.status == "failed"
    assert guard.record.cause is FailureCause.DIVERGENT_LEARNING_RATE
    assert guard.record.advice


def test_guard_time_saved_leaves_out_the_tracing(regression: Any) -> None:
    """A fit that fails within its first steps was compiling nearly all of its time."""
    x, y = regression
    guard = Guard()
    hidden(100.0).fit(x, y, epochs=100, batch_size=32, shuffle=False, verbose=0, callbacks=[guard])
    assert guard.trace is not None
    assert guard.trace.epoch == 0
    assert guard.trace.seconds_per_epoch is not None
    assert 0 < guard.trace.seconds_per_epoch < guard.trace.seconds / 2
