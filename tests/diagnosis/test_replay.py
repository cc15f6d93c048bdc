"""The diagnosis on real fits: the right cause, a fix that was seen to work, and no trace left."""

from __future__ import annotations

import logging
import random
import time

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from sklearn.datasets import load_diabetes, load_digits  # noqa: E402

from robusttune import FailureCause, Guard, Policy, Symptom, TrialRecord, diagnose  # noqa: E402
from robusttune._diagnosis.backends.tensorflow_backend import training_loop  # noqa: E402
from robusttune._diagnosis.case import Case  # noqa: E402
from robusttune._diagnosis.diagnose_failure import diagnose_failure, diagnose_stall  # noqa: E402
from robusttune._diagnosis.model.forward import to_tensors  # noqa: E402
from robusttune._diagnosis.reference.loss import plain_loss  # noqa: E402
from robusttune._diagnosis.rules import mismatch  # noqa: E402
from robusttune._diagnosis.trace import Batch, FitTrace  # noqa: E402

C = FailureCause
SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
RNG = np.random.default_rng(3)
X = RNG.normal(size=(256, 6)).astype("float32")
Y = (X @ np.array([1, -1, 0.5, 0, 0, 0.2])).astype("float32")
TABLE, TARGET = (a.astype("float32") for a in load_diabetes(return_X_y=True, scaled=False))


def _net(x=X, units=(32,), head=None, activation="relu", normalize=False, **dense):
    layers = [keras.Input(x.shape[1:])]
    if normalize:
        layers.append(keras.layers.Normalization())
        layers[-1].adapt(x)
    layers += [keras.layers.Dense(n, activation, **dense) for n in units]
    return keras.Sequential([*layers, keras.layers.Dense(1, head)])


# A verdict must not depend on how busy the machine is.
PATIENT = Policy(diagnosis_seconds=60.0)


def _fit(model, optimizer, loss="mse", x=X, y=Y, *, epochs=3, seed=7, **fit):
    keras.utils.set_random_seed(seed)
    model.compile(optimizer=optimizer, loss=loss)
    guard = Guard(PATIENT)
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[guard], **fit)
    return guard


def _percentage(y, p):
    return keras.ops.mean(keras.ops.abs(y - p[:, 0]) / y)


@pytest.mark.parametrize(
    ("optimizer", "rate", "normalize", "loss", "right"),
    [
        ("sgd", 5.0, True, "mse", {C.DIVERGENT_LEARNING_RATE}),
        ("adam", 10.0, True, "mse", {C.DIVERGENT_LEARNING_RATE}),
        ("adam", 1.0, False, "mse", {C.DIVERGENT_LEARNING_RATE, C.UNSCALED_DATA}),
        ("sgd", 10.0, False, "mse", {C.DIVERGENT_LEARNING_RATE, C.UNSCALED_DATA}),
        ("sgd", 0.01, False, "mse", {C.UNSCALED_DATA}),
        ("sgd", 1e-3, False, "mse", {C.UNSCALED_DATA}),
        ("adam", 1e-3, True, _percentage, {C.UNSAFE_LOSS}),
        ("adam", 1e-2, False, _percentage, {C.UNSAFE_LOSS}),
        ("sgd", 1e-3, True, _percentage, {C.UNSAFE_LOSS}),
    ],
)
def test_the_raw_diabetes_table_fails_of_what_its_hyperparameters_say(
    optimizer, rate, normalize, loss, right
):
    """Rate, scale and loss are each told apart on real data, for ordinary and wild settings."""
    y = TARGET - TARGET.min() if loss is _percentage else TARGET
    model = _net(TABLE, (64, 64), normalize=normalize)
    guard = _fit(model, {"sgd": SGD, "adam": ADAM}[optimizer](rate), loss, TABLE, y)
    assert guard.record.cause in right
    assert guard.record.advice
    assert guard.record.evidence["learning_rate"] == pytest.approx(rate)


