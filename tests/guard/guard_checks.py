"""The guard inside fits on the Keras backend of this process.

test_guard_backends.py runs this on PyTorch and on JAX; test_guard.py is that of TensorFlow.
"""

from __future__ import annotations

import gc
import shutil
import weakref
from typing import Any

import keras
import numpy as np
import pytest

from robusttune import FailureCause, Guard, Policy, Symptom
from robusttune._guard.clipping import Clipping
from tests.zoo import hidden

BACKEND = keras.backend.backend()
RNG = np.random.default_rng(0)
X = RNG.normal(size=(320, 10)).astype("float32")
Y = (X @ RNG.normal(size=(10, 1))).astype("float32")
MODES: dict[str, dict[str, Any]] = {"default": {}, "eager": {"run_eagerly": True}}
if BACKEND == "jax":
    MODES["steps_per_execution"] = {"steps_per_execution": 4}
    MODES["not compiled"] = {"jit_compile": False}
only_torch = pytest.mark.skipif(BACKEND != "torch", reason="of PyTorch")
only_jax = pytest.mark.skipif(BACKEND != "jax", reason="of JAX")
STEPS = 10  # of an epoch


SYMPTOMS = Policy(diagnosis="off")


def fit(model: Any, x: Any = X, y: Any = Y, policy: Policy = SYMPTOMS, **more: Any) -> Guard:
    """Fit in batches of 32, in order, and return the guard."""
    guard = Guard(policy)
    options: dict[str, Any] = {"batch_size": 32, "shuffle": False, "verbose": 0, **more}
    if not isinstance(x, np.ndarray):
        options.pop("batch_size")
    guard.history = model.fit(x, y, callbacks=[guard], **options).history  # type: ignore[attr-defined]
    return guard


def plain(model: Any, x: Any = X, y: Any = Y, **more: Any) -> Any:
    """The same fit without a guard; the model."""
    model.fit(x, y, **{"batch_size": 32, "shuffle": False, "verbose": 0, **more})
    return model


def assert_same(a: Any, b: Any) -> None:
    """Weights and slots are the same, bit by bit.

    But for JAX with batch normalization, whose gradients are products: XLA contracts product and
    update into one rounding where it can, and the guard's loop is between them.
    """
    rounds = BACKEND == "jax" and any("batch_norm" in layer.name for layer in a.layers)
    ours = [*a.get_weights(), *_slots(a)]
    for one, other in zip(ours, [*b.get_weights(), *_slots(b)], strict=True):
        np.testing.assert_allclose(one, other, *((1e-5, 1e-7) if rounds else (0, 0)))


def _slots(model: Any) -> list[Any]:
    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in model.optimizer.variables]


def finite(model: Any) -> bool:
    """Whether all weights are finite."""
    return all(np.isfinite(w).all() for w in model.get_weights())


def bad_at(row: int) -> np.ndarray:
    """The inputs with one NaN."""
    bad = X.copy()
    bad[row, 0] = np.nan
    return bad


def clean(model: Any) -> bool:
    """Whether no method is replaced on the model, its optimizer and its loss tracker."""
    names = {"apply", "scale_loss", "stateless_apply", "train_step", "fit", "update_state"}
    names |= {"_make_function", "_get_state_sharding_spec"}
    owners = [model, model.optimizer, model._loss_tracker]
    return not any(names & set(vars(owner)) for owner in owners)


