"""What is used of the hosts beyond their public API: it does what the package relies on.

An upgrade of a host that breaks one of these fails here first.
"""

from __future__ import annotations

import ast
import random
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import optuna
import pytest
import tensorflow as tf

import robusttune
from robusttune._compat import (
    keras as keras_api,
    keras_tuner as keras_tuner_api,
    optuna as optuna_api,
    tensorflow as tensorflow_api,
)

PACKAGE = Path(robusttune.__file__).parent
COMPAT = PACKAGE / "_compat"
OUTSIDE = [path for path in PACKAGE.rglob("*.py") if COMPAT not in path.parents]


# Nothing private is used elsewhere


def _names(module: str) -> list[str]:
    return re.findall(r"`(?:\w+\.)?(_\w+)`", ast.get_docstring(_tree(COMPAT / module)) or "")


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_private(full_name: str) -> bool:
    root, *parts = full_name.split(".")
    if root in {"robusttune", *sys.stdlib_module_names}:
        return False
    return (
        any(part.startswith("_") for part in parts)
        or "src" in parts
        or (root == "tensorflow" and parts[:1] == ["python"])
    )


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_private_modules_of_hosts_are_imported_in_compat_only(path: Path) -> None:
    """By no import statement, and by no text from which one could be made."""
    assert [name for name in _imports(_tree(path)) if _is_private(name)] == []
    assert re.findall(r"\bkeras(?:_tuner)?\.src\b|tensorflow\.python\b", path.read_text()) == []


def test_private_imports_are_recognized() -> None:
    """The test above would see them."""
    found = {name for path in COMPAT.glob("*.py") for name in _imports(_tree(path))}
    private = {name for name in found if _is_private(name)}
    assert {
        "keras.src.backend.common.global_state",
        "tensorflow.python.eager.context",
        "keras_tuner.src.engine.oracle",
        "optuna.storages._heartbeat.BaseHeartbeat",
    } <= private
    assert not _is_private("keras_tuner.engine.trial.Trial")


def test_private_attributes_of_hosts_are_listed() -> None:
    """What is read of an object, and is no attribute of robusttune's own classes."""
    own, used = set(), {}
    for path in OUTSIDE:
        for node in ast.walk(_tree(path)):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                own.add(node.name)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                own.add(node.target.id)
            elif isinstance(node, ast.Assign):
                own |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.Attribute):
                of = ast.unparse(node.value)
                if of == "self" and isinstance(node.ctx, ast.Store):
                    own.add(node.attr)
                private = re.fullmatch(r"_[a-z]\w*[^_]", node.attr)  # and not enum's _value_
                if private and of not in ("sys", "os"):
                    used.setdefault(node.attr, set()).add(of)
    listed = {name for path in COMPAT.glob("*.py") for name in _names(path.name)}
    hosts = {name for name, of in used.items() if name not in own or "super()" in of}
    assert hosts - listed == set()
    assert {"_retry", "_project_dir", "_current_bracket"} <= hosts


@pytest.mark.parametrize("name", _names("keras_tuner.py"))
def test_listed_attribute_is_there(name: str, tmp_path: Path) -> None:
    """On some oracle or tuner of Keras Tuner's."""
    objective: Any = keras_tuner.Objective("loss", "min")
    oracles = [
        keras_tuner.oracles.HyperbandOracle(objective, max_epochs=3),
        keras_tuner.oracles.BayesianOptimizationOracle(objective, max_trials=1),
    ]
    for oracle in oracles:
        oracle._set_project_dir(str(tmp_path), "p")
    assert any(hasattr(host, name) for host in (*oracles, keras_tuner.RandomSearch))


