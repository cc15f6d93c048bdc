"""What the Keras fits of a study have, as TrialGuard notes it for the failure prior."""

from __future__ import annotations

import json
import logging
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.trial import BaseTrial, FrozenTrial

from robusttune._diagnosis.trace import FitTrace
from robusttune._learning import PriorAdvice, shipped
from robusttune._records import one_line
from robusttune._space.fits import Fit, FitReader, fit_of_data, fit_of_model, roles_in
from robusttune._space.parameters import Parameter
from robusttune.optuna._stored_names import FIT_KEY

_log = logging.getLogger("robusttune.optuna")

_LATEST = 5  # fits that are looked at
_ALIKE = 1.5  # numbers of several fits, of other batches, are the same up to this ratio


def note_fit(trial: BaseTrial, model: Any, trace: FitTrace | None, epochs: int | None) -> None:
    """Store with a trial what its fit has; null where that is of another kind than is known."""
    try:
        fit = _fit_of(model, trace, epochs)
    except Exception as error:  # a model of the user's own that does not say what it is made of
        _log.debug("what a fit has cannot be read: %s", one_line(repr(error)))
        fit = None
    trial.set_user_attr(FIT_KEY, json.dumps(fit))


def _fit_of(model: Any, trace: FitTrace | None, epochs: int | None) -> Fit | None:
    fit = fit_of_model(model)
    if fit is not None and trace is not None and trace.first_batches:
        fit.pop("rate")
        batches = trace.first_batches
        fit |= fit_of_data(
            _joined([b.x for b in batches]), _joined([b.y for b in batches]), fit["loss"]
        )
        if "columns" in fit:
            fit["batch_size"] = len(batches[0].x)
            if epochs and trace.steps_per_epoch:
                fit |= {"epochs": epochs, "steps_per_epoch": trace.steps_per_epoch}
    return fit


def advice_of(parameters: Sequence[Parameter], trials: Sequence[FrozenTrial]) -> PriorAdvice | None:
    """Return what the failure prior says of a study.

    Args:
        parameters: Its hyperparameters, as far as known.
        trials: Its finished trials.

    Returns:
        None where fits are of a kind that is not known: nothing says which optimizer there is, or
        whether a fit is of a multilayer perceptron once there was one.
    """
    roles = roles_in(parameters)
    if list(roles.values()).count("learning_rate") != 1:
        return None
    noted = [trial.user_attrs[FIT_KEY] for trial in trials if FIT_KEY in trial.user_attrs]
    fixed = _shared([json.loads(text) for text in noted[-_LATEST:]])
    if fixed is None:
        return None
    epochs, steps = fixed.pop("epochs", None), fixed.pop("steps_per_epoch", None)
    set_here = set(roles.values())
    rows = steps * fixed["batch_size"] if steps and "batch_size" in fixed else None
    fixed = {name: value for name, value in fixed.items() if name not in set_here}
    if "optimizer" not in set_here and "optimizer" not in fixed:
        return None
    return PriorAdvice(shipped(), FitReader(roles, fixed, rows=rows, epochs=epochs))


def _shared(fits: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """Return what fits have in common; None where one is of another kind."""
    if any(fit is None for fit in fits):
        return None
    known = [fit for fit in fits if fit is not None]
    shared: dict[str, Any] = {}
    for name in known[0] if known else ():
        values: list[Any] = [fit.get(name) for fit in known]
        if all(value == values[0] for value in values):
            shared[name] = values[0]
        elif name.endswith("scale") and _are_alike(values):
            shared[name] = statistics.median(values)
    return shared


def _are_alike(values: Sequence[Any]) -> bool:
    numbers = [value for value in values if isinstance(value, (int, float)) and value > 0]
    return len(numbers) == len(values) and max(numbers) <= _ALIKE * min(numbers)


def _joined(parts: Sequence[Any]) -> Any:
    """Return batches as one array; None where they are none."""
    if any(getattr(part, "shape", None) is None for part in parts):
        return None
    try:
        return np.concatenate([np.asarray(part) for part in parts])
    except ValueError:
        return None