@pytest.mark.full
def test_the_advice_has_values_that_were_seen_to_train():
    """A verified fix names a learning rate, and a full run with that rate beats the constant."""
    guard = _fit(_net(), SGD(20.0))
    record = guard.record
    assert (record.cause, record.fix_verified) == (C.DIVERGENT_LEARNING_RATE, True)
    better = record.evidence["fix"]["learning_rate"]
    assert f"{better:.3g}" in record.advice
    cured = next(r for r in record.evidence["replays"] if r["cured"])
    assert cured["seeds"] == 3
    keras.utils.set_random_seed(1)
    model = _net()
    model.compile(SGD(better), "mse")
    assert model.fit(X, Y, epochs=5, verbose=0).history["loss"][-1] < Y.var()


def test_whole_numbers_are_data_too():
    """Integer columns and targets, as tables have them, are unscaled like any others."""
    x, y = (1000 * X).astype("int64"), (5000 * Y).astype("int64")
    record = _fit(_net(), SGD(0.01), x=x, y=y).record
    assert (record.cause, record.fix_verified) == (C.UNSCALED_DATA, True)


def test_two_faults_at_once_are_both_named():
    """Where only rate and scale together cure, both are listed."""
    guard = _fit(_net(), SGD(10.0), x=300 * X, y=3000 * Y)
    causes = {guard.record.cause, *guard.record.other_causes}
    assert causes >= {C.DIVERGENT_LEARNING_RATE, C.UNSCALED_DATA}


@pytest.mark.parametrize("where", ["x", "y", "sample_weight"])
def test_a_nan_in_the_data_is_found(where):
    """One NaN in inputs, targets or weights is non-finite data, and its place is told."""
    x, y, weight = X.copy(), Y.copy(), np.ones(len(X), "float32")
    {"x": x[:, 2], "y": y, "sample_weight": weight}[where][11] = np.nan
    guard = _fit(_net(), ADAM(1e-3), x=x, y=y, sample_weight=weight)
    assert guard.record.cause is C.NON_FINITE_DATA
    assert where in "".join(guard.record.evidence["non_finite_share"])


