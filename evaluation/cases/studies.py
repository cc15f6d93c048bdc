"""Cases with Optuna: an objective that raises, and one whose model becomes NaN."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import optuna

import robusttune
from evaluation.cases.models import TRIALS, X, Y, network
from evaluation.cases.search import EPOCHS
from robusttune.optuna import TrialGuard, robust


def optuna_exception(side: str, folder: Path) -> str:
    """An objective that raises in its first trials."""

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
        if trial.number < 3:
            raise ValueError("Input 0 of layer dense is incompatible with the layer")
        return rate

    return _study(side, objective)


def optuna_nan(side: str, folder: Path) -> str:
    """An objective whose model becomes NaN."""

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("unused", 0.0, 1.0)
        model = network(keras.optimizers.SGD(100.0 if trial.number < 3 else 0.01))
        guards = [TrialGuard(trial)] if side == "robust" else []
        fit = model.fit(X, Y, batch_size=16, epochs=EPOCHS, verbose=0, callbacks=guards)
        loss: float = fit.history["loss"][-1]
        return loss

    return _study(side, objective)


def _study(side: str, objective: Callable[[Any], float]) -> str:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    error: Exception | None = None
    try:
        study.optimize(robust(objective) if side == "robust" else objective, n_trials=TRIALS)
    except Exception as caught:  # what the table shows
        error = caught
    states = Counter(trial.state.name for trial in study.trials)
    stored = [t.user_attrs.get("robusttune:record") for t in study.trials if t.state.name == "FAIL"]
    ended = f"{len(study.trials)} of {TRIALS} trials"
    text = f"**{type(error).__name__}** after {ended}" if error is not None else ended
    text += f", {states['FAIL']} FAIL"
    if not any(stored):
        return f"{text}, no reason is stored"
    causes = Counter(robusttune.TrialRecord.from_json(r).cause for r in stored if r)
    return f"{text}: " + ", ".join(f"{cause} ({n})" for cause, n in causes.items())
