"""From an exception, live or as a host stored it, to its cause: memory, data, labels, shapes, code.

A live exception is read as the traceback that Keras Tuner stores of it, so that both get the same
cause.
"""

from __future__ import annotations

import builtins
import re
import sysconfig
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from robusttune._causes import FailureCause
from robusttune._records import error_line, text_of

_MEMORY = re.compile(
    r"\bOOM\b|out[ -]of[ -]memory|failed to allocate|unable to allocate|cannot allocate memory"
    r"|MemoryError|resource_?exhausted|std::bad_alloc",
    re.IGNORECASE,
)
_NUMERICS = re.compile(
    r"CheckNumerics|check_numerics|had (NaN|Inf)|Tensor had|FloatingPointError"
    # PyTorch's binary crossentropy of a probability that is NaN.
    r"|all elements of input should be between 0 and 1",
    re.IGNORECASE,
)
# What scikit-learn finds in the data. Where it names no input, that may be a model's predictions.
_DATA = re.compile(
    r"\b([Xy](_(?!pred|prob|score)\w+)?|data|features|targets?|labels|sample_weight)\b[^.]{0,40}"
    r"contains? (NaN|infinity)",
    re.IGNORECASE,
)
_LABELS = re.compile(
    r"label value of -?\d+ which is outside the valid range"
    r"|\bTarget -?\d+ is out of bounds|all elements of target should be between 0 and 1"
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
    r"|but the requested shape|inner dimensions|\branks?\b|must be broadcastable"
    r"|(cannot|could not) be broadcast|dimension mismatch"
    r"|is not in \[0, \d+\)|oversized model|model too large|not enough values|kernel size"
    r"|output_shape|must be divisible|divisible by|cannot be (divided|built)|shapes? must be",
    re.IGNORECASE,
)
# PyTorch and JAX raise RuntimeError, IndexError and TypeError for these, which elsewhere may be
# about anything.
_BACKEND_SHAPES = re.compile(
    r"mat1 and mat2 shapes cannot be multiplied|size of tensor a \(\d+\) must match"
    r"|Sizes of tensors must match|(expected|to have) \d+ channels"
    r"|Kernel size can't be greater|is invalid for input of size|index out of range in self"
    r"|got incompatible shapes for broadcasting|requires contracting dimensions"
    r"|cannot reshape array of shape|Cannot concatenate arrays with shapes|conv_general_dilated"
    r"|arrays must have the same shape|Incompatible types for broadcasting"
)
# How scikit-learn and boosting libraries refuse values, and combinations of them.
_REFUSED = re.compile(
    r"solver.{0,20} (supports only|does not support)|unsupported set of arguments"
    r"|\bcombination of\b|is infeasible|only available if|cannot be set if"
    r"|(must|should) be (>|<|between|less|greater|smaller|larger|at (least|most)|in the range)"
    r"|expected an? .{0,30}between|expected \w+ <|cannot have number of splits"
    r"|upper bound is|exceeds? bound|train set will be empty",
    re.IGNORECASE,
)
_PARAMETERS = re.compile(r"InvalidParameterError|FailedTrialError|FatalValueError|FatalTypeError")
_NON_FINITE = re.compile(r"\b(nan|inf|infinity|infinite|finite)\b", re.IGNORECASE)

_LIBRARY = ("site-packages", "dist-packages")
_STANDARD_LIBRARY = sysconfig.get_path("stdlib")
_BUILDERS = frozenset({"keras", "keras_tuner", "tensorflow"})
_BUILDING = frozenset({"layers", "models", "ops", "operations"})


@dataclass(frozen=True, slots=True)
class ErrorFinding:
    """The cause of an exception, and its evidence.

    Args:
        cause: Its cause; unknown where a stored message does not settle it.
        error: Type and message on one line; "" where nothing was stored.
        where: "file.py:12 in build", the innermost line outside installed packages, or None.
    """

    cause: FailureCause
    error: str
    where: str | None = None