def test_labels_that_xla_turns_into_nan_are_named():
    """Labels out of range raise on the CPU and give NaN under XLA: the cause is the same."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, "softmax")])
    model.compile(ADAM(1e-3), "sparse_categorical_crossentropy", jit_compile=True)
    guard = Guard()
    model.fit(X, 1 + np.arange(len(X)) % 3, epochs=2, verbose=0, callbacks=[guard])
    assert guard.record.cause is C.LABEL_MISMATCH


@pytest.mark.full
def test_a_nan_whose_batch_was_not_kept_is_found_in_the_data():
    """Under XLA no batch leaves the step: the data that the fit was given are looked at."""
    x = X.copy()
    x[::50] = np.nan
    model = _net(activation="tanh")
    model.compile(ADAM(1e-3), "mse", jit_compile=True)
    guard = Guard(PATIENT)
    order = np.argsort(np.isnan(x).any(axis=1), kind="stable")  # the bad rows last
    model.fit(x[order], Y[order], batch_size=16, shuffle=False, verbose=0, callbacks=[guard])
    assert guard.record.cause is C.NON_FINITE_DATA
    assert guard.record.confidence > 0.9


def test_a_nan_that_the_model_copes_with_is_not_to_blame():
    """Imputation inside the model makes NaN harmless: the rate is the cause."""
    x = X.copy()
    x[::9, 1] = np.nan
    impute = keras.layers.Lambda(lambda v: keras.ops.nan_to_num(v))
    model = keras.Sequential([keras.Input((6,)), impute, *_net().layers])
    assert _fit(model, ADAM(1e-2), x=x).record.cause is None
    model = keras.Sequential([keras.Input((6,)), impute, *_net().layers])
    assert _fit(model, SGD(30.0), x=x).record.cause is C.DIVERGENT_LEARNING_RATE


@pytest.mark.parametrize(
    ("make", "right"),
    [
        (
            lambda: (_net(bias_initializer=keras.initializers.Constant(-20.0)), "mse", Y),
            C.DEAD_RELU,
        ),
        (
            lambda: (
                _net(units=(16,) * 8, activation="sigmoid", head="sigmoid"),
                "binary_crossentropy",
                (Y > 0).astype("float32"),
            ),
            C.VANISHING_GRADIENTS,
        ),
        (
            lambda: (_net(units=(32, 32), activation="linear"), "mse", X[:, 0] * X[:, 1]),
            C.NO_NONLINEARITY,
        ),
        (lambda: (_net(head="sigmoid"), "mse", 50 + 10 * Y), C.LABEL_MISMATCH),
    ],
)
def test_quiet_failures_are_named(make, right):
    """A fit without an alarm that learned nothing has a cause in its structure."""
    model, loss, y = make()
    # Adam at this rate does get eight sigmoid layers to learn within the steps of a replay.
    optimizer = ADAM(1e-3 if right is C.VANISHING_GRADIENTS else 3e-3)
    record = _fit(model, optimizer, loss, y=y, epochs=8).record
    assert (record.symptom, record.cause) == (Symptom.STALLED, right)


def test_too_narrow_a_net_is_named():
    """Where nothing helps and an ordinary net learns from the same batches, capacity is missing."""
    x = np.random.default_rng(2).uniform(-2, 2, size=(512, 1)).astype("float32")
    model = _net(x, units=(1,), activation="tanh")
    record = _fit(model, SGD(0.05), x=x, y=np.cos(3 * x[:, 0]), epochs=8).record
    assert record.cause is C.INSUFFICIENT_CAPACITY


def test_a_rate_far_too_low_is_named():
    """A fit that stands still and learns at a higher rate was too slow."""
    record = _fit(_net(), ADAM(1e-8), epochs=40).record  # as long as a replay
    assert (record.cause, record.fix_verified) == (C.LEARNING_RATE_TOO_LOW, True)


@pytest.mark.parametrize("seed", [1, 2])
def test_noise_is_nobodys_fault(seed):
    """Where there is nothing to learn, there is nothing to say."""
    y = np.random.default_rng(seed).normal(size=len(X)).astype("float32")
    assert _fit(_net(), SGD(0.01), y=y, epochs=4).record.cause is None


def test_a_healthy_fit_costs_next_to_nothing():
    """The quiet look at a healthy fit takes a few milliseconds."""
    model = _net()
    guard = _fit(model, ADAM(0.01))
    began = time.perf_counter()
    for _ in range(10):
        assert diagnose_stall(model=model, trace=guard.trace, policy=PATIENT) is None
    assert (time.perf_counter() - began) / 10 < 0.05


def _state(model):
    return [np.array(v) for v in (*model.variables, *model.optimizer.variables)]


def _randomness():
    return (
        random.random(),
        np.random.random(),
        float(tf.random.uniform(())),
        float(keras.random.uniform(())),
        keras.layers.Dense(1).name.rsplit("_", 1)[-1],
    )


def test_a_diagnosis_leaves_no_trace():
    """Weights, slots, compiled functions, random states and name counters stay as they were."""

    def run(diagnosed):
        keras.utils.clear_session()
        keras.utils.set_random_seed(5)
        model = _net()
        model.add(keras.layers.Dropout(0.2))
        guard = Guard()
        model.compile(SGD(20.0, momentum=0.9), "mse")
        model.fit(X, Y, epochs=1, verbose=0, callbacks=[guard])
        before, function = _state(model), model.train_function
        if diagnosed:
            verdict = diagnose_failure(
                guard.trace.symptom, model=model, trace=guard.trace, policy=PATIENT
            )
            assert verdict.cause is C.DIVERGENT_LEARNING_RATE
        assert model.train_function is function
        for one, other in zip(before, _state(model), strict=True):
            np.testing.assert_array_equal(one, other)
        return _randomness()

    assert run(diagnosed=True) == run(diagnosed=False)


def test_a_proven_sibling_saves_the_replay():
    """The same failure again is told as that of the earlier trial, without a replay."""
    model = _net()
    guard = _fit(model, SGD(20.0))
    params = {"learning_rate": 20.0, "units": 32}
    first = diagnose_failure(
        guard.trace.symptom, model=model, trace=guard.trace, params=params, policy=PATIENT
    )
    sibling = TrialRecord(
        trial_id="04",
        status="failed",
        unstable=True,
        symptom=guard.trace.symptom,
        cause=first.cause,
        confidence=first.confidence,
        advice=first.advice,
        fix_verified=first.fix_verified,
        params={**params, "learning_rate": 15.0},
    )
    again = diagnose_failure(
        guard.trace.symptom,
        model=model,
        trace=guard.trace,
        params=params,
        related_trials=[sibling],
        policy=PATIENT,
    )
    assert again.cause is C.DIVERGENT_LEARNING_RATE
    assert again.evidence["as_trial"] == "04"
    assert "replays" not in again.evidence


class Twisted(keras.Model):
    """A subclassed model that has an added loss and draws random numbers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = keras.layers.Dense(16, "relu")
        self.out = keras.layers.Dense(1)
        self.seed = keras.random.SeedGenerator(3)

    def call(self, x, training=False):
        h = self.hidden(x)
        self.add_loss(1e-4 * keras.ops.mean(keras.ops.square(h)))
        if training:
            h = h + 0.01 * keras.random.normal(keras.ops.shape(h), seed=self.seed)
        return self.out(h)


