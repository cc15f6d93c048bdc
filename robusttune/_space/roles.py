"""Roles of hyperparameters (`Role`), the values that each allows, and the names that imply it."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeGuard

from robusttune._space.parameters import Choice, Int, Parameter


class Role(StrEnum):
    """Part of the model or its training that a hyperparameter sets."""

    LEARNING_RATE = "learning rate"
    MOMENTUM = "momentum"
    BETA = "moment decay rate"
    EPSILON = "epsilon"
    WEIGHT_DECAY = "weight decay"
    CLIP = "gradient clip"
    DROPOUT = "dropout rate"
    UNITS = "number of units"
    KERNEL_SIZE = "kernel size"
    INIT_SCALE = "initializer scale"
    BATCH_SIZE = "batch size"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which values a role can have.

    Args:
        low: Smallest value that works; None: no limit.
        low_works: Whether `low` itself works.
        floor: What takes the place of a bound below that.
        high: Largest value that works; None: no limit.
        high_works: Whether `high` itself works.
        ceiling: What takes the place of a bound above that.
        scale: Whether orders of magnitude matter, so that a range of several decades is sampled in
            the logarithm.
        real: Whether it has to be a float, even if it is a whole number.
        why_low: Reason given for a raised lower bound.
        why_high: Reason given for a lowered upper bound.
    """

    low: float | None = None
    low_works: bool = True
    floor: float = 0.0
    high: float | None = None
    high_works: bool = True
    ceiling: float = 1.0
    scale: bool = False
    real: bool = False
    why_low: str = ""
    why_high: str = ""

    def below(self, value: float) -> bool:
        """Return whether the value is too small to work."""
        return self.low is not None and (
            value < self.low or (value == self.low and not self.low_works)
        )

    def above(self, value: float) -> bool:
        """Return whether the value is too large to work."""
        return self.high is not None and (
            value > self.high or (value == self.high and not self.high_works)
        )

    def allows(self, value: float) -> bool:
        """Return whether the value works."""
        return not self.below(value) and not self.above(value)


# Largest learning rate that is left in a range, per optimizer. One step of an optimizer that
# divides by the gradient's own size moves each weight by about the learning rate (Kingma & Ba 2015,
# section 2.1), and initial weights are well below 1. For plain gradient descent on standardized
# inputs, typical rates are less than 1 and greater than 1e-6 (Bengio 2012, arXiv 1206.5533, section
# 3.1.1); super-convergence goes to 3 (Smith & Topin 2017, arXiv 1708.07120). Measured on six models
# (benchmarks/learning_rate_caps.py): above 1, Adam trained a linear regression only, and RMSprop,
# Nadam and Lion nothing; at 10, SGD trained nothing.
LEARNING_RATE_CAPS = {
    "adam": 1.0,
    "adamw": 1.0,
    "adamax": 1.0,
    "nadam": 1.0,
    "rmsprop": 1.0,
    "lion": 1.0,
}
LEARNING_RATE_CAP = 10.0  # any other optimizer, or one that is not known

# A range test (Smith 2017, arXiv 1506.01186) caps the range at this many times the highest rate
# that survived: other configurations than those that were tested may stand a little more.
SURVIVED_MARGIN = 3.0

# A lower bound of 0 becomes this, or a thousandth of the upper bound where that is less: inside the
# interval (1e-6, 1) of Bengio 2012, section 3.1.1.
LEARNING_RATE_FLOOR = 1e-5

_AT_LEAST_ONE = Rule(low=1, floor=1, why_low="it must be at least 1")

