"""Keras Tuner's hyperparameters: roles are seen in the models, and sound spaces are left alone."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import math
import random
import threading
import warnings

import hypothesis.strategies as st
import keras
import keras_tuner
import numpy as np
import pytest
from hypothesis import example, given, settings
from keras_tuner.engine import hyperparameters as hp_types
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from robusttune import Policy, SearchSpaceWarning
from robusttune._keras_tuner.isolated_state import isolated_state
from robusttune._keras_tuner.parameters import keras_tuner_hyperparameter
from robusttune._keras_tuner.space.sanitizer import (
    CLIP_NORM,
    SpaceSanitizer,
    neutral,
    tune_clip_norm,
)
from robusttune._space import Choice, Float, Int, sanitize
from robusttune._space.observed_roles import Build
from robusttune._space.roles import Role, is_number
from tests.space.strategies import ROLES, choices, floats, ints


def model_of(optimizer, *layers):
    """A small compiled model."""
    model = keras.Sequential([keras.layers.Input((4,)), *layers, keras.layers.Dense(1)])
    model.compile(optimizer=optimizer, loss="mse")
    return model


def populated(build):
    """The space that Keras Tuner finds in a build function."""
    hps = keras_tuner.HyperParameters()
    build(hps)
    return hps


def sanitized(build, policy=None):
    """Sanitize a build function's space: the sanitizer, and the space as text by name."""
    hps = populated(build)
    sanitizer = SpaceSanitizer(build, policy or Policy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SearchSpaceWarning)
        sanitizer.sanitize(hps)
    return sanitizer, {hp.name: str(neutral(hp)) for hp in hps.space}, hps


def adam(hp):
    """Adam's rate under another name."""
    return model_of(keras.optimizers.Adam(hp.Float("alpha", 0.0, 10.0)))


def sgd(hp):
    """SGD's rate under another name."""
    return model_of(keras.optimizers.SGD(hp.Float("step_size", 0.0, 10.0)))


def schedule(hp):
    """The rate that a schedule begins with."""
    start = hp.Float("start", 0.0, 10.0)
    return model_of(
        keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(start, 100, 0.9))
    )


def momentum(hp):
    """SGD's momentum."""
    return model_of(keras.optimizers.SGD(0.01, momentum=hp.Float("mu", 0.0, 1.0)))


def beta(hp):
    """Adam's first moment decay."""
    return model_of(keras.optimizers.Adam(0.01, beta_1=hp.Float("b", 0.0, 1.0)))


def epsilon(hp):
    """Adam's epsilon."""
    return model_of(keras.optimizers.Adam(0.01, epsilon=hp.Float("tiny", 0.0, 1e-3)))


def dropout(hp):
    """A dropout rate in tenths."""
    return model_of("adam", keras.layers.Dropout(hp.Float("p", 0.0, 1.0, step=0.1)))


def nested(hp):
    """A dropout rate inside a nested model."""
    block = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dropout(hp.Float("p", 0, 1))])
    return model_of("adam", block)


def regularizer(hp):
    """A weight penalty."""
    penalty = keras.regularizers.L2(hp.Float("strength_2", -0.1, 0.1, default=0.01))
    return model_of("adam", keras.layers.Dense(2, kernel_regularizer=penalty))


def units(hp):
    """A number of units."""
    return model_of("adam", keras.layers.Dense(hp.Int("n", -4, 64, default=8)))


def optional_layer(hp):
    """A layer that is left out with 0 units."""
    n = hp.Int("units", 0, 8)
    return model_of("adam", *([keras.layers.Dense(n)] if n else []))


class Lenient(keras.layers.Layer):
    """A layer that can be built with 0 units, as Dense can in Keras 3.7."""

    def __init__(self, units):
        super().__init__()
        self.units = units

    def get_config(self):
        return {**super().get_config(), "units": self.units}

    def call(self, x):
        return x


def lenient(hp):
    """A layer that is there with 0 units too."""
    return model_of("adam", Lenient(hp.Int("units", 0, 8)))


def choice(hp):
    """Rates to choose from."""
    return model_of(keras.optimizers.Adam(hp.Choice("eta", [0.0, 0.01, 0.1, 100.0])))


def percent(hp):
    """A dropout rate in tenths of the value."""
    return model_of("adam", keras.layers.Dropout(hp.Float("dropout", 0.0, 2.0) / 10))