def test_a_subclassed_model_with_added_losses_is_replayed():
    """Subclassing, add_loss and own random numbers are no obstacle."""
    record = _fit(Twisted(), SGD(30.0)).record
    assert (record.cause, record.fix_verified) == (C.DIVERGENT_LEARNING_RATE, True)


def test_several_inputs_and_outputs_are_replayed():
    """Dictionaries of inputs and targets are replayed as they are."""
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    h = keras.layers.Dense(16, "relu")(keras.layers.Concatenate()([a, b]))
    outputs = {"size": keras.layers.Dense(1)(h), "sign": keras.layers.Dense(1, "sigmoid")(h)}
    model = keras.Model({"a": a, "b": b}, outputs)
    targets = {"size": Y[:, None], "sign": (Y[:, None] > 0).astype("float32")}
    guard = _fit(
        model,
        SGD(100.0),
        {"size": "mse", "sign": "binary_crossentropy"},
        x={"a": X[:, :3], "b": X[:, 3:]},
        y=targets,
    )
    assert (guard.record.cause, guard.record.fix_verified) == (C.DIVERGENT_LEARNING_RATE, True)


def _observed(model, y):
    batch = Batch(X[:32], keras.tree.map_structure(lambda array: array[:32], y))
    trace = FitTrace(first_batches=[batch], initial_weights=model.get_weights())
    case = Case(
        symptom=Symptom.DIVERGED,
        model=model,
        trace=trace,
        params={},
        related_trials=(),
        policy=PATIENT,
    )
    case.observe()
    return case


def _two_heads(loss):
    inputs = keras.Input((6,))
    kind = keras.layers.Dense(3, "softmax", name="kind")(inputs)
    model = keras.Model(inputs, [kind, keras.layers.Dense(1, name="age")(inputs)])
    model.compile(SGD(0.01), loss)
    return model


def test_targets_in_a_dict_go_with_the_outputs_of_their_names():
    """Keras pairs losses and targets in a dict by name, whatever the order of the outputs."""
    y = {"age": 50 + Y, "kind": np.digitize(Y, [-1, 1])}
    case = _observed(_two_heads({"age": "mse", "kind": "sparse_categorical_crossentropy"}), y)
    assert [loss.name[:6] for _, loss in case.targets_and_losses()] == ["sparse", "mean_s"]
    assert mismatch(case) is None
    y, predictions = to_tensors((case.batches[-1].y, case.first.predictions))
    plain = plain_loss(y, predictions, case.first.heads)(y, predictions)
    assert float(plain) == pytest.approx(case.first.loss, rel=1e-4)


def test_a_loss_for_some_outputs_judges_their_targets_only():
    """An output without a loss may have any targets."""
    y = [np.digitize(Y, [-1, 1]), Y]
    assert mismatch(_observed(_two_heads(["sparse_categorical_crossentropy", None]), y)) is None


def test_a_regularized_model_is_replayed():
    """Regularizers count in the training, and not in what a cure has to beat."""
    model = _net(kernel_regularizer="l2")
    record = _fit(model, SGD(30.0)).record
    assert (record.cause, record.fix_verified) == (C.DIVERGENT_LEARNING_RATE, True)
    assert "why_not" not in record.evidence
    assert record.evidence["baseline_loss"] == pytest.approx(Y.var(), rel=0.2)


def test_raw_inputs_that_join_late_are_seen():
    """The scale is that of all numbers that meet weights, not of those that do so first."""
    a, b = keras.Input((6,)), keras.Input((2,))
    h = keras.layers.Concatenate()([keras.layers.Dense(8, "relu")(a), b])
    model = keras.Model([a, b], keras.layers.Dense(1)(keras.layers.Dense(8, "relu")(h)))
    raw = RNG.uniform(0, 50_000, (len(X), 2)).astype("float32")
    record = _fit(model, SGD(0.01), x=[X, raw]).record
    assert record.cause is C.UNSCALED_DATA
    assert record.evidence["input_scale"] > 10_000


