"""Why a trial failed (`FailureCause`), how it showed (`Symptom`), and what to do about it."""

from __future__ import annotations

from enum import StrEnum


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


class FailureCause(StrEnum):
    """Why a trial failed. `cause.advice` is one sentence that says what to do.

    Example:
        >>> FailureCause("unsafe_loss").advice.startswith("Bound the loss")
        True
    """

    DIVERGENT_LEARNING_RATE = "divergent_learning_rate"
    UNSCALED_DATA = "unscaled_data"
    UNSAFE_LOSS = "unsafe_loss"
    NON_FINITE_DATA = "non_finite_data"
    LABEL_MISMATCH = "label_mismatch"
    UNSAFE_METRIC = "unsafe_metric"
    BAD_INITIALIZATION = "bad_initialization"
    EXPLODING_GRADIENTS = "exploding_gradients"
    NUMERIC_OVERFLOW = "numeric_overflow"
    VANISHING_GRADIENTS = "vanishing_gradients"
    DEAD_RELU = "dead_relu"
    NO_NONLINEARITY = "no_nonlinearity"
    LEARNING_RATE_TOO_LOW = "learning_rate_too_low"
    INSUFFICIENT_CAPACITY = "insufficient_capacity"
    OUT_OF_MEMORY = "out_of_memory"
    INVALID_MODEL = "invalid_model"
    CODE_ERROR = "code_error"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    UNKNOWN = "unknown"

    @property
    def advice(self) -> str:
        """One sentence that says what to do about this cause."""
        return _ADVICE[self]

    @property
    def depends_on_parameters(self) -> bool | None:
        """Whether other hyperparameters can avoid this cause; None where that cannot be told."""
        if self in _PARAMETER_CAUSED:
            return True
        return False if self in _INDEPENDENT else None


_ADVICE = {
    FailureCause.DIVERGENT_LEARNING_RATE: (
        "Lower the upper bound of the learning rate, by a factor of 10 at first, or warm it up."
    ),
    FailureCause.UNSCALED_DATA: (
        "Standardize the inputs (a Normalization layer, or StandardScaler) and, in regression,"
        " the targets."
    ),
    FailureCause.UNSAFE_LOSS: (
        "Bound the loss away from where it is undefined: add an epsilon to divisors and to the"
        " arguments of log and sqrt, or use the built-in loss."
    ),
    FailureCause.NON_FINITE_DATA: (
        "Drop or impute the rows with NaN or inf before training; robusttune.check_data(x, y)"
        " names them."
    ),
    FailureCause.LABEL_MISMATCH: (
        "Make the labels, the units and activation of the last layer, and the loss agree."
    ),
    FailureCause.UNSAFE_METRIC: (
        "Training is finite and only the objective metric is not: guard its division or logarithm"
        " with an epsilon, or tune on the loss."
    ),
    FailureCause.BAD_INITIALIZATION: (
        "Use a standard initializer (glorot_uniform, he_normal): outputs are huge or non-finite"
        " before the first update."
    ),
    FailureCause.EXPLODING_GRADIENTS: (
        "Clip the gradient norm (global_clipnorm=1.0), and add normalization layers or shorten the"
        " sequences."
    ),
    FailureCause.NUMERIC_OVERFLOW: (
        "Train this part in float32, or in mixed_bfloat16, whose range is that of float32."
    ),
    FailureCause.VANISHING_GRADIENTS: (
        "Use relu-like activations with he_normal, normalization or residual connections: the"
        " gradient dies before it reaches the first layers."
    ),
    FailureCause.DEAD_RELU: (
        "Lower the learning rate, or use leaky_relu or he_normal: most relu units never fire."
    ),
    FailureCause.NO_NONLINEARITY: (
        "Give the hidden layers an activation: stacked linear layers are one linear layer."
    ),
    FailureCause.LEARNING_RATE_TOO_LOW: (
        "Raise the lower bound of the learning rate, or train for more epochs."
    ),
    FailureCause.INSUFFICIENT_CAPACITY: (
        "Give the model more units or layers: it cannot fit even the training data."
    ),
    FailureCause.OUT_OF_MEMORY: (
        "Cap the batch size and the width of the model in the search space."
    ),
    FailureCause.INVALID_MODEL: (
        "Exclude this combination from the search space, or fix the shapes that the model is built"
        " from."
    ),
    FailureCause.CODE_ERROR: (
        "Fix the exception that is named in the error column; where hyperparameters do not go"
        " together, raise keras_tuner.errors.FailedTrialError instead."
    ),
    FailureCause.TIMEOUT: "Raise the time limit, or exclude such slow configurations.",
    FailureCause.CRASHED: (
        "Look for the system's reason (out of memory, a signal) and run trials isolated."
    ),
    FailureCause.UNKNOWN: (
        "No cause could be shown: re-run the trial with robusttune.Guard and look at its evidence."
    ),
}

_PARAMETER_CAUSED = frozenset(
    {
        FailureCause.DIVERGENT_LEARNING_RATE,
        FailureCause.UNSCALED_DATA,
        FailureCause.UNSAFE_LOSS,
        FailureCause.BAD_INITIALIZATION,
        FailureCause.EXPLODING_GRADIENTS,
        FailureCause.NUMERIC_OVERFLOW,
        FailureCause.VANISHING_GRADIENTS,
        FailureCause.DEAD_RELU,
        FailureCause.NO_NONLINEARITY,
        FailureCause.LEARNING_RATE_TOO_LOW,
        FailureCause.INSUFFICIENT_CAPACITY,
        FailureCause.INVALID_MODEL,
    }
)
_INDEPENDENT = frozenset(
    {FailureCause.NON_FINITE_DATA, FailureCause.CODE_ERROR, FailureCause.CRASHED}
)
