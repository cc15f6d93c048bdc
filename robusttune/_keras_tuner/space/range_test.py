"""A learning-rate range test on the user's own data, before the first trial.

Source: Smith 2017, "Cyclical learning rates for training neural networks", arXiv 1506.01186: the
learning rate grows with each step of one short fit, until the loss blows up.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import keras_tuner
import numpy as np

from robusttune._keras_tuner.isolated_state import isolated_state
from robusttune._keras_tuner.space.build_probe import point
from robusttune._keras_tuner.space.sanitizer import SpaceSanitizer, neutral
from robusttune._records import one_line
from robusttune._space.notices import warn
from robusttune._space.parameters import Adjustment, Choice, Parameter
from robusttune._space.roles import Role, is_number

_log = logging.getLogger("robusttune.tuners")

_CONFIGURATIONS = 4  # points of the search space that are tested, for each learning rate
_STEPS = 100  # training steps of one test, from the lowest rate to the highest
# The loss blew up when its running mean is this many times its lowest: where fastai's learning-rate
# finder stops (Howard & Gugger 2020, arXiv 2002.04688).
_BLOWN_UP = 4.0
_SMOOTHING = 0.8
_FIT_ARGUMENTS = ("x", "y", "batch_size", "sample_weight", "class_weight", "steps_per_epoch")


@dataclass(frozen=True, slots=True)
class RangeTest:
    """Result of one learning-rate range test.

    Args:
        survived: Highest learning rate before the loss blew up, or the highest that was tried.
        failed: The rate at which it did; None: it never did.
    """

    survived: float
    failed: float | None


def probe_learning_rates(
    sanitizer: SpaceSanitizer,
    hyperparameters: keras_tuner.HyperParameters,
    build: Any,
    fit_args: Sequence[Any],
    fit_kwargs: Mapping[str, Any],
) -> list[Adjustment]:
    """Cap the learning rates of a search at what its models stand on its data.

    Each learning rate that a model shows is tested at a few points of the search space. Its cap
    is a multiple of the highest rate that survived at any of these points. It stays as it is where
    nothing blew up, where the time ran out before, and where the data can be read only once.

    Args:
        sanitizer: The sanitizer of the search, which applies and keeps the adjustments.
        hyperparameters: Those of the oracle, after they were sanitized.
        build: The hypermodel's build function.
        fit_args: Positional arguments of `search`.
        fit_kwargs: Keyword arguments of `search`; what does not concern the training is left out.

    Returns:
        The adjustments that were made.
    """
    arguments = _training_arguments(fit_args, fit_kwargs)
    if arguments is None:
        warn("no learning-rate range test: the training data can be read only once.")
        return []
    deadline = time.perf_counter() + sanitizer.policy.probe_seconds
    made: list[Adjustment] = []
    for hp in list(hyperparameters.space):
        parameter = neutral(hp)
        if parameter is None or sanitizer.shown_role(hyperparameters, hp) is not Role.LEARNING_RATE:
            continue
        tests = [
            test
            for seed in range(1, _CONFIGURATIONS + 1)
            if (test := _test(hyperparameters, hp, parameter, build, arguments, seed, deadline))
        ]
        for test in tests:
            blown = "never failed" if test.failed is None else f"failed at {test.failed:.2g}"
            _log.info("%s: survived %.2g, %s", parameter.name, test.survived, blown)
        if not tests:
            warn(f"{parameter.name}: the learning-rate range test could not be finished.")
        elif all(test.failed is not None for test in tests):
            survived = max(test.survived for test in tests)
            made.extend(sanitizer.cap_learning_rate(hyperparameters, hp, survived))
    return made


def _test(
    hyperparameters: keras_tuner.HyperParameters,
    hp: Any,
    parameter: Parameter,
    build: Any,
    arguments: Mapping[str, Any],
    seed: int,
    deadline: float,
) -> RangeTest | None:
    """Return one range test at a point that the seed gives; None: it could not be finished."""
    rates = _rates(parameter)
    if len(rates) < 2 or time.perf_counter() >= deadline:
        return None
    sweep = RateSweep(rates, deadline)
    try:
        with isolated_state():
            keras.utils.set_random_seed(seed)
            trial = point(
                hyperparameters,
                hp,
                {parameter.name: hp.default},
                fill=lambda other: other.random_sample(seed),
            )
            model = build(trial)
            model.fit(**arguments, epochs=len(rates), verbose=0, callbacks=[sweep])
    except Exception as error:  # a model that cannot be fitted here shows nothing
        _log.info("a range test of %s failed: %s", parameter.name, one_line(repr(error)))
        return None
    return sweep.result


class RateSweep(keras.callbacks.Callback):  # type: ignore[misc,unused-ignore]
    """Raises the learning rate with each step, and stops the fit when its loss blows up.

    Args:
        rates: The learning rate of each step, growing.
        deadline: When to stop, in seconds of time.perf_counter().

    Attributes:
        result: None until the loss has blown up, or the last rate was tried.
    """

    def __init__(self, rates: Sequence[float], deadline: float) -> None:
        super().__init__()
        self.rates = rates
        self.deadline = deadline
        self.step = 0
        self.smoothed = 0.0
        self.lowest = math.inf
        self.result: RangeTest | None = None

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Set the rate of the step, and forget the losses of the steps before."""
        self.model.reset_metrics()
        self.model.optimizer.learning_rate = self.rates[self.step]

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Look at the loss: that of a step shows what the rates before it did."""
        loss = float((logs or {}).get("loss", math.nan))
        self.smoothed = _SMOOTHING * self.smoothed + (1 - _SMOOTHING) * loss
        level = self.smoothed / (1 - _SMOOTHING ** (self.step + 1))
        self.lowest = min(self.lowest, level)
        if not level <= _BLOWN_UP * self.lowest:  # also where it is NaN
            tried = max(self.step - 1, 0)
            self.result = RangeTest(self.rates[max(tried - 1, 0)], self.rates[tried])
        elif self.step == len(self.rates) - 1:
            self.result = RangeTest(self.rates[-1], None)
        self.step += 1
        if self.result is not None or time.perf_counter() >= self.deadline:
            self.model.stop_training = True


def _rates(parameter: Parameter) -> list[float]:
    """Return the rates of one test, from the lowest of the space to the highest."""
    if isinstance(parameter, Choice):
        numbers = sorted(float(value) for value in parameter.choices if is_number(value))
        low, high = (numbers[0], numbers[-1]) if numbers else (0.0, 0.0)
    else:
        low, high = float(parameter.low), float(parameter.high)
    low = max(low, high * 1e-6)
    return [] if not 0 < low < high else [float(rate) for rate in np.geomspace(low, high, _STEPS)]


def _training_arguments(
    fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return what `fit` needs to train; None where the data can be read only once."""
    named = dict(zip(("x", "y", "batch_size"), fit_args, strict=False)) | dict(fit_kwargs)
    arguments = {name: named[name] for name in _FIT_ARGUMENTS if name in named}
    x = arguments.get("x")
    once = x is None or (hasattr(x, "__next__") and not hasattr(x, "shape"))
    return None if once else arguments