def test_what_cannot_be_replayed_says_why():
    """An optimizer that cannot be made again leaves the rules, and the reason."""

    class Odd(SGD):
        def __init__(self, secret, **kwargs):
            super().__init__(**kwargs)
            self.secret = secret

    guard = _fit(_net(), Odd("x", learning_rate=30.0))
    assert "cannot be made again" in guard.record.evidence["why_not"]["replay"]
    assert guard.record.cause is C.DIVERGENT_LEARNING_RATE
    assert guard.record.fix_verified is None


class OwnStep(Twisted):
    """A model whose train_step computes its loss by itself."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = keras.ops.mean(keras.ops.square(self(x, training=True)[:, 0] - y))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


def _own_step_fit(model, optimizer, x=X, y=Y):
    keras.utils.set_random_seed(4)
    model.compile(optimizer)
    guard = Guard(PATIENT)
    model.fit(x, y, epochs=4, verbose=0, callbacks=[guard])
    return guard.record


def test_an_own_train_step_without_a_loss_is_replayed_through_itself():
    """A step that alone knows its loss is run as it is, at lower rates."""
    record = _own_step_fit(OwnStep(), SGD(300.0))
    assert (record.cause, record.fix_verified) == (C.DIVERGENT_LEARNING_RATE, True)


class Logarithm(OwnStep):
    """A step of its own that takes the logarithm of what may be negative."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = keras.ops.mean(keras.ops.square(keras.ops.log(self(x)[:, 0]) - y))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


def test_an_own_train_step_that_is_undefined_is_told_from_divergence():
    """At a learning rate of 0 only an undefined loss or gradient is still not finite."""
    assert _own_step_fit(Logarithm(), ADAM(1e-3)).cause is C.UNSAFE_LOSS


def test_a_nan_target_of_an_own_train_step_is_found():
    """Finite predictions say nothing of targets where the loss is unknown."""
    y = Y.copy()
    y[::9] = np.nan
    assert _own_step_fit(OwnStep(), ADAM(1e-3), y=y).cause is C.NON_FINITE_DATA


class Pair(keras.Model):
    """Two nets with an optimizer each, counters, a metric and random numbers without a seed."""

    def __init__(self):
        super().__init__()
        self.one = keras.layers.Dense(8, "relu")
        self.two = keras.layers.Dense(1)
        self.other = SGD(30.0)
        self.mean = keras.metrics.Mean("loss")
        self.traces = 0
        self.count = tf.Variable(0)

    def call(self, x):
        return self.two(self.one(x))

    def train_step(self, data):
        x, y = data
        self.traces += 1
        self.count.assign_add(1)
        with tf.GradientTape(persistent=True) as tape:
            noise = keras.random.normal(keras.ops.shape(x))
            loss = keras.ops.mean(keras.ops.square(self(x + 0.01 * noise)[:, 0] - y))
        for optimizer, layer in ((self.optimizer, self.one), (self.other, self.two)):
            optimizer.apply(
                tape.gradient(loss, layer.trainable_variables), layer.trainable_variables
            )
        self.mean.update_state(loss)
        return {"loss": self.mean.result()}