def exponent(hp):
    """A rate that is a power of the value."""
    return model_of(keras.optimizers.Adam(0.1 ** hp.Float("lr", 0.0, 6.0)))


def broken(hp):
    """A build that fails but for the default."""
    value = hp.Float("learning_rate", 0.0, 10.0)
    if value:
        raise ValueError("not this one")
    return model_of(keras.optimizers.Adam(value))


def in_fit_only(hp):
    """A rate that no model shows."""
    hp.Float("learning_rate", 0.0, 10.0)
    return model_of("adam")


def mixed_optimizers(hp):
    """One rate for two optimizers."""
    lr = hp.Float("alpha", 1e-4, 100.0, sampling="log")
    name = hp.Choice("method", ["adam", "sgd"])
    return model_of(keras.optimizers.Adam(lr) if name == "adam" else keras.optimizers.SGD(lr))


def conditional(hp):
    """One rate per optimizer."""
    name = hp.Choice("method", ["adam", "sgd"])
    with hp.conditional_scope("method", ["adam"]):
        if name == "adam":
            optimizer = keras.optimizers.Adam(hp.Float("a", 1e-4, 100.0, sampling="log"))
    with hp.conditional_scope("method", ["sgd"]):
        if name == "sgd":
            optimizer = keras.optimizers.SGD(hp.Float("s", 1e-4, 100.0, sampling="log"))
    return model_of(optimizer)


@pytest.mark.parametrize(
    ("build", "name", "becomes"),
    [
        (adam, "alpha", "Float(1e-05, 1.0, log)"),
        (sgd, "step_size", "Float(1e-05, 10.0, log)"),
        (schedule, "start", "Float(1e-05, 1.0, log)"),
        (momentum, "mu", "Float(0.0, 0.999)"),
        (beta, "b", "Float(0.0, 0.9999)"),
        (epsilon, "tiny", "Float(1e-08, 0.001, log)"),
        (dropout, "p", "Float(0.0, 0.9, step=0.1)"),
        (nested, "p", "Float(0.0, 0.9)"),
        (regularizer, "strength_2", "Float(0.0, 0.1)"),
        (units, "n", "Int(1, 64, step=1)"),
        (choice, "eta", "Choice([0.01, 0.1])"),
        (mixed_optimizers, "alpha", "Float(0.0001, 10.0, log)"),
        # What a model shows is stronger than a name, and what it hides is not.
        (percent, "dropout", "Float(0.0, 2.0)"),
        (exponent, "lr", "Float(0.0, 6.0)"),
        (in_fit_only, "learning_rate", "Float(1e-05, 1.0, log)"),
        (broken, "learning_rate", "Float(1e-05, 10.0, log)"),
        (optional_layer, "units", "Int(0, 8, step=1)"),
        (lenient, "units", "Int(1, 8, step=1)"),
    ],
)
def test_role_is_what_the_model_shows(build, name, becomes):
    """A hyperparameter of any name is mended for what it does in the model."""
    assert sanitized(build)[1][name] == becomes


def test_conditional_scopes_have_the_cap_of_their_own_optimizer(tmp_path):
    """A rate that is active with one optimizer only is judged by that one."""
    tuner = keras_tuner.RandomSearch(conditional, objective="val_loss", directory=tmp_path)
    hps = tuner.oracle.hyperparameters
    conditions = {hp.name: hp.conditions for hp in hps.space}
    with pytest.warns(SearchSpaceWarning):
        SpaceSanitizer(conditional, Policy()).sanitize(hps)
    spaces = {hp.name: str(neutral(hp)) for hp in hps.space}
    assert spaces["a"] == "Float(0.0001, 1.0, log)"
    assert spaces["s"] == "Float(0.0001, 10.0, log)"
    assert {hp.name: hp.conditions for hp in hps.space} == conditions


def test_scikit_learn_estimators_say_what_they_are_made_of():
    """The parameters of an estimator, also inside a pipeline, are as good as a model's layers."""

    def build(hp):
        rate = hp.Float("a", 0.0, 1.0)
        mlp = MLPClassifier(learning_rate_init=rate, momentum=hp.Float("b", 0.0, 1.0, default=0.5))
        return make_pipeline(StandardScaler(), mlp)

    spaces = sanitized(build)[1]
    assert spaces == {"a": "Float(1e-05, 1.0, log)", "b": "Float(0.0, 0.999)"}


