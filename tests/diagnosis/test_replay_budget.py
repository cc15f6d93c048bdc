"""What a diagnosis may cost is counted in work: how busy the machine is does not matter."""

from __future__ import annotations

import multiprocessing
import time

import numpy as np
import pytest

keras = pytest.importorskip("keras")
pytest.importorskip("tensorflow")

from robusttune import FailureCause, Policy, Symptom  # noqa: E402
from robusttune._diagnosis.diagnose_failure import diagnose_failure  # noqa: E402
from robusttune._diagnosis.model.observe import observe  # noqa: E402
from robusttune._diagnosis.replay.budget import Budget, work_of_step  # noqa: E402
from robusttune._diagnosis.replay.curvature import extreme_eigenvalues  # noqa: E402
from robusttune._diagnosis.trace import Batch, FitTrace  # noqa: E402

RNG = np.random.default_rng(3)
X = RNG.normal(size=(256, 6)).astype("float32")
Y = (X @ np.array([1, -1, 0.5, 0, 0, 0.2])).astype("float32")
layers = keras.layers


def _verdict(policy):
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input((6,)), layers.Dense(32, "relu"), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(20.0), "mse")
    trace = FitTrace(
        first_batches=[Batch(X[i : i + 32], Y[i : i + 32]) for i in range(0, 256, 32)],
        initial_weights=[np.array(w) for w in model.get_weights()],
    )
    return diagnose_failure(Symptom.DIVERGED, model=model, trace=trace, policy=policy)


def _spin(end):
    while time.time() < end.value:
        pass


@pytest.mark.full
def test_a_busy_machine_comes_to_the_same_verdict():
    """With two busy processes beside it, the same replays of the same steps say the same."""
    alone = _verdict(Policy())
    context = multiprocessing.get_context("spawn")
    end = context.Value("d", time.time() + 120)
    others = [context.Process(target=_spin, args=(end,)) for _ in range(2)]
    for other in others:
        other.start()
    try:
        beside = _verdict(Policy())
    finally:
        end.value = 0.0
        for other in others:
            other.join()
    assert beside.cause is alone.cause is FailureCause.DIVERGENT_LEARNING_RATE
    assert beside.confidence == alone.confidence
    assert [
        (r["change"], r["steps"], r["seeds"], r["cured"]) for r in beside.evidence["replays"]
    ] == [(r["change"], r["steps"], r["seeds"], r["cured"]) for r in alone.evidence["replays"]]


def test_what_was_not_run_is_told():
    """Too little work leaves fewer steps and fewer replays, and both are in the evidence."""
    verdict = _verdict(Policy(diagnosis_seconds=1e-4))
    why_not = verdict.evidence["why_not"]
    assert why_not["replay steps"] == "40 of 300 steps"
    assert any("not run" in why for what, why in why_not.items() if what.startswith("replay of"))
    assert len(verdict.evidence["replays"]) < 3


@pytest.mark.parametrize(
    ("seconds", "work", "steps"),
    [(5.0, 7e7, 300), (5.0, 2e8, 100), (5.0, 1e9, 40), (50.0, 7e8, 300)],
)
def test_steps_are_what_the_work_allows(seconds, work, steps):
    """A small image net (7e7 multiply-adds a step) has 300 steps by default."""
    assert Budget(seconds).steps(work) == steps


def test_work_that_was_done_is_gone():
    """A budget ends with its work, and says so."""
    budget = Budget(1.0)
    assert budget.reason is None
    budget.spend(1e12)
    assert "not run" in budget.reason
    assert budget.steps(1e6) == 40


@pytest.mark.parametrize(
    ("make", "least", "most"),
    [
        (lambda: [keras.Input((10,)), layers.Dense(64), layers.Dense(1)], 6e4, 2e6),
        (lambda: [keras.Input((28, 28, 1)), layers.Conv2D(16, 3), layers.Flatten()], 9e6, 1.2e7),
        (lambda: [keras.Input((30, 4)), layers.LSTM(32), layers.Dense(1)], 2.5e7, 4e7),
    ],
    ids=["dense", "convolution", "recurrent"],
)
def test_the_work_of_a_step_follows_from_shapes(make, least, most):
    """Kernels count once a place they are applied to, and a recurrent cell once a time step."""
    model = keras.Sequential(make())
    model.compile("sgd", "mse")
    x = np.zeros((32, *model.input_shape[1:]), "float32")
    seen = observe(model, None, Batch(x, np.zeros((32, model.output_shape[-1]), "float32")))
    assert least < work_of_step(seen, Batch(x), []) < most


@pytest.mark.parametrize("size", [1, 5, 40])
def test_lanczos_finds_the_ends_of_a_spectrum(size):
    """A few products with a symmetric matrix give its extreme eigenvalues."""
    rng = np.random.default_rng(size)
    matrix = rng.normal(size=(size, size))
    matrix = matrix + matrix.T
    values = np.linalg.eigvalsh(matrix)
    found = extreme_eigenvalues(lambda vector: matrix @ vector, size, products=30)
    assert found.largest == pytest.approx(values[-1], rel=1e-3)
    assert found.smallest == pytest.approx(values[0], rel=1e-3)
    assert found.products <= min(size, 30)


def test_a_product_that_is_not_finite_has_no_spectrum():
    """Curvature at weights that have blown up is NaN, not a number."""
    found = extreme_eigenvalues(lambda vector: vector * np.nan, 3)
    assert np.isnan(found.largest)
    assert np.isnan(found.smallest)