def test_a_replay_of_an_own_train_step_leaves_no_trace():
    """Weights, slots, counters, metrics, attributes and random numbers are as they were."""
    keras.utils.set_random_seed(5)
    model = Pair()
    model.compile(SGD(1e-3))
    model.other.learning_rate = 1e-3
    start = None
    model(X[:32])
    start = [np.array(w) for w in model.get_weights()]
    model.fit(X, Y, epochs=1, verbose=0)
    model.other.learning_rate = 30.0
    seeds = keras.src.backend.common.global_state.get_global_attribute("global_seed_generator")

    def state():
        slots = [v for o in (model.optimizer, model.other) for v in o.variables]
        kept = [*model.variables, *model.metrics_variables, *slots, model.count, seeds.state]
        return [np.array(v) for v in kept]

    before, names, traces = state(), dict(vars(model)), model.traces
    batches = [Batch(X[i : i + 32], Y[i : i + 32]) for i in range(0, 128, 32)]
    trace = FitTrace(first_batches=batches, initial_weights=start)
    verdict = diagnose_failure(Symptom.NON_FINITE_LOSS, model=model, trace=trace, policy=PATIENT)
    assert any(replay["cured"] for replay in verdict.evidence["replays"])
    assert verdict.cause is C.DIVERGENT_LEARNING_RATE
    for old, new in zip(before, state(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert vars(model) == names
    assert model.traces == traces


def test_logits_that_are_taken_for_probabilities_are_named():
    """Where the softmax is missing and nothing is learned, the loss on logits shows the cause."""
    x, y = load_digits(return_X_y=True)
    model = keras.Sequential([keras.Input((64,)), *map(keras.layers.Dense, (32, 10))])
    model.layers[0].activation = keras.activations.relu
    loss = "sparse_categorical_crossentropy"
    record = _fit(model, ADAM(0.1), loss, x / 16, y, epochs=4, seed=11).record
    assert (record.cause, record.fix_verified) == (C.LABEL_MISMATCH, True)
    assert "from_logits=True" in record.advice


def test_a_learning_rate_of_zero_is_named():
    """No factor makes more of it, and no weight has moved."""
    record = _fit(_net(), ADAM(0.0), epochs=3).record
    assert record.cause is C.LEARNING_RATE_TOO_LOW
    assert "is 0" in record.advice


def test_a_start_far_from_the_targets_is_no_failure():
    """Large targets take some epochs to reach: a fit that is on its way is left alone."""
    assert _fit(_net(units=(64, 64)), ADAM(1e-3), y=300 + 50 * Y, epochs=3).record.cause is None


class Jump(keras.optimizers.schedules.LearningRateSchedule):
    """An ordinary rate that becomes a wild one after some hundred steps."""

    def __call__(self, step):
        return tf.where(tf.cast(step, "int32") < 320, 0.01, 10.0)


def test_a_late_failure_is_replayed_from_the_last_good_step():
    """A failure that does not come again from the start is looked for where it happened."""
    record = _fit(_net(), SGD(Jump()), epochs=60).record
    assert record.cause is C.DIVERGENT_LEARNING_RATE
    assert record.evidence["replayed_from"] == "last good step"
    assert record.evidence["reproduced"] is True


def test_a_model_that_raises_under_observation_is_no_error():
    """A model that works only once is evidence, not an exception."""
    model = _net()
    guard = _fit(model, SGD(30.0))
    model.layers[0].call = lambda *args, **kwargs: 1 / 0
    verdict = diagnose_failure(guard.trace.symptom, model=model, trace=guard.trace, policy=PATIENT)
    assert "ZeroDivisionError" in str(verdict.evidence["why_not"])


def test_half_precision_overflow_is_told_from_divergence():
    """A step that is finite in float32 and not in float16 is an overflow of the dtype."""
    square = keras.layers.Lambda(
        lambda h: keras.ops.sum(keras.ops.square(200 * h), -1, keepdims=True) / 4e4,
        output_shape=(1,),
        dtype="mixed_float16",
    )
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(32, "relu", dtype="mixed_float16"),
            square,
            keras.layers.Dense(1, dtype="float32"),
        ]
    )
    assert _fit(model, ADAM(1e-3)).record.cause is C.NUMERIC_OVERFLOW


def test_a_metric_that_fails_alone_is_told():
    """Finite training with a non-finite metric is an unsafe metric."""
    model = _net()
    model.compile(ADAM(1e-3), "mse", metrics=[lambda y, p: keras.ops.log(-keras.ops.abs(y) - 1)])
    guard = Guard()
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[guard])
    verdict = diagnose_failure(
        Symptom.NON_FINITE_OBJECTIVE, model=model, trace=guard.trace, policy=PATIENT
    )
    assert verdict.cause is C.UNSAFE_METRIC


def test_the_time_limit_holds():
    """A small limit ends the replays early; what was seen so far is the verdict's evidence."""
    model = _net(units=(256, 256, 256))
    guard = _fit(model, SGD(20.0))
    began = time.monotonic()
    verdict = diagnose_failure(
        guard.trace.symptom,
        model=model,
        trace=guard.trace,
        policy=Policy(diagnosis_seconds=0.05),
    )
    assert time.monotonic() - began < 5
    assert len(verdict.evidence["replays"]) < 10


