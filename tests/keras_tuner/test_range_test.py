"""The learning-rate range test measures on real data what a model stands, and caps by that."""

from __future__ import annotations

import os

from tests.zoo import linear

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import math
import random
import warnings

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from sklearn import datasets

from robusttune import Policy, SearchSpaceWarning
from robusttune._keras_tuner.space.range_test import RateSweep, probe_learning_rates
from robusttune._keras_tuner.space.sanitizer import SpaceSanitizer, neutral


@pytest.fixture(scope="module")
def diabetes():
    """Standardized inputs (442, 10) and targets (442,)."""
    x, y = datasets.load_diabetes(return_X_y=True)
    return ((x - x.mean(0)) / x.std(0)).astype("float32"), ((y - y.mean()) / y.std()).astype(
        "float32"
    )


def build(hp):
    """A small regression whose rate goes further than it stands."""
    model = keras.Sequential(
        [
            keras.layers.Input((10,)),
            keras.layers.Dense(hp.Int("units", 8, 32, step=8), activation="relu"),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.SGD(hp.Float("rate", 1e-4, 10.0, sampling="log")), "mse")
    return model


def space_of(build_function):
    """The space of a build function."""
    hps = keras_tuner.HyperParameters()
    build_function(hps)
    return hps


def probed(build_function, *fit_args, policy=None, **fit_kwargs):
    """Probe a space: its adjustments, and the space."""
    hps = space_of(build_function)
    sanitizer = SpaceSanitizer(build_function, policy or Policy(probe=True))
    sanitizer.mark_sanitized(hps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SearchSpaceWarning)
        made = probe_learning_rates(sanitizer, hps, build_function, fit_args, fit_kwargs)
    return made, hps


@pytest.fixture(scope="module")
def capped(diabetes):
    """What a probe of `build` adjusted, and the space after it."""
    return probed(build, *diabetes, epochs=3, validation_split=0.2, callbacks=[])


def test_probe_caps_what_blows_up(capped):
    """A rate of 10 is cut to a few times what survives, and small ones stay."""
    made, hps = capped
    (change,) = made
    assert change.field == "high"
    assert change.parameter == "rate"
    assert 0.05 <= change.after <= 5.0
    assert "survived a range test" in change.reason
    assert hps.space[1].max_value == change.after
    assert hps.space[1].min_value == 1e-4


def test_capped_rates_still_hold_what_trains(capped, diabetes):
    """The best of some rates, found by training at each, lies under the cap."""
    losses = {}
    for rate in (1e-3, 1e-2, 0.1):
        keras.utils.set_random_seed(0)
        hps = space_of(build)
        hps.values["rate"] = rate
        losses[rate] = build(hps).fit(*diabetes, epochs=5, verbose=0).history["loss"][-1]
    assert min(losses, key=losses.get) <= capped[0][0].after


def test_probe_leaves_what_never_fails(diabetes):
    """Where no rate of the range blows up, there is nothing to cut."""

    def careful(hp):
        return linear(hp.Float("rate", 1e-4, 1e-2, sampling="log"), optimizer="Adam")

    made, hps = probed(careful, *diabetes)
    assert made == []
    assert str(neutral(hps.space[0])) == "Float(0.0001, 0.01, log)"


def test_probe_takes_datasets_and_choices(diabetes):
    """A tf.data.Dataset is read like arrays, and choices are dropped like ends of a range."""

    def choosing(hp):
        return linear(hp.Choice("rate", [1e-3, 1e-2, 1e-1, 9.0]))

    made, hps = probed(choosing, tf.data.Dataset.from_tensor_slices(diabetes).batch(32))
    assert [a.field for a in made] == ["choices"]
    assert 9.0 not in hps.space[0].values
    assert 1e-2 in hps.space[0].values


def test_probe_does_not_eat_a_generator(diabetes):
    """Data that can be read only once is left for the search."""
    batches = (pair for pair in [diabetes])
    hps = space_of(build)
    sanitizer = SpaceSanitizer(build, Policy(probe=True))
    with pytest.warns(SearchSpaceWarning, match="only once"):
        assert probe_learning_rates(sanitizer, hps, build, (batches,), {}) == []
    assert len(list(batches)) == 1


def test_probe_respects_its_time_and_the_user(diabetes):
    """No time gives no cap, and says so; `keep` is kept."""
    hps = space_of(build)
    sanitizer = SpaceSanitizer(build, Policy(probe=True, probe_seconds=1e-9))
    with pytest.warns(SearchSpaceWarning, match="could not be finished"):
        assert probe_learning_rates(sanitizer, hps, build, diabetes, {}) == []
    made, hps = probed(build, *diabetes, policy=Policy(keep=frozenset({"rate"})))
    assert made == []
    assert hps.space[1].max_value == 10.0


def test_probe_leaves_no_trace(diabetes):
    """A seeded search goes on as if there had been no test."""
    draws = []
    for probe in (False, True):
        hps = space_of(build)
        sanitizer = SpaceSanitizer(build, Policy(probe=True, probe_seconds=1.0))
        keras.utils.clear_session()  # Keras 3.7 keeps its own generator when a seed is set
        keras.utils.set_random_seed(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SearchSpaceWarning)
            if probe:
                probe_learning_rates(sanitizer, hps, build, diabetes, {})
        draws.append((random.random(), float(np.random.rand()), float(keras.random.normal(()))))
    assert draws[0] == draws[1]


def test_sweep_reads_the_loss_of_each_step():
    """The rate that is blamed is the last one that had an effect on the loss."""

    class Model:
        class optimizer:  # noqa: N801
            learning_rate = 0.0

        stop_training = False

        def reset_metrics(self):
            pass

    def sweep_over(losses):
        sweep = RateSweep([1e-3, 1e-2, 1e-1, 1.0, 10.0], deadline=math.inf)
        sweep.set_model(Model())
        for step, loss in enumerate(losses):
            sweep.on_train_batch_begin(step)
            sweep.on_train_batch_end(step, {"loss": loss})
            if sweep.model.stop_training:
                break
        return sweep.result

    assert sweep_over([1.0, 0.9, 0.8, math.nan]) == type(sweep_over([1.0] * 5))(1e-2, 1e-1)
    assert sweep_over([1.0] * 5).failed is None
    assert sweep_over([1.0] * 3) is None