def test_users_build_gets_the_sanitized_values():
    """A build reads its value by name, so that it sees the range that was sanitized."""
    _, _, hps = sanitized(adam)
    rates = []
    for seed in range(50):
        trial = hps.copy()
        trial.values = {hp.name: hp.random_sample(seed) for hp in hps.space}
        rates.append(trial.Float("alpha", 0.0, 10.0))
    assert min(rates) >= 1e-5
    assert max(rates) <= 1.0
    assert hps.get("alpha") == 1e-5


def test_each_change_is_announced_once():
    """One warning per parameter names what, why and the way out, at the user's own line."""
    hps = populated(adam)
    sanitizer = SpaceSanitizer(adam, Policy())
    with pytest.warns(SearchSpaceWarning) as caught:
        made = sanitizer.sanitize(hps)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    message = str(caught[0].message)
    assert "alpha: Float(0.0, 10.0) is searched as Float(1e-05, 1.0, log)" in message
    assert "keep={'alpha'}" in message
    assert [a.field for a in made] == ["low", "high", "log"]
    assert sanitizer.adjustments == made
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sanitizer.sanitize(hps) == []


def test_warn_and_off_and_keep_change_nothing():
    """The user decides; only "warn" says anything, and nothing is recorded as changed."""
    for policy in (Policy(sanitize="off"), Policy(keep=frozenset({"alpha"}))):
        hps = populated(adam)
        before = hps.get_config()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert SpaceSanitizer(adam, policy).sanitize(hps) == []
        assert hps.get_config() == before
    hps = populated(adam)
    before = hps.get_config()
    with pytest.warns(SearchSpaceWarning, match="should be searched as"):
        assert SpaceSanitizer(adam, Policy(sanitize="warn")).sanitize(hps) == []
    assert hps.get_config() == before


def test_a_search_that_goes_on_keeps_its_space():
    """Settled hyperparameters stay; only those that appear later are looked at."""
    hps = populated(adam)
    before = hps.get_config()
    sanitizer = SpaceSanitizer(adam, Policy())
    sanitizer.mark_sanitized(hps)
    assert sanitizer.sanitize(hps) == []
    assert hps.get_config() == before
    hps.Float("momentum", 0.0, 1.0)
    with pytest.warns(SearchSpaceWarning, match="momentum"):
        made = sanitizer.sanitize(hps)
    assert [a.parameter for a in made] == ["momentum"]


def test_sound_space_is_not_even_built():
    """Where nothing could be wrong, no model is built and every object stays."""

    def build(hp):
        nonlocal builds
        builds += 1
        return model_of(
            keras.optimizers.Adam(hp.Float("lr", 1e-4, 1e-2, sampling="log")),
            keras.layers.Dense(hp.Int("units", 8, 64, step=8)),
            keras.layers.Dropout(hp.Float("dropout", 0.0, 0.5)),
        )

    builds = 0
    hps = populated(build)
    objects = list(hps.space)
    assert SpaceSanitizer(build, Policy()).sanitize(hps) == []
    assert builds == 1
    assert all(now is then for now, then in zip(hps.space, objects, strict=True))


def test_name_declared_twice_is_on_record():
    """Keras Tuner takes the first of two ranges; that is said, and kept on record."""

    def build(hp):
        hp.Int("units", 8, 32)
        hp.Int("units", 64, 256)
        hp.Int("units", 64, 256)
        return hp.Int("units", 8, 32)

    sanitizer = SpaceSanitizer(build, Policy())
    with pytest.warns(SearchSpaceWarning, match="declared twice") as caught, sanitizer.watching():
        populated(build)
    assert len(caught) == 1
    (note,) = sanitizer.adjustments
    assert (note.field, note.before, note.after) == (
        "declaration",
        "Int(64, 256, step=1)",
        "Int(8, 32, step=1)",
    )


def test_overriding_a_range_is_no_second_declaration():
    """`hyperparameters=` narrows a range on purpose."""
    hps = keras_tuner.HyperParameters()
    hps.Float("alpha", 1e-3, 1e-2)
    sanitizer = SpaceSanitizer(adam, Policy())
    with sanitizer.watching():
        adam(hps)
    assert sanitizer.adjustments == []