@pytest.mark.parametrize(
    ("mode", "optimizer", "dropout"),
    [
        *(("default", optimizer, False) for optimizer in ("SGD", "Adam", "AdamW", "RMSprop")),
        *((mode, "Adam", True) for mode in MODES),
    ],
)
def test_healthy_fit_is_bit_identical(mode: str, optimizer: str, dropout: bool) -> None:
    """Weights, slots and epoch means, with random layers and moving statistics too."""

    def made() -> keras.Model:
        keras.utils.set_random_seed(2)
        layers = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.3)] if dropout else []
        return hidden(0.01, optimizer, "mse", *layers, **MODES[mode])

    alone = made()
    history = alone.fit(X, Y, batch_size=32, shuffle=False, epochs=3, verbose=0).history
    guarded = made()
    guard = fit(guarded, epochs=3)
    assert_same(alone, guarded)
    for name, means in history.items():
        exactly = {"rel": 1e-5 if dropout and BACKEND == "jax" else 0, "abs": 0}
        assert guard.history[name] == pytest.approx(means, **exactly)  # type: ignore[attr-defined]
    assert not guard.failed
    assert guard.record is not None
    assert not guard.record.unstable
    assert guard.trace is not None
    assert len(guard.trace.losses) == 3 * STEPS
    assert guard.trace.clipped_steps == 0
    assert clean(guarded)


@pytest.mark.parametrize(
    ("mode", "failed"), [("default", 2), ("default", 17), *((mode, 6) for mode in MODES)]
)
def test_the_weights_are_those_of_the_last_good_step(mode: str, failed: int) -> None:
    """Slots and moving statistics too; step, batch and history are those of the failure."""
    norm = keras.layers.BatchNormalization

    def made() -> keras.Model:
        return hidden(0.01, "Adam", "mse", norm(), **MODES[mode])

    x, y = np.concatenate([X, X]), np.concatenate([Y, Y])
    expected = plain(made(), x[: 32 * failed], y[: 32 * failed])
    x[32 * failed + 5, 3] = np.nan
    model = made()
    policy = Policy() if (mode, failed) == ("default", 6) else SYMPTOMS
    guard = fit(model, x, y, policy, epochs=3, validation_data=(X, Y))
    assert_same(model, expected)
    trace = guard.trace
    assert trace is not None
    assert (trace.step, trace.symptom) == (failed, Symptom.NON_FINITE_LOSS)
    assert trace.failing_batch is not None
    np.testing.assert_array_equal(trace.failing_batch.x, x[32 * failed : 32 * failed + 32])
    np.testing.assert_array_equal(trace.first_batches[0].y, y[:32])
    assert len(trace.first_batches) == min(failed, 16)
    assert len(trace.losses) == failed + 1
    assert np.isnan(guard.history["loss"]).all()  # type: ignore[attr-defined]
    if policy is not SYMPTOMS:
        assert guard.record is not None
        assert guard.record.cause is FailureCause.NON_FINITE_DATA


@pytest.mark.parametrize(
    ("mode", "optimizer", "rate"),
    [("default", "Adam", 30.0), ("default", "SGD", 1e10), *((mode, "SGD", 5.0) for mode in MODES)],
)
def test_a_divergent_fit_ends_with_finite_weights(mode: str, optimizer: str, rate: float) -> None:
    """Finite divergence is told within some steps, with validation data as without."""
    for more in ({}, {"validation_data": (X, Y)}):
        model = hidden(rate, optimizer, **MODES[mode])
        guard = fit(model, epochs=20, **more)
        assert guard.failed
        assert finite(model)
        assert guard.trace is not None
        assert guard.trace.step is not None
        assert guard.trace.step < 12  # within the third execution of four steps
        assert clean(model)