def classify_error(error: BaseException) -> ErrorFinding | None:
    """Return the cause of an exception; None for those that only report a non-finite number.

    Example:
        >>> classify_error(MemoryError("Unable to allocate 8 GiB")).cause.value
        'out_of_memory'
    """
    chain = _chain("".join(traceback.format_exception(error)))
    kinds = " ".join(base.__name__ for base in type(error).__mro__)
    cause = _cause(chain, kinds)
    if cause is None:
        return None
    return ErrorFinding(cause, _shown(text_of(error)), _user_line(chain))


def classify_message(message: str | None) -> ErrorFinding:
    """Return the cause that a host's message shows, which is that of the exception it tells of.

    Of a class of the user's own a message does not tell what it is derived from, and of a message
    without a traceback only what is conclusive counts: what it says of memory, data, labels and
    shapes, and Python's own exceptions from code that is wrong for whatever values. One that speaks
    of NaN names a symptom, so its cause stays unknown.

    Args:
        message: A traceback, "Kind: text" or another text; None where the host kept nothing.

    Example:
        >>> classify_message("KeyError: 'units'").cause.value
        'code_error'
    """
    if message is None or not message.strip():
        return ErrorFinding(FailureCause.UNKNOWN, "")
    chain = _chain(message)
    last = chain[0]
    if last.kind:
        cause = _cause(chain)
    else:
        cause = FailureCause.OUT_OF_MEMORY if _MEMORY.search(message) else None
    if cause is FailureCause.CODE_ERROR and not last.frames and last.name not in _FAULTS_OF_CODE:
        cause = None
    return ErrorFinding(cause or FailureCause.UNKNOWN, _shown(last.message), _user_line(chain))


@dataclass(frozen=True, slots=True)
class _ChainedError:
    """One exception of a chain, as a traceback tells of it.

    Args:
        kind: Its class, with the module as far as Python writes it; "" for words of another kind.
        text: Its message.
        frames: File, line and function, the outermost first; () without a traceback.
    """

    kind: str
    text: str
    frames: tuple[tuple[str, str, str], ...]

    @property
    def name(self) -> str:
        """The class without its module; TensorFlow calls a KeyError in a graph its own way."""
        return self.kind.rpartition(".")[2].removeprefix("MultilineMessage")

    @property
    def message(self) -> str:
        """Class and message."""
        return f"{self.name}: {self.text}" if self.kind else self.text

    @property
    def is_about_values(self) -> bool:
        """Whether words of shapes and ranges in its message are about what was passed in.

        In a TypeError of the user's they are not. A class that is not Python's may be anything.
        """
        known = _built_in(self.name)
        if known is not None:
            return issubclass(known, (ValueError, ArithmeticError))
        return self.name == "InvalidArgumentError" or not self.kind.startswith("tensorflow.")


def _cause(chain: Sequence[_ChainedError], kinds: str = "") -> FailureCause | None:
    """Return the cause that the first conclusive pattern gives, or else that the code is wrong.

    None for what only reports a number that is not finite, and for what robusttune raised itself:
    there a record tells the cause.

    Args:
        chain: The exception first, what it was raised from after it.
        kinds: Further names of classes that the exception belongs to.
    """
    names = " ".join([*(link.name for link in chain), kinds])
    text = " ".join(link.message for link in chain)
    if _MEMORY.search(f"{names} {text}"):
        return FailureCause.OUT_OF_MEMORY
    if _NUMERICS.search(f"{names} {text}") or chain[0].kind.startswith("robusttune."):
        return None
    if _DATA.search(text):
        return FailureCause.NON_FINITE_DATA
    if _LABELS.search(text):
        return FailureCause.LABEL_MISMATCH
    about_values = any(link.is_about_values for link in chain)
    refused = about_values and (_SHAPES.search(text) or _REFUSED.search(text))
    refused = refused or _BACKEND_SHAPES.search(text)
    if _PARAMETERS.search(names) or refused:
        return FailureCause.INVALID_MODEL
    if about_values and _raised_while_building(chain[-1]):
        return FailureCause.INVALID_MODEL
    return None if any(map(_speaks_of_nan, chain)) else FailureCause.CODE_ERROR


