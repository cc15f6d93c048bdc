"""Guard, tuners and studies on PyTorch and JAX, each in a process where TensorFlow is left out."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

BACKENDS = ["torch", "jax"]

# As sitecustomize, in the processes that are started as well.
WITHOUT_TENSORFLOW = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "tf_keras"):
            return None
        return super().find_spec(name, path, target)

sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
"""


def run(folder: Path, backend: str, *command: str, **environment: str) -> None:
    """Run Python on a backend, in an environment without TensorFlow."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    (folder / "sitecustomize.py").write_text(WITHOUT_TENSORFLOW)
    paths = [str(folder), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        [sys.executable, *command],
        env={**env, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def checks(folder: Path, backend: str, file: str, *options: str) -> None:
    """Run a file of checks."""
    pytest_options = ("-q", "-x", "-p", "no:cacheprovider", "--timeout", "900")
    run(
        folder,
        backend,
        "-m",
        "pytest",
        *pytest_options,
        str(Path(__file__).parent / file),
        *options,
    )


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("backend", BACKENDS)
def test_guard_on(backend: str, tmp_path: Path) -> None:
    """What the guard promises on TensorFlow holds."""
    checks(tmp_path, backend, "guard_checks.py")


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("backend", BACKENDS)
def test_searches_on(backend: str, tmp_path: Path) -> None:
    """Tuners, studies, isolation, time limits, the probe and the demo."""
    checks(tmp_path, backend, "tuner_checks.py")


QUICK = """
import sys
import numpy as np
import keras
from robusttune import FailureCause, Guard, Policy

rng = np.random.default_rng(0)
x = rng.normal(size=(320, 10)).astype("float32")
y = (x @ rng.normal(size=(10, 1))).astype("float32")
bad = x.copy()
bad[32 * 6 + 5] = np.nan

def fit(x, rows=320, rate=0.01, guard=True, **policy):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    guards = [Guard(Policy(**policy))] if guard else []
    model.fit(x[:rows], y[:rows], batch_size=32, shuffle=False, verbose=0, callbacks=guards)
    return model.get_weights(), guards and guards[0]

plain, _ = fit(x, guard=False)
weights, guard = fit(x)
assert not guard.failed
assert all(np.array_equal(a, b) for a, b in zip(plain, weights))
plain, _ = fit(x, rows=32 * 6, guard=False)
weights, guard = fit(bad)
assert guard.trace.step == 6
assert np.isnan(guard.trace.failing_batch.x).any()
assert all(np.array_equal(a, b) for a, b in zip(plain, weights))
assert guard.record.cause is FailureCause.NON_FINITE_DATA
weights, guard = fit(x, rate=5.0, diagnosis="off")
assert guard.failed and all(np.isfinite(w).all() for w in weights)
_, guard = fit(x, clip=0.1)
assert guard.trace.clipped_steps == 10
import robusttune
import robusttune.optuna
robusttune.RandomSearch, robusttune.Report, robusttune.optuna.robust
assert "tensorflow" not in sys.modules
"""


@pytest.mark.full
@pytest.mark.parametrize("backend", BACKENDS)
def test_guard_is_quick_to_check_on(backend: str, tmp_path: Path) -> None:
    """A healthy, a failing, a divergent and a clipped fit, without TensorFlow."""
    run(tmp_path, backend, "-c", QUICK)


SHARDED = """
import jax
import keras
import numpy as np
from robusttune import Guard, Policy

assert len(jax.devices()) == 2
rng = np.random.default_rng(0)
x = rng.normal(size=(320, 10)).astype("float32")
y = (x @ rng.normal(size=(10, 1))).astype("float32")
bad = x.copy()
bad[32 * 6 + 5] = np.nan
keras.distribution.set_distribution(keras.distribution.DataParallel(devices=["cpu:0", "cpu:1"]))

def fit(x, rows=320, guards=(), **more):
    keras.utils.set_random_seed(1)
    norm = keras.layers.BatchNormalization()
    dense = keras.layers.Dense
    model = keras.Sequential([keras.Input((10,)), dense(8), norm, dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    options = {"batch_size": 32, "shuffle": False, "verbose": 0, **more}
    model.fit(x[:rows], y[:rows], callbacks=list(guards), **options)
    return model.get_weights()

guard = Guard()
guarded = fit(x, guards=[guard], validation_data=(x, y))
assert not guard.failed and len(guard.trace.losses) == 10
for a, b in zip(fit(x), guarded):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
guard = Guard()
weights = fit(bad, guards=[guard])
assert guard.trace.step == 6
for a, b in zip(fit(x, rows=32 * 6), weights):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
"""


@pytest.mark.full
def test_guard_on_sharded_jax(tmp_path: Path) -> None:
    """Data parallelism on two virtual CPU devices: they agree on the step that fails."""
    run(tmp_path, "jax", "-c", SHARDED, XLA_FLAGS="--xla_force_host_platform_device_count=2")
