"""Does anything report the objective? Asked before the first trial, and after one without it."""

from __future__ import annotations

import difflib
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras_tuner

from robusttune._causes import FailureCause, Symptom
from robusttune._findings import Findings
from robusttune._keras_tuner.isolated_state import isolated_state
from robusttune.errors import RobustTuneWarning, TrialFailure

_log = logging.getLogger("robusttune.tuners")

MISSING = "missing_objective"  # in the evidence of a record
# Positions in the range of every hyperparameter of two builds that are far apart.
_APART = (0.05, 0.95)


class MissingObjectiveError(TrialFailure):
    """A trial that reported no value of the objective in some epoch."""

    @classmethod
    def of(cls, objective: str, reported: Sequence[str]) -> MissingObjectiveError:
        """Return the error of a trial.

        Args:
            objective: Its name.
            reported: Names of what the fits of the trial reported.
        """
        what, fix = what_is_missing(objective, reported)
        found = Findings(
            symptom=Symptom.EXCEPTION,
            cause=FailureCause.CODE_ERROR,
            confidence=0.99,
            error=f"KeyError: {what}",
            advice=f"The objective {what}: {fix}.",
            evidence={MISSING: {"objective": objective, "reported": list(reported)}},
        )
        return cls(what, findings=found)


def what_is_missing(objective: str, reported: Sequence[str]) -> tuple[str, str]:
    """Say that an objective is not in every epoch of a fit, and what to do."""
    names = ", ".join(reported)
    what = f"{objective!r} is not in every epoch of the fit, which reports {names}"
    validated = any(name.startswith("val_") for name in reported)
    if objective in reported:
        return what, "validate in every epoch, without validation_freq"
    if objective.startswith("val_") and not validated:
        return what, "pass validation_data or validation_split to search(), or tune on the loss"
    near = _nearest(objective, reported)
    best = f", as by objective=keras_tuner.Objective({near!r}, 'min' or 'max')" if near else ""
    return what, f"choose one of these{best}, or add the metric to compile()"


def _nearest(objective: str, reported: Sequence[str]) -> str | None:
    """Return what was probably meant: the metric of an output, or a name that is spelled alike."""
    prefix = "val_" if objective.startswith("val_") else ""
    base = objective.removeprefix("val_")
    alike = [name for name in reported if name.startswith(prefix)]
    of_outputs = [name for name in alike if name.endswith(f"_{base}")]
    return next(iter([*of_outputs, *difflib.get_close_matches(objective, alike, n=1)]), None)


def objective_names(objective: Any) -> list[str]:
    """Return the names of all metrics that an objective is made of."""
    parts = getattr(objective, "objectives", None) or [objective]
    return [str(part.name) for part in parts]


def warn_of_missing_objective(
    tuner: Any, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]
) -> None:
    """Warn before the first trial where nothing seems to report the objective."""
    if not is_keras_tuners_fit(tuner):
        return
    names = objective_names(tuner.oracle.objective)
    validated = fit_kwargs.get("validation_data") is not None or len(fit_args) > 7
    validated = validated or bool(fit_kwargs.get("validation_split"))
    lost = [name for name in names if name.startswith("val_")]
    if lost and not validated:
        warnings.warn(
            f"The objective {lost[0]!r} needs validation data, and search() got none: pass"
            " validation_data or validation_split.",
            RobustTuneWarning,
            stacklevel=4,
        )
        return
    bases = [name.removeprefix("val_") for name in names]
    if all(base.endswith("loss") for base in bases):
        return
    metrics = _metrics(tuner, 0.5)
    unknown = [b for b in bases if metrics is not None and not _is_reported(b, metrics)]
    if metrics is not None and unknown:
        told = ", ".join(["loss", *metrics])
        warnings.warn(
            f"The objective {unknown[0]!r} is not among the metrics of the compiled model ({told}),"
            " unless a callback adds it.",
            RobustTuneWarning,
            stacklevel=4,
        )


def is_keras_tuners_fit(tuner: Any) -> bool:
    """Whether Keras Tuner itself fits, so that no code of the user's can report anything else."""
    fits = keras_tuner.Tuner
    plain = isinstance(tuner, fits) and type(tuner).run_trial is fits.run_trial
    hypermodel: Any = getattr(tuner, "hypermodel", None)
    return plain and getattr(type(hypermodel), "fit", None) is keras_tuner.HyperModel.fit


def cannot_report_objective(tuner: Any) -> bool:
    """Whether no hyperparameter changes what is reported: two far-apart builds compile alike."""
    if not is_keras_tuners_fit(tuner):
        return False
    one, other = (_metrics(tuner, position) for position in _APART)
    return one is not None and one == other


def _metrics(tuner: Any, position: float) -> list[str] | None:
    """Return the metrics that a build compiles with; None where that cannot be told.

    Args:
        tuner: The tuner.
        position: Where in the range of every hyperparameter, 0..1.
    """
    trial = tuner.oracle.get_space().copy()
    try:
        for hp in trial.space:
            if trial.is_active(hp):
                trial.values[hp.name] = hp.prob_to_value(position)
        with isolated_state():
            config = tuner.hypermodel.build(trial).get_compile_config() or {}
    except Exception:  # the user's code; the trials will tell
        _log.debug("the metrics of the model are unknown", exc_info=True)
        return None
    return [*_names(config.get("metrics")), *_names(config.get("weighted_metrics"))]


def _names(metrics: Any) -> Iterator[str]:
    if isinstance(metrics, str):
        yield metrics
    elif isinstance(metrics, Mapping) and "class_name" in metrics:
        config = metrics.get("config")
        name = config.get("name") if isinstance(config, Mapping) else config
        yield str(name)
    elif isinstance(metrics, (Mapping, list, tuple)):
        for item in metrics.values() if isinstance(metrics, Mapping) else metrics:
            yield from _names(item)


def _is_reported(name: str, metrics: Sequence[str]) -> bool:
    """Whether a metric has this name, maybe behind that of an output or before a number."""
    return any(re.fullmatch(rf"(.+_)?{re.escape(metric)}(_\d+)?", name) for metric in metrics)
