"""Situations from public reports, each with its right answer, and others of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import optuna
import pandas as pd
import pytest
import tensorflow as tf

import robusttune
from robusttune import FailureCause, Guard, HopelessSearchError, Policy, TrialRecord
from robusttune.optuna import TrialGuard, robust

K = keras.ops
PATIENT = Policy(diagnosis_seconds=60.0)  # also where the machine is busy


def search(
    directory: Path,
    build: Callable[[Any], Any],
    *args: Any,
    trials: int = 1,
    objective: Any = "val_loss",
    policy: Policy = PATIENT,
    epochs: int = 2,
    **fit: Any,
) -> Any:
    """Run a search of a few trials and return its report."""
    keras.utils.set_random_seed(0)
    tuner = robusttune.RandomSearch(
        build,
        objective=objective,
        max_trials=trials,
        seed=1,
        directory=str(directory),
        policy=policy,
    )
    tuner.search(*args, epochs=epochs, verbose=0, **fit)
    return tuner.report()


def rows(n: int = 200, columns: int = 4) -> np.ndarray:
    """Standard normal rows, float32."""
    return np.random.default_rng(0).normal(size=(n, columns)).astype("float32")


def compiled(loss: Any = "mse", *, units: int = 1, activation: Any = None, **more: Any) -> Any:
    """A small compiled model."""
    layers = [keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(units, activation)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(1e-3), loss, **more)
    return model


# NaN in validation only


def sequences() -> tuple[np.ndarray, np.ndarray]:
    """Sequences of which the last rows, which only validation sees, hold a NaN."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 6, 3)).astype("float32")
    labels = (x[:, :, 0].sum(1) > 0).astype(int) + (x[:, -1, 1] > 1)
    x[-7, 2, 1] = np.nan
    return x, keras.utils.to_categorical(labels, 3)