@pytest.mark.parametrize(
    ("x", "y", "rate", "cause"),
    [
        (X, Y, 0.01, None),
        (X, Y, 30.0, C.DIVERGENT_LEARNING_RATE),
        (X, 2 * Y, 1e-6, C.LEARNING_RATE_TOO_LOW),
        (2000 * X, Y, 0.01, C.UNSCALED_DATA),
        (np.where(np.arange(256)[:, None] == 200, np.nan, X), Y, 0.01, C.NON_FINITE_DATA),
    ],
)
def test_diagnose_needs_no_tuner_and_no_fit(x, y, rate, cause):
    """A compiled model and its data are enough; the model stays untrained."""
    keras.utils.set_random_seed(2)
    model = _net()
    model.compile(SGD(rate), "mse")
    before = model.get_weights()
    record = diagnose(model, x, y)
    assert record.cause is cause
    assert record.unstable is (cause is not None)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("head", "low"), [("softmax", 0), ("sigmoid", -1)], ids=["one unit", "labels of -1"]
)
def test_diagnose_names_label_mismatches_that_train(head, low):
    """Such a loss may fall, to no purpose: the labels are asked first, as after a fit."""
    keras.utils.set_random_seed(2)
    model = _net(units=(16,), head=head)
    model.compile(ADAM(0.01), "binary_crossentropy")
    record = diagnose(model, X, np.where(Y > 0, 1, low))
    assert (record.symptom, record.cause) == (Symptom.STALLED, C.LABEL_MISMATCH)
    assert record.confidence > 0.9


def test_diagnose_takes_datasets_and_names_what_is_missing():
    """tf.data goes in as it is; a model that is not compiled is refused."""
    data = tf.data.Dataset.from_tensor_slices((X, Y[:, None])).batch(32)
    model = _net()
    with pytest.raises(ValueError, match="compiled"):
        diagnose(model, data)
    model.compile(SGD(30.0), "mse")
    assert diagnose(model, data).cause is C.DIVERGENT_LEARNING_RATE


def test_loops_of_many_diagnoses_are_traced_in_silence(request):
    """TensorFlow warns of what is traced again and again; each diagnosis has loops of its own."""
    heard = []
    listener = logging.Handler()
    listener.emit = heard.append
    tf.get_logger().addHandler(listener)
    request.addfinalizer(lambda: tf.get_logger().removeHandler(listener))
    for number in range(6):
        loop = training_loop(lambda batch, inputs, by=number: by * tf.reduce_sum(batch[0]), [])
        losses, _ = loop([[]], [[0, 1]], [tf.ones((2, 3))], {"rate": 1.0}, 2)
        assert losses.shape == (1, 2)
    assert [record.getMessage() for record in heard] == []


def test_what_xla_cannot_compile_is_replayed_as_a_graph():
    """A loop that was to be fused says the same where XLA refuses."""

    def step(batch, inputs):
        # An operation of the host, which XLA has not.
        return tf.numpy_function(lambda total: total, [tf.reduce_sum(batch[0])], tf.float32)

    data = [tf.constant([[1.0, 2.0], [4.0, 5.0]])]
    losses, _ = training_loop(step, [], fused=True)([[]], [[0, 1]], data, {"rate": 1.0}, 3)
    np.testing.assert_array_equal(losses, [[3.0, 9.0, 3.0]])


def test_a_fused_loop_is_the_graph():
    """XLA gives the losses that the graph gives, to rounding."""

    def losses(fused):
        weight = keras.Variable(np.float32(0.0))

        def step(batch, inputs):
            loss = tf.reduce_mean(tf.square(batch[0] - weight.value))
            weight.assign(weight.value + inputs["rate"] * tf.reduce_mean(batch[0] - weight.value))
            return loss

        loop = training_loop(step, [weight], fused=fused)
        data = [tf.constant([[1.0, 2.0], [4.0, 5.0]])]
        return loop([[np.float32(0.0)]], [[0, 1]], data, {"rate": 0.1}, 50)[0]

    np.testing.assert_allclose(losses(True), losses(False), rtol=1e-5)