RULES = {
    Role.LEARNING_RATE: Rule(
        low=0.0,
        low_works=False,
        floor=LEARNING_RATE_FLOOR,
        high=LEARNING_RATE_CAP,
        ceiling=LEARNING_RATE_CAP,
        scale=True,
        real=True,  # Keras refuses an integer
        why_low="a learning rate of 0 or less does not train",
    ),
    # Largest momentum in Sutskever et al. 2013, section 3: 0.999.
    Role.MOMENTUM: Rule(
        low=0.0,
        high=1.0,
        high_works=False,
        ceiling=0.999,
        why_low="momentum cannot be negative",
        why_high="with a momentum of 1 or more past gradients never fade",
    ),
    # Largest value searched in Kingma & Ba 2015, section 6.4: 0.9999; at 1 the bias correction
    # divides by zero.
    Role.BETA: Rule(
        low=0.0,
        high=1.0,
        high_works=False,
        ceiling=0.9999,
        why_low="a moment decay rate cannot be negative",
        why_high="a moment decay rate must be less than 1: the optimizer divides by 1 - beta",
    ),
    # The default of Kingma & Ba 2015.
    Role.EPSILON: Rule(
        low=0.0,
        low_works=False,
        floor=1e-8,
        scale=True,
        why_low="an epsilon of 0 or less allows a division by zero",
    ),
    Role.WEIGHT_DECAY: Rule(
        low=0.0, scale=True, why_low="a negative penalty rewards growing weights"
    ),
    Role.CLIP: Rule(low=0.0, why_low="a clip norm cannot be negative"),
    # Largest rate in Srivastava et al. 2014, section 7.3: 0.9 (they retain 0.1).
    Role.DROPOUT: Rule(
        low=0.0,
        high=1.0,
        high_works=False,
        ceiling=0.9,
        why_low="a dropout rate cannot be negative",
        why_high="a dropout rate of 1 drops every unit",
    ),
    Role.UNITS: _AT_LEAST_ONE,
    Role.KERNEL_SIZE: _AT_LEAST_ONE,
    Role.INIT_SCALE: Rule(low=0.0, why_low="a scale cannot be negative"),
    Role.BATCH_SIZE: _AT_LEAST_ONE,
}


def rule_for(
    role: Role | None,
    *,
    optimizers: Collection[str] = (),
    survived: float | None = None,
    samples: int | None = None,
) -> Rule:
    """Return the rule of a role, given what is known of the training.

    Args:
        role: None: nothing is known of the parameter, any finite value works.
        optimizers: Names of the optimizer classes that the search can use; empty: not known.
        survived: Highest learning rate that survived a range test; None: there was none.
        samples: Rows of training data; None: not known.
    """
    if role is None:
        return Rule()
    rule = RULES[role]
    if role is Role.LEARNING_RATE:
        names = {name.lower() for name in optimizers}
        caps = [LEARNING_RATE_CAPS.get(name, LEARNING_RATE_CAP) for name in names]
        cap = max(caps, default=LEARNING_RATE_CAP)
        whose = f" with {', '.join(sorted(names))}" if names else ""
        why = f"a learning rate above {cap:g} practically never trains{whose}"
        if survived is not None and survived * SURVIVED_MARGIN < cap:
            cap = survived * SURVIVED_MARGIN
            why = (
                f"{survived:.2g} was the highest rate that survived a range test, and"
                f" {SURVIVED_MARGIN:g} times that is the cap"
            )
        return replace(rule, high=cap, ceiling=cap, why_high=why)
    if role is Role.BATCH_SIZE and samples is not None and samples >= 1:
        return replace(
            rule,
            high=samples,
            ceiling=samples,
            why_high=f"there are {samples} samples, so that larger batches are all the same",
        )
    return rule


# Words that make a name mean something else than the role that it also names: an exponent, a
# factor, a switch, a schedule, a count.
_NOT_DIRECT = frozenset(
    {
        *("log", "log10", "ln", "exp", "exponent", "power", "pow", "neg"),
        *("decay", "drop", "gamma", "factor", "scale", "mult", "multiplier", "ratio"),
        *("patience", "schedule", "scheduler", "warmup", "step", "steps"),
        *("type", "kind", "use", "has", "is", "with", "bool", "boolean", "keep"),
        *("idx", "index", "min", "max", "n", "num", "number", "count", "layers", "range"),
        *("percent", "pct"),
    }
)
_OPTIMIZER_WORDS = frozenset(
    {
        *("optimizer", "optim", "opt", "adam", "adamw", "adamax", "nadam", "rmsprop"),
        *("adagrad", "adadelta", "norm", "bn", "batchnorm", "layernorm", "normalization"),
    }
)
_PENALTY_WORDS = frozenset(
    {"reg", "regularization", "regularizer", "penalty", "lambda", "strength", "kernel"}
)
# What a learning rate's name may end with: the part of the model, or the optimizer, that it is for.
# In "lr_C" the lr is a logistic regression.
_PARTS = (
    r"\d+|init|initial|base|start|head|body|backbone|encoder|decoder|embedding|emb|gen|generator|disc"
    r"|discriminator|actor|critic|policy|value|g|d|l\d+|layer\d*|net|model|opt|optim|optimizer|adamw?"
    r"|adamax|nadam|sgd|rmsprop|adagrad|adadelta"
)
_PERCENT = 10.0  # a "dropout" range that reaches this far is in percent


