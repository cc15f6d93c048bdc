"""The guard where a process has to be set up for it: several replicas."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

_FIT = """
import sys
import numpy as np
import keras
from robusttune import Guard, Policy

rng = np.random.default_rng(0)
x = rng.normal(size=(320, 10)).astype("float32")
y = (x @ rng.normal(size=(10, 1))).astype("float32")
bad = x.copy()
bad[32 * 6 + 5] = np.nan

def dense(rate=0.01, **args):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((10,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(rate, **args), "mse")
    return model

def fit(model, x, **args):
    guard = Guard(args.pop("policy", None))
    history = model.fit(x, y, batch_size=32, shuffle=False, verbose=0, callbacks=[guard], **args)
    return guard, history.history

def finite(model):
    return all(np.isfinite(w).all() for w in model.get_weights())
"""

_REPLICAS = (
    """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
"""
    + _FIT
    + """
strategy = tf.distribute.MirroredStrategy(DEVICES)
with strategy.scope():
    plain = dense()
plain.fit(x, y, batch_size=32, shuffle=False, epochs=3, verbose=0)
with strategy.scope():
    model = dense()
guard, history = fit(model, x, epochs=3)
assert not guard.failed
assert len(guard.trace.losses) == 30
for a, b in zip(plain.get_weights(), model.get_weights()):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
with strategy.scope():
    by_hand = dense()
by_hand.fit(x[: 32 * 6], y[: 32 * 6], batch_size=32, shuffle=False, verbose=0)
with strategy.scope():
    model = dense()
guard, history = fit(model, bad, epochs=3)
assert guard.failed
assert guard.trace.step == 6, guard.trace.step
assert "replicas" in guard.trace.missing["failing_batch"]
for a, b in zip(by_hand.get_weights(), model.get_weights()):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
with strategy.scope():
    model = dense(1e10)
guard, history = fit(model, x, epochs=3)
assert guard.failed and finite(model)
"""
)


def _run(code: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.full
@pytest.mark.parametrize("devices", [["/cpu:0"], ["/cpu:0", "/cpu:1"]], ids=len)
def test_guard_mirrored_strategy_on_virtual_cpus(devices: list[str]) -> None:
    """Replicas, or a single one, agree on the step that fails, and none of them applies it."""
    _run(f"DEVICES = {devices!r}\n{_REPLICAS}")


def test_import_is_light() -> None:
    """Importing robusttune loads neither TensorFlow nor Keras, pandas or Optuna."""
    heavy: Any = ("tensorflow", "keras", "keras_tuner", "pandas", "optuna", "sklearn", "scipy")
    _run(f"import robusttune, sys; sys.exit(any(name in sys.modules for name in {heavy!r}))")