def build_lstm(hp: Any) -> Any:
    """The model of the report."""
    layers = [
        keras.Input((6, 3)),
        keras.layers.LSTM(hp.Int("u", 8, 16, step=8)),
        keras.layers.Dropout(hp.Float("d", 0, 0.5)),
        keras.layers.Dense(3, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


def test_nan_that_only_validation_sees_is_in_the_data(tmp_path: Path) -> None:
    """The built-in loss is innocent, the row is named, and the search is hopeless."""
    x, y = sequences()
    policy = Policy(hopeless_after=2)
    with pytest.raises(HopelessSearchError, match="row 493 of what"):
        search(tmp_path, build_lstm, x, y, trials=5, validation_split=0.2, policy=policy)
    failures = robusttune.Report.from_directory(tmp_path / "untitled_project").failures
    assert list(failures.cause) == ["non_finite_data"] * 2
    assert set(failures.symptom) == {"non_finite_objective"}
    assert "x column 1 (row 93)" in failures.advice.iloc[0]


def test_nan_validation_loss_is_told_where_the_objective_is_finite(tmp_path: Path) -> None:
    """Argmax hides NaN: the trial completes by its accuracy, and does not pass without a word."""
    x, y = sequences()
    train, rest = (
        tf.data.Dataset.from_tensor_slices(part).batch(32)
        for part in ((x[:400], y[:400]), (x[400:], y[400:]))
    )
    report = search(
        tmp_path, build_lstm, train, validation_data=rest, objective="val_accuracy", epochs=1
    )
    row = report.trials.iloc[0]
    assert (row.status, row.cause, row.symptom) == (
        "completed",
        "non_finite_data",
        "non_finite_loss",
    )
    assert "batch 2 of the pipeline" in row.advice
    assert row.value > 0


def test_nan_in_a_validation_frame_is_named_by_its_column_in_optuna() -> None:
    """A DataFrame has names, and so have the words about it."""
    frame = pd.DataFrame(rows(), columns=["age", "income", "debt", "rooms"])
    frame.loc[170, "income"] = np.nan
    y = np.asarray(frame.age + frame.debt)

    def objective(trial: Any) -> float:
        trial.suggest_int("unused", 1, 3)
        fit = compiled().fit(
            frame[:150],
            y[:150],
            validation_data=(frame[150:], y[150:]),
            epochs=1,
            verbose=0,
            callbacks=[TrialGuard(trial)],
        )
        return float(fit.history["val_loss"][-1])

    study = optuna.create_study()
    study.optimize(robust(objective), n_trials=1)
    row = robusttune.Report.from_study(study).trials.iloc[0]
    assert (row.status, row.cause) == ("failed", "non_finite_data")
    assert "x column income (row 20)" in row.advice


def test_nan_from_a_validation_generator_is_told_as_a_batch() -> None:
    """A functional model with named inputs, an endless generator, no tuner."""
    x = rows()

    def batches(bad: int | None) -> Iterator[Any]:
        n = 0
        while True:
            part = x[:32].copy()
            if n % 4 == bad:
                part[3] = np.nan
            yield {"left": part, "right": part}, part.sum(1)
            n += 1

    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    joined = keras.layers.concatenate([left, right])
    model = keras.Model({"left": left, "right": right}, keras.layers.Dense(1)(joined))
    model.compile("sgd", "mse")
    guard = Guard()
    model.fit(
        batches(None),
        steps_per_epoch=6,
        validation_data=batches(2),
        validation_steps=4,
        verbose=0,
        callbacks=[guard],
    )
    assert guard.record is not None
    assert guard.record.cause is FailureCause.NON_FINITE_DATA
    assert "of the pipeline, in x" in (guard.record.advice or "")


def test_loss_of_the_users_that_only_validation_undoes_is_named() -> None:
    """With finite data and a loss that takes logarithms of targets it is the loss, by its line."""

    def log_error(y_true: Any, y_pred: Any) -> Any:
        return K.mean(K.square(K.log(y_true) - y_pred))

    x = rows()
    y = np.abs(x.sum(1)) + 1
    held_out = y[:40].copy()
    held_out[5] = -2.0
    guard = Guard()
    compiled(log_error).fit(
        x, y, validation_data=(x[:40], held_out), epochs=2, verbose=0, callbacks=[guard]
    )
    assert guard.record is not None
    assert guard.record.cause is FailureCause.UNSAFE_LOSS
    assert "K.log(y_true) is undefined" in (guard.record.advice or "")
    assert "test_real_reports.py" in (guard.record.advice or "")


def test_validation_targets_that_are_nan_are_named(tmp_path: Path) -> None:
    """A PyDataset of the user's, and regression."""
    x = rows()

    class Batches(keras.utils.PyDataset):
        def __init__(self, bad: bool) -> None:
            super().__init__()
            self.bad = bad

        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            y = x[:32].sum(1)
            return x[:32], y * (np.nan if self.bad and index == 1 else 1)

    report = search(tmp_path, lambda hp: compiled(), Batches(False), validation_data=Batches(True))
    row = report.trials.iloc[0]
    assert row.cause == "non_finite_data"
    assert "batch 1 of the pipeline, in y" in row.advice


# A train_step of the user's


class Vae(keras.Model):
    """The variational autoencoder of the report."""

    def __init__(self, hidden: int, latent: int) -> None:
        super().__init__()
        dense = keras.layers.Dense
        self.encoder = keras.Sequential([dense(hidden, activation="relu"), dense(2 * latent)])
        self.decoder = keras.Sequential([dense(hidden, activation="relu"), dense(64)])
        self.total = keras.metrics.Mean(name="loss")

    @property
    def metrics(self) -> list[Any]:
        """Those of the epoch."""
        return [self.total]

    def call(self, x: Any) -> Any:
        """Reconstruct."""
        return self.decoder(K.split(self.encoder(x), 2, axis=1)[0])

    def train_step(self, x: Any) -> Any:
        """One step."""
        with tf.GradientTape() as tape:
            mean, log_var = K.split(self.encoder(x), 2, axis=1)
            noise = keras.random.normal(K.shape(mean))
            code = mean + K.exp(0.5 * log_var) * noise
            error = K.mean(K.sum(K.square(x - self.decoder(code)), -1))
            spread = K.sum(-0.5 * (1 + log_var - K.square(mean) - K.exp(log_var)), -1)
            loss = error + K.mean(spread)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self.total.update_state(loss)
        return {"loss": self.total.result()}


def test_own_step_on_raw_pixels_is_unscaled_data(tmp_path: Path) -> None:
    """A replay decides, as for everything else; the exp that overflows is named."""
    x = (np.random.default_rng(0).random((320, 64)) * 255).astype("float32")

    def build(hp: Any) -> Any:
        model = Vae(32, hp.Choice("z", [2, 8]))
        model.compile(keras.optimizers.Adam(hp.Float("lr", 1e-4, 1e-2, sampling="log")))
        return model

    report = search(tmp_path, build, x, trials=2, objective=keras_tuner.Objective("loss", "min"))
    assert list(report.failures.cause) == ["unscaled_data"] * 2
    assert "standardized inputs" in report.failures.advice.iloc[0]
    assert any("K.exp(" in advice for advice in report.failures.advice)


class OwnStep(keras.Model):
    """A model that is compiled without a loss, with its own step."""

    def __init__(self, error: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.head = keras.layers.Dense(1)
        self.error = error

    def call(self, x: Any) -> Any:
        """Predict."""
        return self.head(x)

    def train_step(self, data: Any) -> Any:
        """One step."""
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.error(y, self(x, training=True)[:, 0])
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return {"loss": loss}


def test_own_step_that_divides_by_a_target_of_zero_is_an_unsafe_loss() -> None:
    """What no replay cures is the step's own, and its line is named; built beforehand."""
    x = rows()
    y = x.sum(1)
    y[:100:9] = 0.0
    model = OwnStep(lambda y, p: K.mean(K.abs((y - p) / y)))
    model.compile(keras.optimizers.Adam(1e-3))
    model(x[:1])
    guard = Guard(PATIENT)
    model.fit(x, y, epochs=1, verbose=0, shuffle=False, callbacks=[guard])
    assert guard.record is not None
    assert guard.record.cause is FailureCause.UNSAFE_LOSS
    assert "divi" in (guard.record.advice or "")
    assert "test_real_reports.py" in (guard.record.advice or "")


def test_own_step_at_an_absurd_rate_is_the_rate_in_optuna() -> None:
    """On a dataset, with an exponential of what has run away."""
    x = rows()
    data = tf.data.Dataset.from_tensor_slices((x, x.sum(1))).batch(20)

    def objective(trial: Any) -> float:
        rate = trial.suggest_float("lr", 40.0, 60.0)
        model = OwnStep(lambda y, p: K.mean(K.exp(K.abs(y - p)) - 1))
        model.compile(keras.optimizers.SGD(rate))
        model(x[:1])
        fit = model.fit(data, epochs=3, verbose=0, callbacks=[TrialGuard(trial)])
        return float(fit.history["loss"][-1])

    study = optuna.create_study()
    study.optimize(robust(objective, policy=PATIENT), n_trials=1)
    row = robusttune.Report.from_study(study).trials.iloc[0]
    assert row.cause == "divergent_learning_rate"


def test_own_step_with_a_logarithm_of_noise_names_the_logarithm(tmp_path: Path) -> None:
    """Negative log-likelihood without a floor, in a Keras Tuner search over arrays."""

    def likelihood(y: Any, p: Any) -> Any:
        return K.mean(K.log(y) + K.square(y - p))

    x = rows()
    y = np.maximum(x.sum(1), 0.0)  # half of them are 0

    def build(hp: Any) -> Any:
        model = OwnStep(likelihood)
        model.compile(keras.optimizers.Adam(hp.Float("lr", 1e-4, 1e-3)))
        return model

    report = search(tmp_path, build, x, y, objective=keras_tuner.Objective("loss", "min"))
    row = report.trials.iloc[0]
    assert row.cause == "unsafe_loss"
    assert "K.log(y) is undefined" in row.advice


# A layer at fault, and not the loss


def distance(v: Any) -> Any:
    """Euclidean distance, with a bare root."""
    return K.sqrt(K.sum(K.square(v[0] - v[1]), axis=1, keepdims=True))


def contrast(t: Any, d: Any) -> Any:
    """Contrastive loss."""
    return K.mean(t * d**2 + (1 - t) * K.maximum(1.0 - d, 0) ** 2)


def test_bare_root_in_a_layer_is_the_layers_fault(tmp_path: Path) -> None:
    """A siamese net over pairs, of which some are identical."""
    a, b = rows(), rows() + 0.1
    b[::9] = a[::9]
    y = np.zeros(200, "float32")  # duplicates that are filed as different

    def build(hp: Any) -> Any:
        base = keras.Sequential([keras.layers.Dense(hp.Int("u", 8, 16), activation="relu")])
        p, q = keras.Input((4,)), keras.Input((4,))
        joined = keras.layers.Lambda(distance, output_shape=(1,), name="gap")([base(p), base(q)])
        model = keras.Model([p, q], joined)
        model.compile(keras.optimizers.RMSprop(1e-3), contrast)
        return model

    row = search(tmp_path, build, [a, b], y, validation_split=0.2).trials.iloc[0]
    assert row.advice.startswith("A layer is at fault, not the loss")
    assert "layer gap (Lambda of distance)" in row.advice
    assert "keras.ops.maximum" in row.advice


@keras.saving.register_keras_serializable("tests")
class Norm(keras.layers.Layer):
    """Adds the norm, which may be 0, as a column."""

    def call(self, x: Any) -> Any:
        """Return one column more."""
        return K.concatenate([x, K.sqrt(K.sum(K.square(x), axis=-1, keepdims=True))], axis=-1)


def _bare_root(x: Any) -> Any:
    inputs = keras.Input((4,))
    hidden = Norm(name="unit")(keras.layers.Dense(4, use_bias=False)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    model.compile("adam", "mse")
    return model


class Subclassed(keras.Model):
    """A subclass with a root of a relu in a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = keras.layers.Dense(8, activation="relu", name="first")
        self.root = keras.layers.Lambda(lambda x: K.sqrt(x), name="root")
        self.last = keras.layers.Dense(1)

    def call(self, x: Any) -> Any:
        """Predict."""
        return self.last(self.root(self.first(x)))


def _in_a_subclass(x: Any) -> Any:
    model = Subclassed()
    model.compile("sgd", "mae")
    model(x[:1])
    return model


def _with_an_activation(x: Any) -> Any:
    layers = [
        keras.Input((4,)),
        keras.layers.Dense(8, activation="relu"),
        keras.layers.Activation(lambda v: K.power(v, 0.5), name="power"),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
    model = keras.Sequential(layers)
    model.compile("adam", "binary_crossentropy")
    return model


@pytest.mark.parametrize(
    ("make", "layer"),
    [(_bare_root, "unit"), (_in_a_subclass, "root"), (_with_an_activation, "power")],
)
def test_layer_with_an_infinite_derivative_is_named(make: Any, layer: str) -> None:
    """Functional, subclassed and sequential, on a dataset; built-in losses are never blamed."""
    x = rows()
    x[:50:5] = 0.0
    y = (x.sum(1) > 0).astype("float32")
    guard = Guard(PATIENT)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(25)
    make(x).fit(data, epochs=1, verbose=0, callbacks=[guard])
    assert guard.record is not None
    assert (guard.record.advice or "").startswith("A layer is at fault, not the loss")
    assert f"layer {layer} (" in (guard.record.advice or "")


class MaskedMean(keras.layers.Layer):
    """Attention with a mask of minus infinity."""

    def call(self, inputs: Any) -> Any:
        """Return the mean by weights, of which none may be left."""
        values, mask = inputs
        scores = K.where(mask > 0, K.sum(values, axis=-1), -np.inf)
        return K.sum(K.softmax(scores, axis=1)[..., None] * values, axis=1)


def test_mask_of_minus_infinity_over_a_whole_row_is_named() -> None:
    """A row with nothing in it has no softmax: the line that puts the infinity in is told."""
    values = np.random.default_rng(0).normal(size=(64, 5, 4)).astype("float32")
    mask = np.ones((64, 5), "float32")
    mask[::9] = 0
    inputs = [keras.Input((5, 4)), keras.Input((5,))]
    model = keras.Model(inputs, keras.layers.Dense(1)(MaskedMean(name="attention")(inputs)))
    model.compile("adam", "mse")
    guard = Guard(PATIENT)
    model.fit([values, mask], mask[:, :1], epochs=1, verbose=0, callbacks=[guard])
    assert guard.record is not None
    assert "a fully masked row gives NaN" in (guard.record.advice or "")
    assert "layer attention (MaskedMean)" in (guard.record.advice or "")


# Failures that have nothing to do with each other


def of_estimators(trials: int = 90, *, asked: bool = True) -> list[TrialRecord]:
    """Trials of three estimators; KNN fails by k, LogReg by its penalty."""
    rng = np.random.default_rng(0)
    records = []
    for number in range(trials):
        params: dict[str, Any] = {
            "kind": str(rng.choice(["knn", "mlp", "logreg"])),
            "k": int(rng.integers(1, 300)),
            "pen": str(rng.choice(["l1", "l2"])),
        }
        kind, error = params["kind"], None
        if kind == "knn" and params["k"] > 160:
            error = f"ValueError: Expected n_neighbors <= n, but n_neighbors = {params['k']}"
        if kind == "logreg" and params["pen"] == "l1":
            error = "ValueError: Solver lbfgs supports only 'l2' or None penalties, got l1"
        if asked:
            needs = {"knn": ["k"], "mlp": [], "logreg": ["pen"]}[kind]
            params = {name: params[name] for name in ("kind", *needs)}
        records.append(
            TrialRecord(
                trial_id=str(number),
                number=number,
                status="failed" if error else "completed",
                unstable=error is not None,
                symptom="exception" if error else None,
                cause="invalid_model" if error else None,
                error=error,
                params=params,
            )
        )
    return records


@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "all that were registered"])
def test_regions_of_different_exceptions_are_apart(asked: bool) -> None:
    """Each region has one exception and names it; what was not asked for is no part of a rule."""
    report = robusttune.Report.from_records(of_estimators(asked=asked))
    regions = report.find_regions()
    assert len(regions) == 2
    by_rule = {region.rule: region for region in regions}
    (penalty,) = (rule for rule in by_rule if "pen == 'l1'" in rule)
    (neighbours,) = (rule for rule in by_rule if "k > " in rule)
    assert penalty != neighbours
    assert "lbfgs" in (by_rule[penalty].exception or "")
    assert "n_neighbors" in (by_rule[neighbours].exception or "")
    assert all(region.failures == region.trials for region in regions)
    assert "ValueError" in report.summary(width=300).splitlines()[0]


def test_lines_for_keras_tuner_refuse_only_trials_that_ask(tmp_path: Path) -> None:
    """A value that Keras Tuner fills in for another estimator is no reason to refuse it."""
    records = of_estimators(300)
    for i, record in enumerate(records):  # a rule of two conditions cannot be a range
        params = dict(record.params)
        if "k" in params:
            params["p"] = i % 4
            bad = params["k"] > 160 and params["p"] > 1
            changes = {} if bad else {"status": "completed", "cause": None, "error": None}
            record = record.replace(unstable=bad, symptom=None, **changes)
        else:
            record = record.replace(unstable=False, status="completed", cause=None, error=None)
        records[i] = record.replace(params=params)
    (suggestion,) = robusttune.Report.from_records(records).suggest_space()
    assert "hp.get('kind') == 'knn' and 'k' in hp" in suggestion.keras_tuner
    space = keras_tuner.HyperParameters()
    space.Choice("kind", ["knn", "mlp"])
    space.Fixed("k", 250)
    space.Fixed("p", 3)
    variables = {"hp": space, "keras_tuner": keras_tuner}
    with pytest.raises(keras_tuner.errors.FailedTrialError):
        exec(suggestion.keras_tuner, variables)
    space.values["kind"] = "mlp"
    exec(suggestion.keras_tuner, variables)


def test_trial_keeps_only_what_it_asked_for(tmp_path: Path) -> None:
    """In the record, for the diagnosis while it runs, and for what the search learns."""
    from sklearn import linear_model, neighbors

    def build(hp: Any) -> Any:
        if hp.Choice("kind", ["knn", "logreg"]) == "knn":
            return neighbors.KNeighborsClassifier(hp.Int("k", 1, 300, step=50))
        return linear_model.LogisticRegression(C=hp.Float("C", 0.1, 1.0))

    x = rows()
    tuner = robusttune.SklearnTuner(
        oracle=keras_tuner.oracles.RandomSearchOracle(
            objective=keras_tuner.Objective("score", "max"), max_trials=14, seed=3
        ),
        hypermodel=build,
        directory=str(tmp_path),
    )
    tuner.search(x, (x[:, 0] > 0).astype(int))
    trials = tuner.report().trials
    knn = trials[trials.params_kind == "knn"]
    assert knn.params_C.isna().all()
    assert trials[trials.params_kind == "logreg"].params_k.isna().all()
    assert set(knn[knn.cause.notna()].cause) == {"invalid_model"}
    failure_model = tuner.oracle._learned().failure_model
    assert failure_model.caused.sum() == len(trials[trials.status == "failed"])