def test_hyperparameters_that_a_trial_declares_first_are_mended_before_use():
    """What appears in a trial for the first time is used there at once, so it is mended at once."""

    def build(hp):
        hp.Int("units", 1, 8)
        return hp.Float("learning_rate", 0.0, 10.0), hp.Choice("dropout", [1.0, 0.5])

    sanitizer = SpaceSanitizer(build, Policy())
    values, warned = [], []
    for _ in range(2):  # twice: with tune_new_entries=False each trial declares it anew
        trial = keras_tuner.HyperParameters()
        trial.Int("units", 1, 8)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with sanitizer.watching(sanitize=True):
                values.append(build(trial))
        warned.append(len(caught))
        assert str(neutral(trial.space[1])) == "Float(1e-05, 10.0, log)"
        assert trial.values == {"units": 1, "learning_rate": 1e-5, "dropout": 0.5}
    assert values == [(1e-5, 0.5)] * 2
    assert warned == [2, 0]
    assert [(a.parameter, a.field) for a in sanitizer.adjustments] == [
        ("learning_rate", "low"),
        ("learning_rate", "log"),
        ("dropout", "choices"),
    ]


def test_what_a_trial_has_used_stays_in_the_range():
    """Oracles turn a trial's values back into probabilities, so these must stay in the range."""
    hps = keras_tuner.HyperParameters()
    sanitizer = SpaceSanitizer(None, Policy())
    sanitizer.sanitize(hps)
    hps.Float("learning_rate", 0.0, 10.0)  # a trial had the default, 0
    hps.Float("momentum", 0.0, 1.0)
    with pytest.warns(SearchSpaceWarning) as caught:
        made = sanitizer.sanitize(hps)
    assert "left as it is, since trials have the value 0.0" in str(caught[0].message)
    assert [a.parameter for a in made] == ["momentum"]
    assert hps.space[0].value_to_prob(0.0) == 0.0


def test_only_this_thread_is_heard():
    """Another search in another thread declares what it likes."""
    sanitizer = SpaceSanitizer(None, Policy())
    retrieve = keras_tuner.HyperParameters._retrieve
    found = []
    with sanitizer.watching(sanitize=True):
        thread = threading.Thread(target=lambda: found.append(populated(adam).space[0].max_value))
        thread.start()
        thread.join()
        assert keras_tuner.HyperParameters._retrieve is not retrieve
    assert found == [10.0]
    assert keras_tuner.HyperParameters._retrieve is retrieve
    assert sanitizer.adjustments == []


def test_batch_size_is_capped_once_the_data_is_known():
    """Batches larger than the data are cut when the search begins."""
    hps = keras_tuner.HyperParameters()
    hps.Int("batch_size", 32, 512, step=32)
    hps.Int("units", 32, 512)
    with pytest.warns(SearchSpaceWarning, match="100 samples"):
        SpaceSanitizer(None, Policy()).cap_batch_size(hps, 100)
    assert [str(neutral(hp)) for hp in hps.space] == [
        "Int(32, 96, step=32)",
        "Int(32, 512, step=1)",
    ]


def test_building_aside_leaves_no_trace():
    """Random states, layer names, seeds and the dtype policy are as if nothing had been built."""

    def draw():
        return (
            random.random(),
            float(np.random.rand()),
            keras.layers.Dense(1).name,
            float(keras.random.normal(())),
            float(keras.initializers.RandomNormal()(())),
            keras.config.dtype_policy().name,
        )

    keras.utils.set_random_seed(7)
    keras.backend.clear_session()
    expected = draw()
    keras.utils.set_random_seed(7)
    keras.backend.clear_session()
    with isolated_state():
        keras.utils.set_random_seed(3)
        keras.config.set_dtype_policy("mixed_bfloat16")
        populated(adam)
        keras.random.normal((3,))
        print("this is not shown")
        keras.backend.clear_session()
        populated(adam)
    assert draw() == expected


def test_sanitizing_does_not_disturb_a_seeded_search(tmp_path):
    """With one sound parameter beside the mended one, the same values are drawn as without."""

    def build(hp):
        hp.Int("units", 1, 1000)
        return adam(hp)

    def first_values(sanitize):
        keras.utils.set_random_seed(5)
        tuner = keras_tuner.RandomSearch(
            build, "val_loss", max_trials=3, seed=3, directory=tmp_path, overwrite=True
        )
        if sanitize:
            SpaceSanitizer(build, Policy()).sanitize(tuner.oracle.hyperparameters)
        trials = [tuner.oracle.create_trial(f"w{i}").hyperparameters.values for i in range(3)]
        return [trial["units"] for trial in trials], random.random()

    with pytest.warns(SearchSpaceWarning):
        assert first_values(sanitize=True) == first_values(sanitize=False)