@pytest.mark.parametrize(
    ("module", "hosts"),
    [
        ("robusttune._compat", ("tensorflow", "keras", "keras_tuner", "optuna")),
        ("robusttune._compat.optuna", ("tensorflow", "keras", "keras_tuner")),
        ("robusttune._compat.keras", ("tensorflow", "keras", "keras_tuner", "optuna")),
    ],
)
def test_import_is_light(module: str, hosts: tuple[str, ...]) -> None:
    """A host is loaded by nobody who does not use it."""
    code = f"import sys, {module}; sys.exit(any(name in sys.modules for name in {hosts!r}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_loss_tracker_is_of_the_model() -> None:
    """Keras's train steps update it; tests/guard/guard_checks.py has more of PyTorch and JAX."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    assert keras_api.loss_tracker_of(model) is None
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 1)), np.ones((4, 1)), verbose=0)
    assert keras_api.loss_tracker_of(model) in model.metrics
    assert not keras_api.nnx_is_enabled()


# TensorFlow


def test_tensorflow_goes_on_from_a_random_state() -> None:
    """Also after another seed was set."""
    tf.random.set_seed(5)
    tf.random.uniform(())
    state = tensorflow_api.random_state()
    drawn = [float(tf.random.uniform(())) for _ in range(3)]
    tf.random.set_seed(6)
    tensorflow_api.set_random_state(*state)
    assert [float(tf.random.uniform(())) for _ in range(3)] == drawn


def test_no_seed_is_no_state() -> None:
    """A process that set none has nothing to hand on, and none in it after a block that did."""
    code = """if True:
        import tensorflow as tf
        from robusttune._compat import tensorflow as api
        tf.random.uniform(())
        none = api.random_state()
        assert none[1] is None
        tf.random.set_seed(1)
        api.set_random_state(*none)
        assert api.random_state() == none
        assert not api.op_determinism_is_enabled()
        tf.config.experimental.enable_op_determinism()
        assert api.op_determinism_is_enabled()
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_gradients_of_traced_operations_are_in_the_registry() -> None:
    """One that is dropped there is gone, with its graph."""

    @tf.custom_gradient
    def same(x: Any) -> Any:
        return tf.identity(x), lambda upstream: upstream

    registry = tensorflow_api.gradient_registry()
    assert registry is not None
    before = set(registry)

    @tf.function
    def robusttune_test(x: Any) -> Any:
        return same(x)

    robusttune_test(tf.constant(1.0))
    (name,) = set(registry) - before
    assert name.startswith("CustomGradient-")
    assert callable(registry.pop(name)["type"])


def test_loops_are_traced_again_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """TensorFlow warns of a function that is traced five times of its last few calls."""
    for wanted in (True, False):
        caplog.clear()
        function = tf.function(lambda x: x + 1)
        if not wanted:
            assert tensorflow_api.without_retracing_warning(function) is function
        with caplog.at_level("WARNING"):
            for number in range(8):
                function(number)
        assert ("retracing" in caplog.text) is wanted


# Keras


@pytest.fixture
def model() -> Any:
    """A model within a model, with moving statistics, compiled."""
    inner = keras.Sequential([keras.layers.Dense(3), keras.layers.BatchNormalization()])
    built = keras.Sequential([keras.Input((2,)), inner, keras.layers.Dense(1)])
    built.compile("adam", "mse")
    return built


def test_all_layers_are_those_of_the_parts_too(model: Any) -> None:
    """Each once."""
    kinds = [type(layer).__name__ for layer in keras_api.all_layers(model, include_self=False)]
    assert sorted(kinds) == sorted(
        [
            "Sequential",
            "Dense",
            "BatchNormalization",
            "Dense",
            *kinds.count("InputLayer") * ["InputLayer"],
        ]
    )
    assert keras_api.all_layers(model)[0] is model


def test_own_variables_are_the_moving_statistics(model: Any) -> None:
    """Those of the layer itself, frozen or not."""
    model.trainable = False
    found = {
        type(layer).__name__: [v.name for v in keras_api.own_non_trainable_variables(layer)]
        for layer in keras_api.all_layers(model)
    }
    assert found["BatchNormalization"] == ["moving_mean", "moving_variance"]
    assert found["Dense"] == found["Sequential"] == []


@pytest.mark.parametrize("takes", [True, False])
def test_training_argument_is_found(takes: bool) -> None:
    """A `call` without it raises where it gets it."""

    class With(keras.Model):  # type: ignore[misc]
        def call(self, x: Any, training: bool = False) -> Any:
            return x

    class Without(keras.Model):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return x

    assert keras_api.takes_training_argument(With() if takes else Without()) is takes


