"""From an exception to its cause: shapes, memory, labels, data; everything else is a code error."""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from robusttune.causes import FailureCause
from robusttune.records import error_line, text_of

_MEMORY = re.compile(
    r"\bOOM\b|out of memory|failed to allocate|unable to allocate|cannot allocate memory"
    r"|ResourceExhausted|std::bad_alloc",
    re.IGNORECASE,
)
_NUMERICS = re.compile(
    r"CheckNumerics|check_numerics|had (NaN|Inf)|Tensor had|FloatingPointError", re.IGNORECASE
)
_DATA = re.compile(
    r"\b(input|X|y)\b[^.]{0,40}contains? (NaN|infinity)|value too large for dtype|contains NaN",
    re.IGNORECASE,
)
_LABELS = re.compile(
    r"label value of -?\d+ which is outside the valid range"
    r"|`?logits`? and `?labels`? must have the same"
    r"|arguments `target` and `output` must have the same"
    r"|argument `output` must (have|be)"
    r"|`target` and `output`"
    r"|unknown label type|labels? (are|is) (not|out)"
    r"|y_true and y_pred|classes_? in y|contains previously unseen labels"
    r"|must be in \{-1, ?1\}|pos_label=",
    re.IGNORECASE,
)
_SHAPES = re.compile(
    r"incompatible with the layer|incompatible shapes?|shapes? .{0,80}incompatible"
    r"|negative (dimension|output)|would be negative|(dimension|output) size.{0,40}(<|less|neg)"
    r"|dimensions must be equal|size-incompatible|cannot reshape|total size of the tensor"
    r"|requires inputs with matching shapes|matching shapes|expected (min_)?ndim|expected axis"
    r"|(non-?|must be (a )?)positive|expected a positive|valid Keras Model|no gradients provided"
    r"|inner dimensions|rank|must be broadcastable|cannot be broadcast|dimension mismatch"
    r"|is not in \[0, \d+\)|oversized model|model too large|not enough values|kernel size"
    r"|output_shape|must be divisible|divisible by|cannot be (divided|built)",
    re.IGNORECASE,
)
# How scikit-learn and boosting libraries refuse values, and combinations of them.
_REFUSED = re.compile(
    r"solver.{0,20} (supports only|does not support)|unsupported set of arguments"
    r"|\bcombination of\b|is infeasible|only available if|cannot be set if"
    r"|(must|should) be (>|<|between|less|greater|smaller|larger|at (least|most)|in the range)"
    r"|expected \w+ <|cannot have number of splits|upper bound is|exceeds? bound"
    r"|train set will be empty",
    re.IGNORECASE,
)
_PARAMETERS = re.compile(r"InvalidParameterError|FailedTrialError|FatalValueError|FatalTypeError")
_LIBRARY = ("site-packages", "dist-packages")
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")
_BUILDERS = ("keras", "keras_tuner", "tensorflow")


@dataclass(frozen=True, slots=True)
class ErrorFinding:
    """What an exception says of a trial.

    Args:
        cause: Its cause.
        confidence: Probability that the cause is right, 0..1.
        error: Type and message on one line.
        where: "file.py:12 in build", the innermost line outside installed packages; None: none.
    """

    cause: FailureCause
    confidence: float
    error: str
    where: str | None


def classify_error(error: BaseException) -> ErrorFinding | None:
    """Return the cause of an exception; None for those that only report a non-finite number.

    Example:
        >>> classify_error(MemoryError("Unable to allocate 8 GiB")).cause.value
        'out_of_memory'
    """
    chain = list(_chain(error))
    cause, confidence = _classify(chain)
    if cause is None:
        return None
    message = error_line(text_of(error)).removesuffix(":")
    where = next((found for link in chain if (found := _user_line(link))), None)
    return ErrorFinding(cause, confidence, message, where)


def _classify(chain: list[BaseException]) -> tuple[FailureCause | None, float]:
    """Look through the exceptions, the outermost first; the first conclusive pattern wins."""
    types = " ".join(kind.__name__ for link in chain for kind in type(link).__mro__)
    text = " ".join(map(text_of, chain))
    if any(isinstance(link, MemoryError) for link in chain) or _MEMORY.search(f"{types} {text}"):
        return FailureCause.OUT_OF_MEMORY, 0.97
    if _NUMERICS.search(f"{types} {text}"):
        return None, 0.0
    if _DATA.search(text):
        return FailureCause.NON_FINITE_DATA, 0.95
    if _LABELS.search(text):
        return FailureCause.LABEL_MISMATCH, 0.95
    about_values = any(isinstance(link, (ValueError, ArithmeticError)) for link in chain) or (
        "InvalidArgumentError" in types
    )
    refused = about_values and (_SHAPES.search(text) or _REFUSED.search(text))
    if _PARAMETERS.search(types) or refused:
        return FailureCause.INVALID_MODEL, 0.95
    if about_values and _raised_while_building(chain[-1]):
        return FailureCause.INVALID_MODEL, 0.8
    return FailureCause.CODE_ERROR, 0.95


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and what it was raised from."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _user_line(error: BaseException) -> str | None:
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        parts = PurePath(frame.filename).parts
        foreign = any(library in parts for library in _LIBRARY) or frame.filename.startswith(
            _STANDARD_LIBRARY
        )
        if not foreign and "robusttune" not in parts[-3:-1]:
            return f"{parts[-1] if parts else frame.filename}:{frame.lineno} in {frame.name}"
    return None


def _raised_while_building(error: BaseException) -> bool:
    """Whether Keras itself refused the value, in the construction or call of a layer."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return False
    parts = PurePath(frames[-1].filename).parts
    inside = any(library in parts for library in _LIBRARY) and any(p in parts for p in _BUILDERS)
    return inside and bool({"layers", "models", "ops", "operations"} & set(parts))