@pytest.mark.parametrize("mode", MODES)
def test_a_number_clips_as_keras_does(mode: str) -> None:
    """And what the user's own optimizer clips stays the user's."""
    by_keras = hidden(**MODES[mode])
    by_keras.compile(keras.optimizers.SGD(0.01, global_clipnorm=0.1), "mse", **MODES[mode])
    plain(by_keras, epochs=2)
    model = hidden(**MODES[mode])
    guard = fit(model, policy=Policy(clip=0.1, diagnosis="off"), epochs=2)
    assert guard.trace is not None
    assert guard.trace.clipped_steps == 2 * STEPS
    for one, other in zip(by_keras.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    own = hidden()
    own.compile(keras.optimizers.SGD(0.01, global_clipnorm=0.1), "mse")
    guard = fit(own, policy=Policy(clip=1e-3, diagnosis="off"), epochs=2)
    assert guard.trace is not None
    assert guard.trace.clipped_steps == 0
    assert_same(own, plain(_recompiled(), epochs=2))


def _recompiled() -> keras.Model:
    model = hidden()
    model.compile(keras.optimizers.SGD(0.01, global_clipnorm=0.1), "mse")
    return model


@pytest.mark.parametrize(("optimizer", "clips"), [("SGD", 1), ("Adam", 0)])
def test_auto_clips_a_spike(optimizer: str, clips: int) -> None:
    """One batch of huge targets, after a warm-up, where the optimizer takes it as it is."""
    x, y = np.concatenate([X] * 3), np.concatenate([Y] * 3)
    y[32 * 20] *= 3e4
    spiky = Policy(divergence_factor=1e12, diagnosis="off")
    guard = fit(hidden(1e-3, optimizer), x, y, policy=spiky)
    assert guard.trace is not None
    assert guard.trace.clipped_steps == clips
    unclipped = Policy(clip=None, divergence_factor=1e12, diagnosis="off")
    guard = fit(hidden(1e-3, optimizer), x, y, policy=unclipped)
    assert guard.trace is not None
    assert guard.trace.clipped_steps == 0


def test_gradient_norms_are_those_of_the_loss() -> None:
    """Of a linear model by hand; the history holds the last steps."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    w = model.get_weights()[0]
    norms, losses = [], []
    for step in range(STEPS):
        x, y = X[32 * step : 32 * step + 32], Y[32 * step : 32 * step + 32]
        gradient = 2 * x.T @ (x @ w - y) / 32
        norms.append(np.linalg.norm(gradient))
        losses.append(np.mean((x @ w - y) ** 2))
        w = w - 0.01 * gradient
    guard = fit(model, policy=Policy(history=8, diagnosis="off"))
    assert guard.trace is not None
    assert guard.trace.first_step == 2
    np.testing.assert_allclose(guard.trace.gradient_norms, norms[2:], rtol=1e-4)
    np.testing.assert_allclose(guard.trace.losses, losses[2:], rtol=1e-4)


@pytest.mark.parametrize(("check_every", "failed"), [(3, 8), (1000, 3), (1000, 18)])
def test_the_step_is_named_whenever_the_host_looks(check_every: int, failed: int) -> None:
    """It is latched in the step, and nothing is trained after it."""
    x, y = np.concatenate([X, X]), np.concatenate([Y, Y])
    expected = plain(hidden(), x[: 32 * failed], y[: 32 * failed])
    x[32 * failed] = np.nan
    model = hidden()
    guard = fit(
        model,
        x,
        y,
        policy=Policy(check_every=check_every, diagnosis="off"),
        epochs=2,
    )
    assert guard.trace is not None
    assert guard.trace.step == failed
    assert_same(model, expected)
    assert guard.trace.failing_batch is not None
    assert np.isnan(guard.trace.failing_batch.x).any()


@pytest.mark.parametrize("mode", list(MODES)[:1] + list(MODES)[2:3])
def test_data_in_order_are_told_from_divergence(mode: str) -> None:
    """A growing series: the baseline and the untrained model are asked in the midst of a step."""
    rows = np.arange(1280, dtype="float32")[:, None]
    x, y = rows / 1280, (rows / 100) ** 2
    guard = fit(dense_of_one(**MODES[mode]), x, y, epochs=1)
    assert not guard.failed


def dense_of_one(**compile_args: Any) -> keras.Model:
    """A model of one input that hardly learns."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e-5), "mse", **compile_args)
    return model


def test_the_fit_goes_on_after_a_false_suspicion() -> None:
    """On JAX the state that was attached for a look is the one that is trained on."""
    rows = np.arange(1280, dtype="float32")[:, None]
    x, y = rows / 1280, (rows / 100) ** 2
    alone, guarded = dense_of_one(), dense_of_one()
    plain(alone, x, y, epochs=3)
    guard = fit(guarded, x, y, epochs=3)
    assert not guard.failed
    assert_same(alone, guarded)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_is_no_alarm(dtype: str) -> None:
    """A LossScaleOptimizer meets gradients that are not finite by design."""
    keras.config.set_dtype_policy(dtype)
    try:
        alone, guarded = hidden(0.01), hidden(0.01)
        plain(alone, epochs=2)
        guard = fit(guarded, epochs=2)
        assert not guard.failed
        assert_same(alone, guarded)
        model = hidden(0.01)
        guard = fit(model, bad_at(32 * 6), epochs=2)
        assert guard.failed
        assert guard.trace is not None
        assert guard.trace.step == 6
    finally:
        keras.config.set_dtype_policy("float32")


def test_gradient_accumulation() -> None:
    """What accumulates is not touched, and not a failing gradient."""

    def made() -> keras.Model:
        model = hidden()
        optimizer = keras.optimizers.SGD(0.01, gradient_accumulation_steps=4)
        model.compile(optimizer, "mse")
        return model

    alone, guarded = plain(made(), epochs=2), made()
    assert not fit(guarded, epochs=2).failed
    assert_same(alone, guarded)
    model = made()
    assert fit(model, bad_at(32 * 6)).failed
    assert_same(model, plain(made(), X[: 32 * 6], Y[: 32 * 6]))


class TorchStep(keras.Model):
    """A train_step of the user's, after Keras's guide for PyTorch."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def train_step(self, data: Any) -> Any:
        import torch

        x, y = data
        loss = keras.ops.mean((self(x) - keras.ops.convert_to_tensor(y)) ** 2)
        self.zero_grad()
        loss.backward()
        weights = self.trainable_weights
        with torch.no_grad():
            self.optimizer.apply([v.value.grad for v in weights], weights)
        return {"loss": loss.detach()}


class JaxStep(keras.Model):
    """A train_step of the user's, after Keras's guide for JAX."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def train_step(self, state: Any, data: Any) -> Any:
        import jax

        trained, others, slots, metrics = state
        x, y = data

        def loss_of(trained: Any) -> Any:
            predictions, updated = self.stateless_call(trained, others, x)
            return keras.ops.mean((predictions - y) ** 2), updated

        (loss, updated), grads = jax.value_and_grad(loss_of, has_aux=True)(trained)
        trained, slots = self.optimizer.stateless_apply(slots, grads, trained)
        return {"loss": loss}, (trained, updated, slots, metrics)


def test_a_train_step_of_the_users_own() -> None:
    """Its loss is the one that it logs; a failing update does not reach the weights."""
    kind = TorchStep if BACKEND == "torch" else JaxStep

    def made(rate: float = 0.01) -> Any:
        keras.utils.set_random_seed(1)
        model = kind()
        model.build((None, 10))
        model.compile(keras.optimizers.SGD(rate))
        return model

    alone, guarded = plain(made(), epochs=2), made()
    guard = fit(guarded, epochs=2)
    assert not guard.failed
    assert_same(alone, guarded)
    assert guard.trace is not None
    assert np.isfinite(guard.trace.losses).all()
    model = made()
    guard = fit(model, bad_at(32 * 6), epochs=2)
    assert guard.trace is not None
    assert guard.trace.step == 6
    assert_same(model, plain(made(), X[: 32 * 6], Y[: 32 * 6]))
    model = made(5.0)
    assert fit(model, epochs=5).failed
    assert finite(model)


@only_torch
def test_several_optimizers() -> None:
    """Where one of them fails, neither makes an update any more."""

    class Two(TorchStep):
        def train_step(self, data: Any) -> Any:
            logs = super().train_step(data)
            import torch

            x, y = data
            loss = keras.ops.mean((self(x) - keras.ops.convert_to_tensor(y)) ** 2)
            self.zero_grad()
            loss.backward()
            weights = self.trainable_weights
            with torch.no_grad():
                self.second.apply([v.value.grad for v in weights], weights)
            return logs

    def made(rate: float) -> Any:
        keras.utils.set_random_seed(1)
        model = Two()
        model.second = keras.optimizers.SGD(rate)
        model.build((None, 10))
        model.compile(keras.optimizers.SGD(rate))
        return model

    guarded = made(0.01)
    assert not fit(guarded).failed
    assert_same(guarded, plain(made(0.01)))
    model = made(0.01)
    guard = fit(model, bad_at(32 * 6))
    assert guard.trace is not None
    assert guard.trace.step == 6
    assert_same(model, plain(made(0.01), X[: 32 * 6], Y[: 32 * 6]))
    assert "apply" not in vars(model.second)


@only_jax
def test_a_model_that_makes_its_own_train_function_is_watched_from_the_logs() -> None:
    """A warning says so, once, and the fit still ends."""

    class Own(keras.Sequential):
        def make_train_function(self, force: bool = False) -> Any:
            def function(state: Any, iterator: Any) -> Any:
                return self.train_step(state, next(iterator))

            self.train_function = function

    model = Own([keras.Input((10,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e6), "mse")
    with pytest.warns(UserWarning, match="makes its train function by itself"):
        guard = fit(model, epochs=5)
    assert guard.failed
    assert guard.trace is not None
    assert "gradient_norms" in guard.trace.missing
    assert np.isnan(guard.trace.gradient_norms).all()
    assert clean(model)


def test_nothing_is_left_after_an_exception() -> None:
    """Neither of a callback's own nor of the step's; the next fit is an ordinary one."""

    class Raises(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise RuntimeError("the user's own")

    model, guard = hidden(), Guard()
    with pytest.raises(RuntimeError, match="own"):
        model.fit(X, Y, verbose=0, callbacks=[guard, Raises()])
    guard.release()
    assert clean(model)
    assert guard.trace is not None
    assert len(guard.trace.losses) == STEPS

    model = hidden(1e6)
    with pytest.raises(RuntimeError, match="own"):
        model.fit(X, Y, verbose=0, callbacks=[Guard(SYMPTOMS), Raises()])
    model.optimizer.learning_rate = 1e-30
    before = int(model.optimizer.iterations)
    model.fit(X, Y, verbose=0)
    assert int(model.optimizer.iterations) - before == STEPS
    assert clean(model)


def test_nothing_is_left_after_an_error_in_a_step() -> None:
    """The instrumentation takes itself off."""

    def wrong(y: Any, p: Any) -> Any:
        raise ValueError("the loss is wrong")

    model = hidden()
    plain(model)
    model.compile("sgd", wrong)
    with pytest.raises(ValueError, match="wrong"):
        model.fit(X, Y, verbose=0, callbacks=[Guard()])
    assert clean(model)


def test_a_users_own_train_step_on_the_instance_comes_back() -> None:
    """It runs, and is there again afterwards."""
    model = hidden()
    own, called = model.train_step, []

    def mine(*args: Any) -> Any:
        called.append(True)
        return own(*args)

    vars(model)["train_step"] = mine
    model.fit(X, Y, verbose=0, callbacks=[Guard()])
    assert called
    assert vars(model)["train_step"] is mine


def test_two_fits_of_one_model() -> None:
    """A failure of the first does not reach into the second."""
    model = hidden()
    assert fit(model, bad_at(32)).failed
    assert not fit(model).failed


def test_no_model_is_kept_alive() -> None:
    """Guard, backend and caches let go of it."""
    model = hidden(5.0)
    guard = fit(model, epochs=2)
    reference = weakref.ref(model)
    guard.set_model(None)
    guard.context = guard._run = None
    del model
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("kind", ["generator", "PyDataset", "loader"])
def test_every_kind_of_data(kind: str) -> None:
    """First and failing batches come from whatever brings them."""
    bad = bad_at(32 * 4)
    batches = [(bad[i : i + 32], Y[i : i + 32]) for i in range(0, 320, 32)]

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return len(batches)

        def __getitem__(self, index: int) -> Any:
            return batches[index]

    if kind == "loader":
        torch = pytest.importorskip("torch")
        rows = torch.utils.data.TensorDataset(torch.tensor(bad), torch.tensor(Y))
        data: Any = torch.utils.data.DataLoader(rows, batch_size=32)
    else:
        data = Batches() if kind == "PyDataset" else (batch for batch in batches)
    guard = fit(hidden(), data, None, steps_per_epoch=10)
    assert guard.trace is not None
    assert guard.trace.step == 4
    assert guard.trace.failing_batch is not None
    np.testing.assert_array_equal(guard.trace.failing_batch.x, batches[4][0])
    assert len(guard.trace.first_batches) == 4


def test_several_inputs_and_sample_weights() -> None:
    """Batches are nested as the model takes them."""
    keras.utils.set_random_seed(1)
    inputs = {"a": keras.Input((10,), name="a"), "b": keras.Input((10,), name="b")}
    both = keras.layers.Concatenate()(list(inputs.values()))
    model = keras.Model(inputs, keras.layers.Dense(1)(both))
    model.compile(keras.optimizers.SGD(0.01), "mse")
    x = {"a": X, "b": bad_at(32 * 2)}
    guard = Guard()
    model.fit(
        x, Y, sample_weight=np.ones(320), batch_size=32, shuffle=False, verbose=0, callbacks=[guard]
    )
    assert guard.trace is not None
    assert guard.trace.failing_batch is not None
    assert set(guard.trace.failing_batch.x) == {"a", "b"}
    assert guard.trace.failing_batch.sample_weight.shape == (32,)


def test_callbacks_may_choose_what_is_trained() -> None:
    """A callback that unfreezes a layer at the start of the fit may do so."""
    model = hidden()
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    model.layers[0].trainable = True
    model.compile("sgd", "mse")
    before = model.layers[0].get_weights()[0]
    fit(model)
    assert not np.array_equal(before, model.layers[0].get_weights()[0])


@pytest.mark.parametrize(
    ("kwargs", "cause"),
    [
        ({"rate": 5.0}, FailureCause.DIVERGENT_LEARNING_RATE),
        ({"rate": 1e-7}, FailureCause.LEARNING_RATE_TOO_LOW),
        ({"scale": 1000.0}, FailureCause.UNSCALED_DATA),
        ({"loss": "divided"}, FailureCause.UNSAFE_LOSS),
        ({}, None),
    ],
    ids=str,
)
def test_causes(kwargs: dict[str, Any], cause: FailureCause | None) -> None:
    """The guard of a real fit leads to the verdict that it has on TensorFlow."""

    def divided(y: Any, p: Any) -> Any:
        return keras.ops.mean(keras.ops.abs((y - p) / y))

    y = (Y - Y.min()) / 10 if kwargs.get("loss") else Y
    loss = divided if kwargs.get("loss") else "mse"
    model = hidden(kwargs.get("rate", 0.01), "SGD", loss)
    x = X * kwargs.get("scale", 1.0)
    guard = fit(model, x, y, Policy(), epochs=10, validation_data=(X, y))
    assert guard.record is not None
    assert guard.record.cause is cause
    assert finite(model)


def test_the_clock_ends_a_fit() -> None:
    """At the next batch after its limit."""
    guard = fit(hidden(), policy=Policy(trial_seconds=1e-3), epochs=1000)
    assert guard.trace is not None
    assert guard.trace.symptom is Symptom.TIMEOUT


def test_the_host_clips_as_the_step_does() -> None:
    """`Clipping` and what is compiled decide alike."""
    if BACKEND != "jax":
        pytest.skip("of JAX")
    from jax import numpy as jnp

    from robusttune._guard import jax_fit

    sizes = [1.0, 2.0, 1.5, 300.0, 1.0, 1e6, 1.0, 0.5, 0.4, 3e3, 60.0, 0.3, 1e-9, 10.0, 0.0, 5.0]
    for clip in ("auto", 0.7, None):
        host = Clipping(clip)  # type: ignore[arg-type]
        model = hidden()
        recorder = jax_fit.ModelRecorder(
            model,
            clip=clip,
            history=8,
            look_every=1,
            before_first_step=list,
            after_step=list,
            abandoned=list,
        )
        now = jax_fit._Tracing(jnp.zeros(4))
        for size in sizes:
            grads = recorder._guarded([jnp.full(1, np.sqrt(2 * size), "float32")], [], now)
            given = float(grads[0][0]) / max(np.sqrt(2 * size), 1e-30)
            expected = host.factor(float(np.float32(size)))
            assert given == pytest.approx(expected if size else 0.0, rel=1e-4)
        assert int(now.clipped) == host.clipped


@only_torch
def test_a_compiled_step_is_guarded_and_stays_compiled() -> None:
    """`compile(jit_compile=True)` is torch.compile; the guard's own part stays outside."""
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs g++")
    from torch._dynamo.utils import counters

    bare = plain(hidden(jit_compile=True), epochs=2)
    counters.clear()
    model = hidden(jit_compile=True)
    guard = fit(model, epochs=2)
    assert not guard.failed
    assert guard.trace is not None
    assert len(guard.trace.losses) == 2 * STEPS
    assert counters["stats"]["unique_graphs"] > 0
    for one, other in zip(model.get_weights(), bare.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)  # graphs are cut in other places
    failing = hidden(5.0, jit_compile=True)
    assert fit(failing, epochs=2).failed
    assert finite(failing)


# What is used beyond the public API, as tests/test_compat.py has it for TensorFlow


@only_torch
def test_norms_and_multiples_of_a_list_of_tensors() -> None:
    """One call for all."""
    import torch

    from robusttune._compat.torch import norms_of, scaled

    tensors = [torch.tensor([3.0, 4.0]), torch.tensor([[2.0]])]
    assert [float(norm) for norm in norms_of(tensors)] == [5.0, 2.0]
    assert [tensor.tolist() for tensor in scaled(tensors, 0.5)] == [[1.5, 2.0], [[1.0]]]


def test_the_loss_tracker_gets_the_loss_of_each_step() -> None:
    """By Keras's own train step."""
    from robusttune._compat.keras import loss_tracker_of

    model = hidden()
    tracker = loss_tracker_of(model)
    plain(model, X[:32], Y[:32])
    assert float(tracker.result()) > 0


@only_jax
def test_a_jax_model_gets_its_state_for_a_block() -> None:
    """And has none again after it, as Keras wants it within an epoch."""
    from robusttune._compat.keras import jax_state_attached, nnx_is_enabled

    assert not nnx_is_enabled()
    model = plain(hidden())
    weights = model.get_weights()
    state = model._get_jax_state(
        trainable_variables=True,
        non_trainable_variables=True,
        optimizer_variables=True,
        metrics_variables=True,
        purge_model_variables=True,
    )
    model._jax_state_synced = False
    with jax_state_attached(model, state):
        for one, other in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, other)
    assert all(variable._value is None for variable in model.variables)


@only_jax
def test_the_compiled_step_of_a_jax_model_can_be_wrapped() -> None:
    """Each of its calls is seen, also of several an execution."""
    from robusttune._compat.keras import jax_steps_wrapped

    model, calls = hidden(steps_per_execution=4), []

    def wrap(step: Any) -> Any:
        def wrapped(state: Any, data: Any) -> Any:
            calls.append(data)
            return step(state, data)

        return wrapped

    with jax_steps_wrapped(model, wrap, None) as was_made:
        model.make_train_function()
    assert was_made()
    plain(model)
    assert len(calls) == STEPS
    assert clean(model)
