"""robusttune:cause, :symptom and :confidence beside the record, to filter trials by."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import optuna
import pytest

from robusttune import TrialFailure
from robusttune.optuna import TrialGuard, records_of, robust
from tests.zoo import linear

FLAT = ("robusttune:cause", "robusttune:symptom", "robusttune:confidence")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Keep Optuna from logging every trial."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def flat(trial: Any) -> tuple[Any, ...]:
    """Return the three attributes of a trial; None for one that is not there."""
    return tuple(trial.user_attrs.get(name) for name in FLAT)


def fit(rate: float, data: Any, trial: Any) -> float:
    """Train a linear model under a guard."""
    history = linear(rate).fit(*data, epochs=2, verbose=0, callbacks=[TrialGuard(trial)])
    return float(history.history["loss"][-1])


@pytest.mark.parametrize("storage", ["memory", "sqlite", "journal"])
def test_a_failing_trial_has_them_and_a_healthy_one_has_not(
    storage: str, tmp_path: Path, regression: Any
) -> None:
    """They say what the record says, in every storage."""
    where: Any = {
        "memory": None,
        "sqlite": f"sqlite:///{tmp_path}/study.db",
        "journal": optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal"))
        ),
    }[storage]
    study = optuna.create_study(storage=where)
    study.enqueue_trial({"rate": 1e6})
    study.enqueue_trial({"rate": 0.01})

    def objective(trial: Any) -> float:
        return fit(trial.suggest_float("rate", 1e-3, 1e7, log=True), regression, trial)

    study.optimize(robust(objective), n_trials=2)
    failed, healthy = study.trials
    record = records_of(study)[0]
    assert flat(failed) == ("divergent_learning_rate", "diverged", record.confidence)
    assert not set(FLAT) & set(healthy.user_attrs)
    assert (
        optuna.load_study(study_name=study.study_name, storage=study._storage)
        .trials[0]
        .user_attrs["robusttune:cause"]
        == "divergent_learning_rate"
    )


def retrying_storage(url: str) -> Any:
    """A database that gives a dead worker's trial out again, under the names of this Optuna."""
    if hasattr(optuna.storages, "RetryHeartbeatStaleTrialCallback"):
        again = optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=3)
        try:
            return optuna.storages.RDBStorage(
                url, heartbeat_interval=1, grace_period=1, heartbeat_stale_trial_callback=again
            )
        except TypeError:  # the class came before the argument
            pass
    else:
        again = optuna.storages.RetryFailedTrialCallback(max_retry=3)
    return optuna.storages.RDBStorage(
        url, heartbeat_interval=1, grace_period=1, failed_trial_callback=again
    )


@pytest.mark.parametrize("whole", [True, False], ids=["robust", "TrialGuard alone"])
def test_a_retry_never_shows_the_cause_of_the_trial_that_died(
    whole: bool, tmp_path: Path, regression: Any
) -> None:
    """RetryHeartbeatStaleTrialCallback copies all attributes, a later version's too."""
    study = optuna.create_study(storage=retrying_storage(f"sqlite:///{tmp_path}/study.db"))

    def dies(trial: Any) -> float:
        trial.set_user_attr("robusttune:of_a_later_version", 1)
        trial.set_user_attr("mine", "kept")
        fit(1e6, regression, trial)
        raise KeyboardInterrupt

    dead = study.ask()
    with pytest.raises((KeyboardInterrupt, TrialFailure)):
        (robust(dies) if whole else dies)(dead)
    assert flat(study.trials[0])[0] == "divergent_learning_rate"
    study._storage.record_heartbeat(dead._trial_id)
    while len(study.trials) < 2:
        time.sleep(0.2)
        optuna.storages.fail_stale_trials(study)
    assert flat(study.trials[1]) == flat(study.trials[0])  # as Optuna copies them

    seen: list[Any] = []

    def good(trial: Any) -> float:
        if not whole:
            fit(0.01, regression, trial)
        seen.append(study.trials[1])
        return 1.0

    study.optimize(robust(good) if whole else good, n_trials=1)
    retried = study.trials[1]
    assert retried.state.name == "COMPLETE"
    for trial in (seen[0], retried):
        assert flat(trial) == (None, None, None)
        assert trial.user_attrs["robusttune:of_a_later_version"] is None
        assert trial.user_attrs["mine"] == "kept"
    dead_one, again = records_of(study)
    assert (dead_one.cause, again.cause) == ("divergent_learning_rate", None)


def test_a_trial_without_confidence_has_null(tmp_path: Path) -> None:
    """An exception of the user's own code has a cause, and no symptom of training."""
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db")

    def objective(trial: Any) -> float:
        raise TrialFailure("these do not go together")

    study.optimize(robust(objective), n_trials=1)
    (record,) = records_of(study)
    assert flat(study.trials[0]) == (record.cause, record.symptom, record.confidence)
    assert record.cause == "unknown"


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""


@pytest.mark.full
def test_the_dashboards_api_has_them(tmp_path: Path, regression: Any) -> None:
    """What its filters and columns are made of: the user attributes of each trial."""
    dashboard = pytest.importorskip("optuna_dashboard")
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db")
    study = optuna.create_study(storage=storage)
    rates = iter([1e6, 0.01])
    study.optimize(robust(lambda trial: fit(next(rates), regression, trial)), n_trials=2)
    server = make_server("127.0.0.1", 0, dashboard.wsgi(storage), handler_class=_Silent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/api/studies/{study._study_id}?after=0"
        with urllib.request.urlopen(url, timeout=30) as answer:
            detail = json.load(answer)
    finally:
        server.shutdown()
        server.server_close()
    shown = [{a["key"]: a["value"] for a in trial["user_attrs"]} for trial in detail["trials"]]
    # Values are texts there: strings as they are or, in earlier versions, as JSON.
    assert shown[0]["robusttune:cause"].strip('"') == "divergent_learning_rate"
    assert shown[0]["robusttune:symptom"].strip('"') == "diverged"
    assert 0.5 < float(shown[0]["robusttune:confidence"]) <= 1
    assert not set(FLAT) & set(shown[1])
    names = {attribute["key"] for attribute in detail["union_user_attrs"]}
    assert set(FLAT) <= names
