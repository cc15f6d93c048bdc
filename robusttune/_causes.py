"""Why a trial failed (`FailureCause`), how it showed (`Symptom`), and what to do about it.

A cause is one member with all that is known of it: whoever adds one has nothing else to change.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Symptom(StrEnum):
    """How a failure showed; `FailureCause` says why it happened."""

    NON_FINITE_LOSS = "non_finite_loss"
    NON_FINITE_GRADIENT = "non_finite_gradient"
    NON_FINITE_WEIGHTS = "non_finite_weights"
    NON_FINITE_OBJECTIVE = "non_finite_objective"
    DIVERGED = "diverged"
    STALLED = "stalled"
    EXCEPTION = "exception"
    TIMEOUT = "timeout"
    CRASHED = "crashed"


class Treatment(StrEnum):
    """A kind of change that a replay of a failing trial may make."""

    LOWER_RATE = "lower learning rate"
    HIGHER_RATE = "higher learning rate"
    STANDARDIZED_DATA = "standardized inputs or targets"
    PLAIN_LOSS = "plain loss of the head"
    STANDARD_INITIALIZATION = "standard initialization"
    FLOAT32 = "float32"
    LESS_REGULARIZATION = "no dropout, noise, penalties or weight decay"


@dataclass(frozen=True, slots=True)
class _Traits:
    """All that is known of a cause; `FailureCause` says what each field means."""

    advice: str
    depends_on_parameters: bool | None = None
    narrowing: bool = False
    structural: bool = False
    ends_search: Literal["data", "code"] | None = None
    proven_by: Treatment | None = None


_NOTHING_KNOWN = _Traits("")


class FailureCause(StrEnum):
    """Why a trial failed. `cause.advice` is one sentence that says what to do.

    Example:
        >>> FailureCause("unsafe_loss").advice.startswith("Bound the loss")
        True
    """

    _traits: _Traits

    def __new__(cls, value: str, traits: _Traits = _NOTHING_KNOWN) -> FailureCause:
        """Make a member of its row; `FailureCause("unsafe_loss")` looks one up."""
        cause = str.__new__(cls, value)
        cause._value_ = value
        cause._traits = traits
        return cause

    DIVERGENT_LEARNING_RATE = (
        "divergent_learning_rate",
        _Traits(
            "Lower the upper bound of the learning rate, by a factor of 10 at first, or"
            " warm it up.",
            depends_on_parameters=True,
            narrowing=True,
            proven_by=Treatment.LOWER_RATE,
        ),
    )
    UNSCALED_DATA = (
        "unscaled_data",
        _Traits(
            "Standardize the inputs (a Normalization layer, or StandardScaler) and, in"
            " regression, the targets.",
            depends_on_parameters=True,
            proven_by=Treatment.STANDARDIZED_DATA,
        ),
    )
    UNSAFE_LOSS = (
        "unsafe_loss",
        _Traits(
            "Keep the loss and the layers away from where they are undefined: add an"
            " epsilon to divisors and to the arguments of log and sqrt, or use a built-in loss.",
            depends_on_parameters=True,
            proven_by=Treatment.PLAIN_LOSS,
        ),
    )
    NON_FINITE_DATA = (
        "non_finite_data",
        _Traits(
            "Drop or impute the rows with NaN or inf before training;"
            " robusttune.check_data(x, y) names them.",
            depends_on_parameters=False,
            ends_search="data",
        ),
    )
    LABEL_MISMATCH = (
        "label_mismatch",
        _Traits(
            "Make the labels, the units and activation of the last layer, and the loss agree.",
            ends_search="data",
            structural=True,
        ),
    )
    UNSAFE_METRIC = (
        "unsafe_metric",
        _Traits(
            "Training is finite and only the objective metric is not: guard its"
            " division or logarithm with an epsilon, or tune on the loss.",
        ),
    )
    BAD_INITIALIZATION = (
        "bad_initialization",
        _Traits(
            "Use a standard initializer (glorot_uniform, he_normal): outputs are huge"
            " or non-finite before the first update.",
            depends_on_parameters=True,
            structural=True,
            proven_by=Treatment.STANDARD_INITIALIZATION,
        ),
    )
    EXPLODING_GRADIENTS = (
        "exploding_gradients",
        _Traits(
            "Clip the gradient norm (global_clipnorm=1.0), and add normalization layers"
            " or shorten the sequences.",
            depends_on_parameters=True,
        ),
    )
    NUMERIC_OVERFLOW = (
        "numeric_overflow",
        _Traits(
            "Train this part in float32, or in mixed_bfloat16, whose range is that of float32.",
            depends_on_parameters=True,
            proven_by=Treatment.FLOAT32,
        ),
    )
    VANISHING_GRADIENTS = (
        "vanishing_gradients",
        _Traits(
            "Use relu-like activations with he_normal, normalization or residual"
            " connections: the gradient dies before it reaches the first layers.",
            depends_on_parameters=True,
            structural=True,
        ),
    )
    DEAD_RELU = (
        "dead_relu",
        _Traits(
            "Lower the learning rate, or use leaky_relu or he_normal: most relu units never fire.",
            depends_on_parameters=True,
            structural=True,
        ),
    )
    NO_NONLINEARITY = (
        "no_nonlinearity",
        _Traits(
            "Give the hidden layers an activation: stacked linear layers are one linear layer.",
            depends_on_parameters=True,
            structural=True,
        ),
    )
    LEARNING_RATE_TOO_LOW = (
        "learning_rate_too_low",
        _Traits(
            "Raise the lower bound of the learning rate, or train for more epochs.",
            depends_on_parameters=True,
            narrowing=True,
            proven_by=Treatment.HIGHER_RATE,
        ),
    )
    INSUFFICIENT_CAPACITY = (
        "insufficient_capacity",
        _Traits(
            "Give the model more units or layers: it cannot fit even the training data.",
            depends_on_parameters=True,
            narrowing=True,
        ),
    )
    OVER_REGULARIZED = (
        "over_regularized",
        _Traits(
            "Lower the upper bounds of dropout, weight decay and noise: regularized so"
            " strongly, the model does not learn even the training data.",
            depends_on_parameters=True,
            narrowing=True,
            proven_by=Treatment.LESS_REGULARIZATION,
        ),
    )
    OUT_OF_MEMORY = (
        "out_of_memory",
        _Traits(
            "Cap the batch size and the width of the model in the search space.",
            narrowing=True,
        ),
    )
    INVALID_MODEL = (
        "invalid_model",
        _Traits(
            "Exclude this combination from the search space, or fix the shapes that the"
            " model is built from.",
            depends_on_parameters=True,
            narrowing=True,
            ends_search="code",
        ),
    )
    CODE_ERROR = (
        "code_error",
        _Traits(
            "Fix the exception that the trial's error names; if only this combination"
            " of hyperparameters fails, exclude it from the search space.",
            depends_on_parameters=False,
            ends_search="code",
        ),
    )
    TIMEOUT = (
        "timeout",
        _Traits(
            "Raise the time limit, or exclude such slow configurations.",
            narrowing=True,
        ),
    )
    CRASHED = (
        "crashed",
        _Traits(
            "Find out why the process died (out of memory, a signal) before you run the trial"
            " again.",
            depends_on_parameters=False,
        ),
    )
    UNKNOWN = (
        "unknown",
        _Traits(
            "No cause was found: re-run the trial with robusttune.Guard and look at its evidence.",
            narrowing=True,
        ),
    )

    @property
    def advice(self) -> str:
        """One sentence that says what to do about this cause."""
        return self._traits.advice

    @property
    def depends_on_parameters(self) -> bool | None:
        """Whether other hyperparameters can avoid this cause; None where that cannot be told."""
        return self._traits.depends_on_parameters

    @property
    def narrowing(self) -> bool:
        """Whether it lies in the range of a hyperparameter; else there is a cure that keeps it."""
        return self._traits.narrowing

    @property
    def structural(self) -> bool:
        """Whether it is in the structure of the model, and not in how that is trained."""
        return self._traits.structural

    @property
    def ends_search(self) -> Literal["data", "code"] | None:
        """The reason for which every trial must fail, whatever its hyperparameters.

        "data", "code" (where the exception is always the same), or None: other trials may succeed.
        """
        return self._traits.ends_search

    @property
    def proven_by(self) -> Treatment | None:
        """The one thing whose change in a replay, if it cures, speaks for this cause; else None."""
        return self._traits.proven_by