def _speaks_of_nan(link: _ChainedError) -> bool:
    """Whether code refused a number that is not finite, and does not only have a name like it."""
    refuses = link.name in ("AssertionError", "Exception", "RuntimeError") or link.is_about_values
    return refuses and _NON_FINITE.search(link.text) is not None


# What Python raises from code that is wrong for whatever values, as far as a name alone can tell.
_FAULTS_OF_CODE = frozenset(
    {
        "AssertionError",
        "AttributeError",
        "FileNotFoundError",
        "ImportError",
        "IndexError",
        "KeyError",
        "ModuleNotFoundError",
        "NameError",
        "NotImplementedError",
        "RecursionError",
        "RuntimeError",
        "TypeError",
        "UnboundLocalError",
        "ValueError",
        "ZeroDivisionError",
    }
)

_HEADER = "Traceback (most recent call last):"
_BETWEEN = re.compile(
    r"\n(?:The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):\n"
)
_FRAME = re.compile(r"^  File \"(.*)\", line (\d+), in (.*)$", re.MULTILINE)
_KIND = re.compile(r"([^\W\d][\w.]*(?:\.<locals>[\w.]*)*)(?::\s?(.*))?\Z", re.DOTALL)
# A group of exceptions has its traceback behind a margin.
_GROUP = f"  + Exception Group {_HEADER}"
_MARGIN = re.compile(r"^  [|+] ?", re.MULTILINE)
_NO_TEXT = "<exception str() failed>"  # as Python writes it


def _chain(text: str) -> list[_ChainedError]:
    """Read the exceptions out of a traceback or a message, the last one that was raised first."""
    return [_link(part) for part in reversed(_BETWEEN.split(text.strip("\n"))) if part.strip()]


def _link(part: str) -> _ChainedError:
    part = part.strip("\n")
    if part.startswith(_GROUP):
        part = _MARGIN.sub("", part).removeprefix("Exception Group ")
    lines = part.split("\n")
    frames: tuple[tuple[str, str, str], ...] = ()
    if lines[0].strip() == _HEADER:
        ends = (i for i, line in enumerate(lines) if i and line and not line[0].isspace())
        end = next(ends, len(lines))
        # A frame there is, even where its line cannot be read.
        frames = tuple(_FRAME.findall("\n".join(lines[:end]))) or (("", "0", ""),)
        lines = lines[end:]
    message = "\n".join(lines).strip()
    found = _KIND.match(message)
    if found is None or not (frames or _looks_like_a_kind(found[1])):
        return _ChainedError("", message, frames)
    return _ChainedError(found[1], (found[2] or "").replace(_NO_TEXT, "").strip(), frames)


def _looks_like_a_kind(word: str) -> bool:
    """Whether the word before a colon is an exception's class, and not any word."""
    name = word.rpartition(".")[2]
    return name.endswith(("Error", "Exception")) or _built_in(name) is not None


def _shown(message: str) -> str:
    return error_line(message).removesuffix(":")


def _user_line(chain: Sequence[_ChainedError]) -> str | None:
    for link in chain:
        for file, line, function in reversed(link.frames):
            if is_users_file(file):
                return f"{_parts(file)[-1]}:{line} in {function}"
    return None


def is_users_file(file: str) -> bool:
    """Whether a file of a traceback is neither an installed package's nor Python's own."""
    parts = _parts(file)
    foreign = any(library in parts for library in _LIBRARY) or file.startswith(_STANDARD_LIBRARY)
    return bool(parts[-1]) and not foreign and "robusttune" not in parts[-4:-1]


def _raised_while_building(link: _ChainedError) -> bool:
    """Whether Keras itself refused the value, in the construction or call of a layer."""
    if not link.frames:
        return False
    parts = set(_parts(link.frames[-1][0]))
    return not parts.isdisjoint(_LIBRARY) and bool(parts & _BUILDERS) and bool(parts & _BUILDING)


def _parts(file: str) -> list[str]:
    return re.split(r"[\\/]", file)


def _built_in(name: str) -> type[BaseException] | None:
    found = getattr(builtins, name, None)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None