def role_by_name(parameter: Parameter) -> Role | None:
    """Return the role that the name of a parameter tells, or None where it could be something else.

    This is the fallback where a model cannot be asked, so it is careful: exponents (`log_lr`, or
    rates from -5 to -1), percentages, counts and switches have no role, and neither has a number of
    units from 0, which often means that the layer is left out.

    Example:
        >>> from robusttune._space import Float
        >>> role_by_name(Float("optimizer/learning_rate", 0.0, 10.0))
        <Role.LEARNING_RATE: 'learning rate'>
        >>> role_by_name(Float("log_lr", -5.0, -1.0)) is None
        True
    """
    words = _words(parameter.name)
    joined = "_".join(words)
    extent = _extent(parameter)
    if extent is None:
        return None
    low, high = extent
    whole = _is_whole(parameter)
    indirect = _NOT_DIRECT.intersection(words)

    def has(*names: str) -> bool:
        return any(re.search(rf"(^|_){name}(_|$)", joined) for name in names)

    if whole:
        if has("batch_size", "batchsize"):
            return Role.BATCH_SIZE
        if has("units", "neurons", "filters", "hidden_dim", "hidden_size") and low != 0:
            return Role.UNITS
        if has("kernel_size", "pool_size") and low != 0:
            return Role.KERNEL_SIZE
        return None
    if has("weight_decay"):
        return None if indirect - {"decay"} else Role.WEIGHT_DECAY
    if has("l1", "l2") and (len(words) == 1 or _PENALTY_WORDS.intersection(words)):
        return None if indirect or low < 0 else Role.WEIGHT_DECAY
    if has("dropout", "dropout_rate", "drop_rate"):
        return None if indirect - {"drop"} or high >= _PERCENT else Role.DROPOUT
    if has("clipnorm", "clip_norm", "clipvalue", "clip_value", "global_clipnorm", "grad_clip"):
        return None if indirect else Role.CLIP
    if indirect:
        return None
    if re.search(rf"(^|_)(lr|learning_rate|learningrate)(_({_PARTS}))*$", joined):
        exponent = high <= 0 or low <= -1
        return None if exponent or low >= 1 else Role.LEARNING_RATE
    if re.search(r"(^|_)momentum(_\d+)*$", joined) and high < _PERCENT:
        return Role.MOMENTUM
    if has("beta_[12]", "beta[12]") and high <= 1:
        return Role.BETA
    if has("epsilon", "eps") and _OPTIMIZER_WORDS.intersection(words):
        return Role.EPSILON
    return None


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return [word for word in re.split(r"[^A-Za-z0-9]+", spaced.lower()) if word]


def _extent(parameter: Parameter) -> tuple[float, float] | None:
    """Return the smallest and largest number; None: there is none. Unknown ends are 0 and 1."""
    if isinstance(parameter, Choice):
        numbers = [value for value in parameter.choices if is_number(value)]
        if not numbers:
            return None
        finite = [number for number in numbers if math.isfinite(number)]
        return min(finite, default=0.0), max(finite, default=1.0)
    low = parameter.low if math.isfinite(parameter.low) else 0.0
    high = parameter.high if math.isfinite(parameter.high) else 1.0
    return min(low, high), max(low, high)


def _is_whole(parameter: Parameter) -> bool:
    if isinstance(parameter, Choice):
        return all(isinstance(v, int) for v in parameter.choices if is_number(v))
    return isinstance(parameter, Int)


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a choice is a number; a bool is a switch and not one."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