def test_clip_norm_joins_the_search():
    """Policy(clip="tune") searches the clip norm around 1."""
    hps = keras_tuner.HyperParameters()
    assert tune_clip_norm(hps) == 1.0
    assert str(neutral(hps.space[0])) == "Float(0.1, 10.0, log)"
    assert hps.space[0].name == CLIP_NORM


@pytest.mark.parametrize(
    "hp",
    [
        hp_types.Float("x", 0.1, 1.0, step=2, sampling="log", default=0.2),
        hp_types.Float("x", 0.1, 1.0, sampling="reverse_log"),
        hp_types.Int("x", 1, 9, step=2),
        hp_types.Int("x", 1, 9, sampling="log"),
        hp_types.Choice("x", [1, 2], default=2, ordered=False),
        hp_types.Choice("x", ["a", "b"]),
    ],
)
def test_keras_tuner_round_trip(hp):
    """A hyperparameter survives the way to neutral terms and back."""
    assert keras_tuner_hyperparameter(neutral(hp), hp).get_config() == hp.get_config()


def keras_tuner_of(parameter):
    """The Keras Tuner hyperparameter of a neutral one, or None where Keras Tuner refuses it."""
    try:
        if isinstance(parameter, Choice):
            return hp_types.Choice("x", list(parameter.choices), default=parameter.default)
        like = (hp_types.Int if isinstance(parameter, Int) else hp_types.Float)("x", 1, 2)
        return keras_tuner_hyperparameter(parameter, like)
    except (ValueError, TypeError, OverflowError):
        return None


@settings(max_examples=300, deadline=None)
@given(st.one_of(floats(), ints(), choices()), ROLES, st.floats(0.0, 1.0 - 1e-9))
@example(Float("x", low=1.7e-293, high=4.0, log=True, step=2.0, default=4.0), Role.UNITS, 0.0)
def test_keras_tuner_samples_what_the_sanitized_space_holds(asked, role, probability):
    """Whatever Keras Tuner takes, it samples from the sanitized range once that is written back."""
    hp = keras_tuner_of(asked)
    if hp is None:
        return
    parameter = neutral(hp)
    sanitized, _ = sanitize(parameter, role)
    written = keras_tuner_hyperparameter(sanitized, hp)
    assert str(neutral(written)) == str(sanitized)
    value = written.prob_to_value(probability)
    if isinstance(sanitized, Choice):
        assert value in sanitized.choices
        assert written.default in sanitized.choices
        assert not is_number(value) or math.isfinite(value)
        return
    # Keras Tuner rounds, and truncates what it has rounded to just below an integer.
    truncated = isinstance(sanitized, Int) and sanitized.reverse
    slack = 1 if truncated else 1e-9 * max(abs(sanitized.low), abs(sanitized.high))
    assert sanitized.low - slack <= value <= sanitized.high + slack
    assert sanitized.low <= written.default <= sanitized.high
    if sanitized.step is not None and sanitized.reverse:
        return  # a reverse grid need not have its own minimum
    # A default between two values of its grid has had no place there in the first place.
    as_before = sanitized.default == parameter.default
    assert _has_a_place(written) or (as_before and not _has_a_place(hp))


def _has_a_place(hp):
    """Whether Keras Tuner's sampling, which rounds, can give out the default."""
    return -1e-9 <= hp.value_to_prob(hp.default) <= 1.0 + 1e-9


def test_a_model_in_half_precision_shows_its_optimizer():
    """mixed_float16 wraps the optimizer into one that scales the loss."""
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.25))
    build = Build.of(model_of(scaled, keras.layers.Dense(1)))
    assert build.optimizer == "SGD"
    assert build.count(Role.LEARNING_RATE, 0.25) == 1


def test_gridsearch_walks_a_sanitized_space(tmp_path):
    """A grid over mended ranges has valid values and a valid first trial."""
    tuner = keras_tuner.GridSearch(
        choice, "val_loss", max_trials=9, directory=tmp_path, project_name="g"
    )
    with pytest.warns(SearchSpaceWarning):
        SpaceSanitizer(choice, Policy()).sanitize(tuner.oracle.hyperparameters)
    first = tuner.oracle.create_trial("w0").hyperparameters.values
    second = tuner.oracle.create_trial("w1")
    assert first == {"eta": 0.01}
    assert second.status in ("RUNNING", "IDLE", "STOPPED")
