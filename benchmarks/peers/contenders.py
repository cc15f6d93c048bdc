"""The contenders: Keras Tuner, Optuna and robusttune, as somebody who knows them uses them.

All get the same space, data, seed, trials and epochs. "Hardened" is what the hosts offer against
NaN: TerminateOnNaN and no limit of failing trials in Keras Tuner, TerminateOnNaN and
KerasPruningCallback with the median pruner in Optuna.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import keras_tuner
import optuna
from optuna_integration import KerasPruningCallback

import robusttune
from benchmarks.peers.log import EpochLog, SearchLog
from benchmarks.peers.problems import Data, Problem
from robusttune.optuna import CrashAwareSampler, TrialGuard, robust


@dataclass(frozen=True)
class Budget:
    """What every search may use."""

    trials: int
    epochs: int


@dataclass(frozen=True)
class Contender:
    """One way to search.

    Args:
        name: What the tables call it.
        host: "Keras Tuner" or "Optuna".
        search: Runs a search and writes it into the log.
        reference: Whether the picture measures the others of its host by it: the peer that runs
            all its trials.
    """

    name: str
    host: str
    search: Callable[[Problem, Data, int, Budget, SearchLog], None]
    reference: bool = False


@dataclass(frozen=True)
class Search:
    """A search that was run: its log, and what ended it early (None: nothing did)."""

    log: SearchLog
    error: str | None


def run(contender: Contender, problem: Problem, seed: int, budget: Budget) -> Search:
    """Run one search."""
    data = problem.data(seed)
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    error = None
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")
        log = SearchLog(problem.objective)
        try:
            contender.search(problem, data, seed, budget, log)
        except RuntimeError as stopped:  # Keras Tuner's end after consecutive failures
            error = str(stopped).strip().splitlines()[0]
    return Search(log, error)


@contextlib.contextmanager
def _quiet() -> Any:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logger = logging.getLogger("robusttune")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


class _KerasTunerSpace:
    def __init__(self, hp: keras_tuner.HyperParameters) -> None:
        self.hp = hp

    def number(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return float(self.hp.Float(name, low, high, sampling="log" if log else "linear"))

    def whole(self, name: str, low: int, high: int, step: int = 1) -> int:
        return int(self.hp.Int(name, low, high, step=step))

    def choice(self, name: str, options: Sequence[Any]) -> Any:
        return self.hp.Choice(name, list(options))


class _OptunaSpace:
    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial

    def number(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return self.trial.suggest_float(name, low, high, log=log)

    def whole(self, name: str, low: int, high: int, step: int = 1) -> int:
        return self.trial.suggest_int(name, low, high, step=step)

    def choice(self, name: str, options: Sequence[Any]) -> Any:
        return self.trial.suggest_categorical(name, list(options))


def keras_tuner_search(
    tuner_class: Any, callbacks: Callable[[], list[Any]] = list, **options: Any
) -> Callable[[Problem, Data, int, Budget, SearchLog], None]:
    """Return a search with a class of tuners."""

    class Logged(tuner_class):  # type: ignore[misc]
        log: SearchLog

        def on_trial_end(self, trial: Any) -> None:
            try:
                super().on_trial_end(trial)
            finally:
                self.log.end_trial(trial.score)

    def search(problem: Problem, data: Data, seed: int, budget: Budget, log: SearchLog) -> None:
        with tempfile.TemporaryDirectory() as directory:
            tuner = Logged(
                lambda hp: problem.build(_KerasTunerSpace(hp), data),
                objective=keras_tuner.Objective(problem.objective, "min"),
                max_trials=budget.trials,
                seed=seed,
                directory=directory,
                **options,
            )
            tuner.log = log
            tuner.search(
                data.x,
                data.y,
                validation_data=(data.x_val, data.y_val),
                batch_size=problem.batch,
                epochs=budget.epochs,
                callbacks=[EpochLog(log), *callbacks()],
                verbose=0,
            )

    return search


def optuna_search(
    callbacks: Callable[[optuna.Trial, str], list[Any]],
    *,
    prunes: bool = False,
    crash_aware: bool = False,
    policy: robusttune.Policy | None = None,
) -> Callable[[Problem, Data, int, Budget, SearchLog], None]:
    """Return a search with TPE, with or without median pruning and robusttune."""

    def search(problem: Problem, data: Data, seed: int, budget: Budget, log: SearchLog) -> None:
        def objective(trial: optuna.Trial) -> float:
            model = problem.build(_OptunaSpace(trial), data)
            history = model.fit(
                data.x,
                data.y,
                validation_data=(data.x_val, data.y_val),
                batch_size=problem.batch,
                epochs=budget.epochs,
                callbacks=[*callbacks(trial, problem.objective), EpochLog(log)],
                verbose=0,
            )
            return float(min(history.history[problem.objective]))

        def note(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            pruned = trial.state is optuna.trial.TrialState.PRUNED
            log.end_trial(None if pruned else trial.value, pruned=pruned)

        sampler = optuna.samplers.TPESampler(seed=seed)
        pruner = optuna.pruners.MedianPruner() if prunes else optuna.pruners.NopPruner()
        study = optuna.create_study(
            sampler=CrashAwareSampler(sampler, policy=policy) if crash_aware else sampler,
            pruner=pruner,
        )
        study.optimize(
            robust(objective, policy=policy) if crash_aware else objective,
            n_trials=budget.trials,
            callbacks=[note],
        )

    return search


def hardened() -> list[Any]:
    """Return the callback against NaN that Keras has."""
    return [keras.callbacks.TerminateOnNaN()]


CONTENDERS = [
    Contender("Keras Tuner", "Keras Tuner", keras_tuner_search(keras_tuner.RandomSearch)),
    Contender(
        "Keras Tuner, hardened",
        "Keras Tuner",
        keras_tuner_search(keras_tuner.RandomSearch, hardened, max_consecutive_failed_trials=None),
        reference=True,
    ),
    Contender(
        "Keras Tuner with robusttune", "Keras Tuner", keras_tuner_search(robusttune.RandomSearch)
    ),
    Contender("Optuna", "Optuna", optuna_search(lambda trial, name: []), reference=True),
    Contender(
        "Optuna, hardened",
        "Optuna",
        optuna_search(
            lambda trial, name: [*hardened(), KerasPruningCallback(trial, name)],
            prunes=True,
        ),
    ),
    Contender(
        "Optuna with robusttune",
        "Optuna",
        optuna_search(
            lambda trial, name: [TrialGuard(trial), KerasPruningCallback(trial, name)],
            prunes=True,
            crash_aware=True,
        ),
    ),
]