def test_outputs_as_a_list_are_told_from_one_and_from_names() -> None:
    """And a subclassed model has none that could be known."""
    entrance = keras.Input((2,))
    one, two = keras.layers.Dense(1)(entrance), keras.layers.Dense(1)(entrance)
    assert keras_api.gives_list_of_outputs(keras.Model(entrance, [one, two]))
    assert not keras_api.gives_list_of_outputs(keras.Model(entrance, one))
    assert not keras_api.gives_list_of_outputs(keras.Model(entrance, {"a": one, "b": two}))
    assert not keras_api.gives_list_of_outputs(None)


def test_model_is_built_symbolically() -> None:
    """Its variables, its metrics' and its optimizer's are there, and no random number is."""
    built = keras.Sequential([keras.layers.Dense(1)])
    built.compile("adam", "mse", metrics=["mae"])
    batch = (keras.KerasTensor((None, 2), "float32"), keras.KerasTensor((None, 1), "float32"))
    keras_api.build_symbolically(built, batch)
    assert [tuple(w.shape) for w in built.weights] == [(2, 1), (1,)]
    assert built.optimizer.built
    assert built.metrics_variables


def test_loss_options_are_those_that_were_given() -> None:
    """With their defaults, and none of a plain function."""
    options = keras_api.loss_options(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert options["from_logits"] is True
    assert keras_api.loss_options(keras.losses.mean_squared_error) == {}


def test_loss_weights_are_those_of_compile() -> None:
    """As they were given; None without any, and before."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="a")])
    assert keras_api.loss_weights(model) is None
    model.compile("sgd", "mse")
    assert keras_api.loss_weights(model) is None
    model.compile("sgd", "mse", loss_weights=[0.5])
    assert keras_api.loss_weights(model) == [0.5]


def test_the_graph_of_a_model_is_walked_both_ways() -> None:
    """From a tensor to what made it, and from a layer to what was called on it."""
    dense, x = keras.layers.Dense(1), keras.Input((2,))
    out = keras.ops.tanh(dense(x))
    ((operation, inputs),) = keras_api.makers_of([out])
    assert type(operation).__name__ == "Tanh"
    assert keras_api.users_of(dense) == [operation]
    assert keras_api.makers_of(inputs)[0][0] is dense
    assert keras_api.users_of(operation) == []


def test_cached_logits_are_what_crossentropies_take() -> None:
    """A softmax under from_logits=True gives the loss of its logits, where they are cached."""
    logits = keras.ops.convert_to_tensor([[3.0, 0.0]])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    y = keras.ops.convert_to_tensor([[1.0, 0.0]])
    once = float(loss(y, logits))
    of_softmax = float(loss(y, keras.activations.softmax(logits)))
    assert keras_api.cached_logits_are_used() == (abs(of_softmax - once) < 1e-4)


def test_half_precision_is_lifted_for_a_while() -> None:
    """Layers compute in float32, their variables stay as they are, and all is put back."""
    layer = keras.layers.Dense(1, dtype="mixed_float16")
    half = keras.layers.Dense(1, dtype="float16")
    x = np.ones((1, 2), "float32")
    for made in (layer, half):
        assert keras.backend.standardize_dtype(made(x).dtype) == "float16"
        kept = made.dtype_policy
        with keras_api.computing_in_float32([made]):
            assert keras.backend.standardize_dtype(made(x).dtype) == "float32"
            assert made.kernel.dtype == made.variable_dtype == kept.variable_dtype
        assert made.dtype_policy is kept
        assert keras.backend.standardize_dtype(made(x).dtype) == "float16"


def test_learning_rate_as_given_is_a_variable_or_the_schedule() -> None:
    """The public property has its value only."""
    plain = keras.optimizers.SGD(0.1)
    assert any(v is keras_api.learning_rate_as_given(plain) for v in plain.variables)
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    scheduled = keras.optimizers.SGD(schedule)
    assert keras_api.learning_rate_as_given(scheduled) is schedule
    assert keras_api.learning_rate_as_given(None) is None


def test_schedule_is_set_aside_for_a_config() -> None:
    """One that cannot be serialized stands in no config's way, and is back afterwards."""

    class Own(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> Any:
            return 0.1

    schedule = Own()
    optimizer = keras.optimizers.SGD(schedule)
    with pytest.raises(NotImplementedError):
        optimizer.get_config()
    with keras_api.learning_rate_set_aside(optimizer):
        assert isinstance(optimizer.get_config()["learning_rate"], float)
    assert keras_api.learning_rate_as_given(optimizer) is schedule


def test_trained_variables_are_the_models(model: Any) -> None:
    """Not the optimizer's own."""
    model.optimizer.build(model.trainable_variables)
    trained = keras_api.variables_trained_by(model.optimizer)
    assert [id(v) for v in trained] == [id(v) for v in model.trainable_variables]


def test_keras_goes_on_from_a_global_seed() -> None:
    """The generator that dropout and the like draw from goes on where it was."""
    keras.utils.set_random_seed(3)
    assert keras_api.global_seed()[0] in (3, None)  # Keras 3.7 keeps none
    keras.random.uniform(())
    state = keras_api.global_seed()
    drawn = [float(keras.random.uniform(())) for _ in range(3)]
    keras.utils.set_random_seed(4)
    keras_api.set_global_seed(*state)
    assert [float(keras.random.uniform(())) for _ in range(3)] == drawn
    generator = keras_api.global_seed_generator()
    keras_api.set_global_seed_generator(None)
    keras.random.uniform(())
    assert keras_api.global_seed_generator() is not generator
    keras_api.set_global_seed_generator(generator)
    assert keras_api.global_seed_generator() is generator


def test_global_state_apart_leaves_no_trace() -> None:
    """Names go on as if nothing had been built; seed, generator and dtype policy are the same."""
    keras.utils.set_random_seed(3)
    keras.random.uniform(())
    generator, (seed, place) = keras_api.global_seed_generator(), keras_api.global_seed()
    first = keras.layers.Dense(1).name
    with keras_api.global_state_apart():
        keras.layers.Dense(1)
        keras.utils.set_random_seed(9)
        keras.config.set_dtype_policy("mixed_bfloat16")
        keras.random.uniform(())
        keras.backend.clear_session()
    assert keras_api.global_seed_generator() is generator
    assert keras_api.global_seed()[0] == seed
    np.testing.assert_array_equal(keras_api.global_seed()[1], place)
    assert keras.config.dtype_policy().name == "float32"
    number = int(first.rpartition("_")[2]) if "_" in first else 0
    assert keras.layers.Dense(1).name == f"dense_{number + 1}"


# Keras Tuner


class Oracle(keras_tuner.oracles.RandomSearchOracle):  # type: ignore[misc]
    """Raises where it proposes."""

    def populate_space(self, trial_id: str) -> Any:
        """Raise."""
        raise ValueError("no proposal")


@pytest.fixture
def oracle(tmp_path: Path) -> Oracle:
    """One of a search that begins."""
    made = Oracle(keras_tuner.Objective("loss", "min"), max_trials=3)
    made._set_project_dir(str(tmp_path), "p")
    return made


def test_lock_is_released_when_a_synchronized_method_raises(oracle: Oracle) -> None:
    """Another thread gets it then; Keras Tuner alone keeps it for ever."""
    with (
        pytest.raises(ValueError, match="no proposal"),
        keras_tuner_api.lock_released_on_error(oracle),
    ):
        oracle.create_trial("a")
    spaces: list[Any] = []

    def other() -> None:
        with pytest.raises(ValueError, match="no"), keras_tuner_api.lock_released_on_error(oracle):
            oracle.create_trial("b")
        spaces.append(1)

    thread = threading.Thread(target=other, name="another", daemon=True)
    thread.start()
    thread.join(20)
    assert spaces == [1]


def test_lock_is_left_to_the_outermost_block(oracle: Oracle) -> None:
    """A nested block must not release it under the outer one."""
    api = keras_tuner_api
    with pytest.raises(ValueError, match="no proposal"), api.lock_released_on_error(oracle):
        keras_tuner.synchronized(_nested)(oracle)
    with pytest.raises(ValueError, match="no proposal"), api.lock_released_on_error(oracle):
        oracle.create_trial("a")


def _nested(oracle: Any) -> None:
    """Hold the lock while a call inside fails."""
    from keras_tuner.src.engine import oracle as module

    with (
        pytest.raises(ValueError, match="no proposal"),
        keras_tuner_api.lock_released_on_error(oracle),
    ):
        oracle.create_trial("a")
    assert module.LOCKS[oracle].locked()
    oracle.create_trial("a")


def test_every_declaration_is_heard() -> None:
    """Of each kind, at the one place that is replaced; and none once it is put back."""
    heard = []

    def declare(container: Any, hp: Any) -> Any:
        heard.append(hp.name)
        return keras_tuner_api.declare(container, hp)

    def build(hp: Any) -> list[Any]:
        return [
            hp.Float("f", 0.0, 1.0),
            hp.Int("i", 1, 3),
            hp.Choice("c", ["a"]),
            hp.Boolean("b"),
            hp.Fixed("x", 7),
        ]

    plain = build(keras_tuner.HyperParameters())
    keras_tuner_api.replace_declare(declare)
    try:
        assert build(keras_tuner.HyperParameters()) == plain
    finally:
        keras_tuner_api.replace_declare(None)
    assert heard == ["f", "i", "c", "b", "x"]
    build(keras_tuner.HyperParameters())
    assert len(heard) == 5


def test_declared_is_what_has_the_name_and_the_conditions() -> None:
    """Under other conditions it is another hyperparameter."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("kind", ["a", "b"])
    with hp.conditional_scope("kind", ["b"]):
        hp.Float("rate", 0.0, 1.0)
    rate = hp.space[-1]
    assert keras_tuner_api.is_declared(hp, rate)
    assert "rate" not in hp  # which is of what is active
    alone = type(rate).from_config({**rate.get_config(), "conditions": []})
    assert not keras_tuner_api.is_declared(hp, alone)


def test_replaced_hyperparameter_is_the_one_that_is_used() -> None:
    """It keeps its place, and a build function gets values of its range."""
    hp = keras_tuner.HyperParameters()
    for name in "abc":
        hp.Float(name, 0.0, 1.0)
    old = hp.space[1]
    new = type(old).from_config({**old.get_config(), "max_value": 0.5})
    keras_tuner_api.replace_declared(hp, old, new)
    assert [one.name for one in hp.space] == ["a", "b", "c"]
    assert hp.space[1] is new
    hp.Float("b", 0.0, 1.0)  # declared again, as in the next build
    assert hp.get_config()["space"][1]["config"]["max_value"] == 0.5
    assert len(hp.space) == 3


def test_grid_goes_on_behind_its_trials(tmp_path: Path) -> None:
    """In the order that it is given: no combination comes twice, and none is left out."""

    def open_oracle() -> Any:
        hp = keras_tuner.HyperParameters()
        hp.Choice("a", [1, 2])
        hp.Choice("b", [1, 2, 3])
        made = keras_tuner.oracles.GridSearchOracle(
            keras_tuner.Objective("loss", "min"), hyperparameters=hp
        )
        made._set_project_dir(str(tmp_path), "p")
        return made

    def run(oracle: Any, most: int) -> None:
        for _ in range(most):
            trial = oracle.create_trial("t")
            if trial.status != "RUNNING":
                return
            oracle.update_trial(trial.trial_id, {"loss": 1.0})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)

    first = open_oracle()
    run(first, 3)
    second = open_oracle()
    second.reload()
    values = {name: trial.hyperparameters.values for name, trial in second.trials.items()}
    in_order = sorted(values, key=lambda name: (values[name]["a"], values[name]["b"]))
    keras_tuner_api.set_grid_order(second, in_order)
    run(second, 10)
    tried = [tuple(sorted(t.hyperparameters.values.items())) for t in second.trials.values()]
    assert len(tried) == len(set(tried)) == 6


def test_metrics_tracker_starts_empty() -> None:
    """It takes the place of a trial's metrics."""
    trial = keras_tuner.engine.trial.Trial(keras_tuner.HyperParameters())
    trial.metrics.register("loss", "min")
    trial.metrics.update("loss", 1.0, step=0)
    trial.metrics = keras_tuner_api.MetricsTracker()
    assert not trial.metrics.exists("loss")
    assert trial.get_state()["metrics"] == {"metrics": {}}


@pytest.mark.parametrize(("name", "chief"), [("chief", True), ("worker", False), (None, False)])
def test_chief_is_known_by_its_environment(
    name: str | None, chief: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three variables."""
    if name is not None:
        monkeypatch.setenv("KERASTUNER_TUNER_ID", name)
        monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
        monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "1")
    assert keras_tuner_api.is_chief_oracle() is chief


def test_chief_and_worker_speak_to_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over a socket, by the calls that the robust ends override or make."""
    from concurrent import futures

    import grpc

    hp = keras_tuner.HyperParameters()
    hp.Float("lr", 0.1, 1.0)
    served = keras_tuner.oracles.RandomSearchOracle(
        keras_tuner.Objective("loss", "min"), max_trials=1, hyperparameters=hp
    )
    served._set_project_dir(str(tmp_path), "p")
    servicer = keras_tuner_api.OracleServicer(served)
    assert (servicer.oracle, servicer.stop_triggered) == (served, False)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    keras_tuner_api.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker")
        monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
        monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
        client = keras_tuner_api.OracleClient(served)
        assert (client.tuner_id, client.multi_worker) == ("worker", False)
        request = keras_tuner_api.get_service().GetSpaceRequest()
        assert client.stub.GetSpace(request, timeout=20, wait_for_ready=True)
        trial = client.create_trial("worker")
        client.update_trial(trial.trial_id, {"loss": 0.5})
        trial.status = "COMPLETED"
        client.end_trial(trial)
        assert client.create_trial("worker").status == "STOPPED"
        assert servicer.stop_triggered
    finally:
        server.stop(None).wait()
    assert served.trials[trial.trial_id].score == 0.5
    for name in ("CreateTrial", "UpdateTrial", "EndTrial"):
        assert callable(getattr(keras_tuner_api.OracleServicer, name))
    assert keras_tuner_api.CHIEF_SECONDS >= 60


# Optuna


def test_source_tells_studies_apart() -> None:
    """It is that of the study however it was opened, and of no other; its storage may go."""
    storage = optuna.storages.InMemoryStorage()
    one = optuna.create_study(storage=storage, study_name="one")
    other = optuna.create_study(storage=storage, study_name="other")
    again = optuna.load_study(storage=storage, study_name="one")
    source = optuna_api.source_of(one)
    assert source == optuna_api.source_of(again) != optuna_api.source_of(other)
    assert source != optuna_api.source_of(optuna.create_study(study_name="one"))


def test_stale_trials_are_those_without_a_heartbeat(tmp_path: Path) -> None:
    """And they stay as they are: who looks does not decide."""
    import time

    url = f"sqlite:///{tmp_path}/study.db"
    storage = optuna.storages.RDBStorage(url, heartbeat_interval=1, grace_period=1)
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    storage.record_heartbeat(trial._trial_id)
    assert optuna_api.stale_trial_ids(study) == set()
    time.sleep(2.5)
    (stored,) = study.get_trials()
    assert optuna_api.stale_trial_ids(study) == {optuna_api.id_of(stored)}
    assert study.get_trials()[0].state is optuna.trial.TrialState.RUNNING


@pytest.mark.parametrize("storage", [None, "sqlite:///:memory:"])
def test_without_heartbeats_no_trial_is_stale(storage: str | None) -> None:
    """Nobody knows, then."""
    study = optuna.create_study(storage=storage)
    study.ask()
    assert optuna_api.stale_trial_ids(study) == set()


def test_stored_trial_has_what_others_wrote() -> None:
    """The trial at hand does not."""
    study = optuna.create_study()
    trial = study.ask()
    trial.storage.set_trial_user_attr(trial._trial_id, "key", "of another worker")
    assert "key" not in trial.user_attrs
    assert optuna_api.stored_trial(trial).user_attrs == {"key": "of another worker"}
    assert optuna_api.stored_trial(trial).number == trial.number


def test_drawn_distributions_are_those_so_far() -> None:
    """As they were asked for."""
    trial = optuna.create_study().ask()
    assert dict(optuna_api.drawn_distributions(trial)) == {}
    trial.suggest_float("lr", 0.1, 1.0, log=True)
    expected = {"lr": optuna.distributions.FloatDistribution(0.1, 1.0, log=True)}
    assert dict(optuna_api.drawn_distributions(trial)) == expected


def test_values_of_a_fixed_trial_are_all_of_them() -> None:
    """Its public `params` has those that were asked for."""
    trial = optuna.trial.FixedTrial({"lr": 0.5, "units": 3})
    trial.suggest_float("lr", 0.1, 1.0)
    assert dict(optuna_api.values_of_fixed(trial)) == {"lr": 0.5, "units": 3}


def test_trials_for_sampling_are_not_copied() -> None:
    """Finished ones are the same objects each time; those of a worker's own study are current."""
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    first, again = (optuna_api.trials_for_sampling(study) for _ in range(2))
    assert [trial.number for trial in first] == [0, 1]
    assert all(one is other for one, other in zip(first, again, strict=True))


def test_samplers_read_a_study_by_get_trials() -> None:
    """So a view that overrides it is what a sampler sees."""
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1, n_startup_trials=2))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    asked = []

    class View(optuna.Study):
        def __init__(self) -> None:
            pass

        def __getattr__(self, name: str) -> Any:
            return getattr(study, name)

        def _get_trials(self, *args: Any, **kwargs: Any) -> Any:
            asked.append(1)
            return study._get_trials(*args, **kwargs)

    study.ask()
    (trial,) = study.get_trials(states=[optuna.trial.TrialState.RUNNING])
    distribution = optuna.distributions.FloatDistribution(0, 1)
    study.sampler.sample_independent(View(), trial, "x", distribution)
    assert asked


def test_grid_and_fixed_parameters_are_found() -> None:
    """Around any sampler."""
    grid = optuna.samplers.GridSampler({"lr": [0.1, 0.2]}, seed=1)
    assert list(optuna_api.grid_values(grid, "lr")) == [0.1, 0.2]
    assert list(optuna_api.grid_values(grid, "units")) == []
    fixed = optuna.samplers.PartialFixedSampler({"units": 3}, grid)
    assert optuna_api.unwrapped(fixed) == (grid, {"units": 3})


@pytest.mark.parametrize(("value", "holds"), [(0.5, True), (1.0, True), (1.5, False)])
def test_distribution_contains_what_could_be_drawn(value: float, holds: bool) -> None:
    """Bounds belong to it."""
    distribution = optuna.distributions.FloatDistribution(0.1, 1.0)
    assert optuna_api.contains(distribution, value) is holds


def test_value_of_another_kind_is_an_error() -> None:
    """As Optuna has it for choices that are none."""
    choices = optuna.distributions.CategoricalDistribution(["a", "b"])
    assert optuna_api.contains(choices, "a")
    with pytest.raises(ValueError, match="not in"):
        optuna_api.contains(choices, "c")


def test_fixed_parameters_are_asked_for_by_the_overridden_method() -> None:
    """An enqueued value that does not fit raises there, which robusttune turns into a warning."""
    study = optuna.create_study()
    study.enqueue_trial({"x": 5.0})
    trial = study.ask()
    random.seed(0)
    distribution = optuna.distributions.FloatDistribution(0.0, 10.0)
    assert trial._is_fixed_param("x", distribution) is True
    assert trial._is_fixed_param("y", distribution) is False


# MLflow


def test_active_experiment_is_that_of_start_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without starting a run."""
    mlflow = pytest.importorskip("mlflow")
    from robusttune._compat.mlflow import DEFAULT_EXPERIMENT_ID, active_experiment_id

    monkeypatch.setattr(mlflow.tracking.fluent, "_active_experiment_id", None)
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_TRACKING_URI"):  # set by MLflow itself, too
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    try:
        assert active_experiment_id() == DEFAULT_EXPERIMENT_ID
        mine = mlflow.set_experiment("mine").experiment_id
        assert active_experiment_id() == mine != DEFAULT_EXPERIMENT_ID
        assert len(mlflow.search_runs([mine])) == 0
    finally:
        mlflow.set_tracking_uri(before)


def test_the_end_of_optimize_is_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a call, also of one that raises, after the last trial."""
    study_module = sys.modules["optuna.study.study"]
    monkeypatch.setattr(study_module, "_optimize", study_module._optimize)  # put back afterwards
    ended: list[tuple[optuna.Study, int]] = []
    running: list[bool] = []
    assert optuna_api.when_optimize_ends(lambda study: ended.append((study, len(study.trials))))

    def objective(trial: optuna.Trial) -> float:
        running.append(optuna_api.is_optimizing(trial.study))
        if trial.number == 2:
            raise ValueError("no")
        return 0.0

    study = optuna.create_study()
    study.optimize(objective, n_trials=2)
    with pytest.raises(ValueError, match="no"):
        study.optimize(objective, n_trials=2)
    assert ended == [(study, 2), (study, 3)]
    assert running == [True] * 3
    assert not optuna_api.is_optimizing(study)
