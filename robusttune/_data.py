"""check_data: what is wrong with the arrays, before any training. NumPy only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from numbers import Real
from typing import Any, Literal

import numpy as np

from robusttune._causes import FailureCause
from robusttune._records import one_line
from robusttune._validation import require
from robusttune.errors import DataError

Kind = Literal[
    "non_finite",
    "not_numeric",
    "empty",
    "lengths_differ",
    "constant",
    "unscaled",
    "out_of_range",
    "zeros_in_targets",
    "labels_not_from_zero",
]

# Root mean square of a column above which it counts as unscaled; standardized data has 1.
# UMLAUT (CHI'21) and AUTOTRAINER (ICSE'21) ask for inputs within [-1, 1]; pixels of 0..255 are the
# commonest harmless exception, so that this is ten times the ordinary.
UNSCALED = 10.0
# Columns whose scales differ by more than this slow plain SGD down by as much (the condition number
# of a linear layer's Hessian E[x x^T] is the square of it).
_SPREAD = 1e3
# Samples that are read from a dataset or generator.
_SAMPLED_BATCHES = 64
_NAMED = 5
_RULE = "an array, a DataFrame, a list or dict of these, or a dataset of batches"


@dataclass(frozen=True, slots=True)
class DataFinding:
    """One thing that is wrong, or risky, with the data.

    Args:
        kind: What it is.
        where: "x", "y", or the path of one of several arrays ("x['age']").
        message: One sentence with the numbers.
        cause: What training will most likely fail of; None where it is a mere risk.
        columns: Names or indices of the columns concerned, all of them; empty for the whole array.
        rows: How many rows are concerned.
        first_rows: Indices of the first of them.
        advice: What to do.
    """

    kind: Kind
    where: str
    message: str
    cause: FailureCause | None = None
    columns: tuple[str | int, ...] = ()
    rows: int = 0
    first_rows: tuple[int, ...] = ()
    advice: str = field(default="")

    def __str__(self) -> str:
        return f"{self.where}: {self.message} {self.advice}".rstrip()


def check_data(
    x: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    class_weight: Mapping[Any, Any] | None = None,
    validation_data: Any = None,
) -> list[DataFinding]:
    """Return what is wrong with the data before any training, the worst first.

    Args:
        x: Inputs: an array of shape (n, ...), a DataFrame, a nested list or dict of them, or a
            tf.data.Dataset or other iterable dataset of (x, y) batches, of which the first 64 are
            read.
        y: Targets, likewise; None where there are none or where `x` brings them.
        sample_weight: Weights of the rows, shape (n,); None: all 1.
        class_weight: Weights of the classes, as for `model.fit`; None: all 1.
        validation_data: As for `model.fit`: (x, y), (x, y, sample_weight) or a dataset; what is
            wrong with them is found in "validation x" and so on.

    Returns:
        Findings; empty where nothing stands out.

    Raises:
        TypeError: It is no data.
        DataError: A list has rows of several lengths; a dataset is not in batches.

    Example:
        >>> import numpy as np
        >>> x = np.array([[1.0, 2.0], [np.nan, 3.0]])
        >>> [(finding.kind, finding.columns, finding.first_rows) for finding in check_data(x)]
        [('non_finite', (0,), (1,))]
    """
    require(x is not None, "x", _RULE, x, error=TypeError)
    if is_dataset(x):
        x, y = _sample(x)
    inputs, targets = list(named_arrays(x, "x")), list(named_arrays(y, "y"))
    found = [
        finding
        for name, array, columns in (*inputs, *targets)
        for finding in _check(name, array, columns)
    ]
    found += _lengths(inputs, targets)
    found += [finding for name, array, _ in targets for finding in _check_targets(name, array)]
    found += _check_weights(sample_weight, class_weight, inputs)
    if validation_data is not None:
        dataset = is_dataset(validation_data)
        parts = (validation_data,) if dataset else tuple(validation_data)
        weight = parts[2] if len(parts) > 2 else None
        held_out = check_data(*parts[:2], sample_weight=weight)
        found += [replace(finding, where=f"validation {finding.where}") for finding in held_out]
    order = {cause: rank for rank, cause in enumerate(_ORDER)}
    return sorted(found, key=lambda finding: order.get(finding.kind, len(order)))


_ORDER: tuple[Kind, ...] = (
    "empty",
    "lengths_differ",
    "not_numeric",
    "non_finite",
    "out_of_range",
    "labels_not_from_zero",
    "unscaled",
    "zeros_in_targets",
    "constant",
)

_Array = np.ndarray[Any, np.dtype[Any]]
_Named = tuple[str, _Array, tuple[str | int, ...]]


def named_arrays(data: Any, name: str) -> Iterator[_Named]:
    """Yield (path, array, names of columns) for each array of nested data."""
    if data is None:
        return
    if hasattr(data, "columns") and hasattr(data, "to_numpy"):  # a DataFrame
        names = list(data.columns)
        kinds = data.iloc[:0].set_axis(range(len(names)), axis=1)  # a name may come twice
        numeric = list(kinds.select_dtypes(include=["number", "bool"]).columns)
        for place in kinds.columns.drop(numeric):
            column = np.asarray(data.iloc[:, place], dtype=object)
            yield f"{name}[{names[place]!r}]", column, ()
        if numeric or not names:
            values = data.iloc[:, numeric].to_numpy(dtype=np.float64, na_value=np.nan)
            yield name, values, tuple(str(names[place]) for place in numeric)
    elif isinstance(data, Mapping):
        for key, item in data.items():
            yield from named_arrays(item, f"{name}[{key!r}]")
    elif isinstance(data, tuple) or (isinstance(data, list) and any(map(_is_table, data))):
        for index, item in enumerate(data):
            yield from named_arrays(item, f"{name}[{index}]")
    else:
        yield name, _array(data, name), ()


def _array(data: Any, name: str) -> _Array:
    try:
        array = np.asarray(data)
    except ValueError:  # rows of several lengths
        array = None
    require(array is not None, name, "a table with rows of one length", data, error=DataError)
    assert array is not None
    require(array.ndim > 0, name, _RULE, data, error=TypeError)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _is_table(item: Any) -> bool:
    """Whether the item of a list is an input of its own, and not a row."""
    return isinstance(item, (Mapping, tuple)) or hasattr(item, "shape") or hasattr(item, "columns")


def _check(name: str, array: _Array, names: tuple[str | int, ...]) -> Iterator[DataFinding]:
    if array.size == 0:
        yield DataFinding("empty", name, f"there are no values, shape {array.shape}.")
        return
    if array.dtype.kind not in "biuf":
        first = first_text(array)
        row, value = (0, array.ravel().tolist()[0]) if first is None else first
        yield DataFinding(
            "not_numeric",
            name,
            f"values are {array.dtype}, for example {one_line(repr(value), 40)} in row {row}.",
            FailureCause.CODE_ERROR,
            first_rows=(row,),
            advice="Convert them, as by astype('float32')."
            if _are_numbers(array)
            else "Encode them as numbers.",
        )
        return
    columns = array.reshape(len(array), -1)
    if array.dtype.kind != "f":
        yield from _constant(name, columns, names)
        return
    if columns.shape[1] > 1 and array.ndim > 2:  # images, sequences: the last axis names columns
        columns = array.reshape(-1, array.shape[-1])
    finite = np.isfinite(columns)
    yield from _non_finite(name, array, columns, finite, names)
    yield from _out_of_range(name, columns, finite)
    yield from _constant(name, columns, names)
    yield from _unscaled(name, columns, finite, names)


def first_text(array: _Array) -> tuple[int, Any] | None:
    """Return row and value of the first that is no number; None where all are, or it has no rows.

    Args:
        array: Of any dtype, shape (n, ...).
    """
    if array.dtype.kind in "biuf" or not array.size:
        return None
    width = array.size // len(array)
    for place, value in enumerate(array.ravel().tolist()):
        if not isinstance(value, Real):
            return place // width, value
    return None


def _are_numbers(array: _Array) -> bool:
    """Whether an array of objects holds numbers only."""
    return array.dtype.kind == "O" and all(isinstance(value, Real) for value in array.flat)


def _non_finite(
    name: str, array: _Array, columns: _Array, finite: _Array, names: tuple[str | int, ...]
) -> Iterator[DataFinding]:
    bad = ~finite
    if not bad.any():
        return
    rows = np.flatnonzero((~np.isfinite(array)).reshape(len(array), -1).any(axis=1))
    nan = int(np.isnan(columns).sum())
    where = _named(np.flatnonzero(bad.any(axis=0)), names) if columns.shape[1] > 1 else ()
    yield DataFinding(
        "non_finite",
        name,
        f"{nan} NaN and {int(bad.sum()) - nan} inf in {len(rows)} of {len(array)} rows"
        f"{_in_columns(where)}.",
        FailureCause.NON_FINITE_DATA,
        where,
        len(rows),
        tuple(int(row) for row in rows[:_NAMED]),
        "Drop or impute these rows.",
    )


def _out_of_range(name: str, columns: _Array, finite: _Array) -> Iterator[DataFinding]:
    largest = float(np.abs(columns[finite]).max()) if finite.any() else 0.0
    limit = float(np.finfo(np.float32).max)
    if largest > limit:
        yield DataFinding(
            "out_of_range",
            name,
            f"values up to {largest:.3g} become inf in float32, whose largest number is"
            f" {limit:.3g}.",
            FailureCause.NON_FINITE_DATA,
            advice="Scale or take logarithms in float64 first.",
        )


def _constant(name: str, columns: _Array, names: tuple[str | int, ...]) -> Iterator[DataFinding]:
    if len(columns) < 2:
        return
    same = np.flatnonzero((columns == columns[:1]).all(axis=0))
    if not len(same) or (len(same) < columns.shape[1] and columns.shape[1] > 64):
        return  # images have border pixels that never change
    where = _named(same, names) if columns.shape[1] > 1 else ()
    yield DataFinding(
        "constant",
        name,
        f"the values never change{_in_columns(where)}.",
        None,
        where,
        advice="Drop them: dividing by their standard deviation gives NaN.",
    )


def _unscaled(
    name: str, columns: _Array, finite: _Array, names: tuple[str | int, ...]
) -> Iterator[DataFinding]:
    # Relative to the largest, and in float64: no square overflows.
    largest = np.abs(columns).max(axis=0, where=finite, initial=0).astype(np.float64)
    relative = np.zeros(columns.shape)
    np.divide(columns, largest, out=relative, where=finite & (largest > 0))
    squares = np.einsum("ij,ij->j", relative, relative)
    size = largest * np.sqrt(squares / np.maximum(finite.sum(axis=0), 1))
    large = np.flatnonzero(size > UNSCALED)
    used = size[size > 0]
    if not len(large):
        return
    where = _named(large, names) if columns.shape[1] > 1 else ()
    ratio = float(used.max()) / float(used.min())
    spread = f", and columns differ by a factor of {ratio:.3g}" if ratio > _SPREAD else ""
    yield DataFinding(
        "unscaled",
        name,
        f"the root mean square is up to {float(size.max()):.3g} where standardized data has 1"
        f"{_in_columns(where)}{spread}.",
        FailureCause.UNSCALED_DATA,
        where,
        advice="Standardize (a Normalization layer, or StandardScaler).",
    )


def _check_targets(name: str, array: _Array) -> Iterator[DataFinding]:
    if array.dtype.kind not in "biuf" or not array.size:
        return
    values = array.astype(np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return
    whole = bool((values == np.round(values)).all())
    kinds = np.unique(values)
    classes = whole and len(kinds) <= 1000 and array.dtype.kind in "iu"
    if classes and kinds[0] > 0 and kinds[-1] == kinds[0] + len(kinds) - 1:
        yield DataFinding(
            "labels_not_from_zero",
            name,
            f"integer labels run from {int(kinds[0])} to {int(kinds[-1])}.",
            FailureCause.LABEL_MISMATCH,
            advice=f"sparse_categorical_crossentropy wants 0..{len(kinds) - 1}: subtract"
            f" {int(kinds[0])}.",
        )
    zeros = int((values == 0).sum())
    if zeros and not whole and array.dtype.kind == "f":
        yield DataFinding(
            "zeros_in_targets",
            name,
            f"{zeros} of {values.size} targets are exactly 0.",
            None,
            rows=zeros,
            advice="A loss or metric that divides by the target, or takes its logarithm, is"
            " undefined there.",
        )


def _check_weights(
    sample_weight: Any, class_weight: Mapping[Any, Any] | None, inputs: list[_Named]
) -> list[DataFinding]:
    weights = list(named_arrays(sample_weight, "sample_weight"))
    found = [
        finding
        for name, array, columns in weights
        for finding in _check(name, array, columns)
        if finding.kind in ("empty", "not_numeric", "non_finite")
    ]
    found += _lengths(inputs, weights) if weights else []
    for name, array, _ in weights:
        if array.dtype.kind in "biuf" and array.size and not array.any():
            text = "all weights are 0, so that a loss is 0 whatever the model."
            found.append(DataFinding("constant", name, text, rows=len(array)))
    for key, weight in (class_weight or {}).items():
        if not np.isfinite(weight):
            found.append(
                DataFinding(
                    "non_finite",
                    "class_weight",
                    f"the weight of class {key} is {float(weight)}.",
                    FailureCause.NON_FINITE_DATA,
                    advice="Give each class a finite weight.",
                )
            )
    return found


def _lengths(inputs: list[_Named], targets: list[_Named]) -> Iterator[DataFinding]:
    lengths = {name: len(array) for name, array, _ in (*inputs, *targets)}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        yield DataFinding(
            "lengths_differ",
            "x and y",
            f"the numbers of rows differ: {told}.",
            FailureCause.CODE_ERROR,
        )


def _named(indices: _Array, names: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return tuple(names[index] if names else int(index) for index in indices)


def _in_columns(columns: tuple[str | int, ...]) -> str:
    if not columns:
        return ""
    more = f" and {len(columns) - _NAMED} more" if len(columns) > _NAMED else ""
    plural = "s" if len(columns) > 1 else ""
    return f" in column{plural} {', '.join(map(str, columns[:_NAMED]))}{more}"


def is_dataset(data: Any) -> bool:
    """Whether the data is a tf.data.Dataset, a generator, a Keras PyDataset or a torch loader."""
    is_array = hasattr(data, "__array__") or hasattr(data, "dtype")
    if is_array or isinstance(data, (Mapping, list, tuple, str, bytes)):
        return False
    return hasattr(data, "__iter__") or (hasattr(data, "__getitem__") and hasattr(data, "__len__"))


def _sample(data: Any) -> tuple[Any, Any]:
    """Return the joined x and y of the first batches; an iterator loses what is read here."""
    batches = first_batches(data, _SAMPLED_BATCHES)
    if not batches:
        return np.empty(0), None
    targets = [batch[1] if len(batch) > 1 else None for batch in batches]
    return _join([batch[0] for batch in batches]), _join(targets)


def first_batches(data: Any, most: int, rows: int = 0) -> list[tuple[Any, ...]]:
    """Return the first batches of a dataset: (x,), (x, y) or (x, y, sample_weight) each.

    Args:
        data: An iterable of batches, or a sequence of them.
        most: How many batches.
        rows: More batches are read until there are so many rows.
    """
    items = iter(data) if hasattr(data, "__iter__") else (data[i] for i in range(len(data)))
    found = [item if isinstance(item, tuple) else (item,) for item in islice(items, most)]
    seen = sum(map(_rows_of, found))
    for item in items if seen < rows else ():
        found.append(item if isinstance(item, tuple) else (item,))
        seen += _rows_of(found[-1])
        if seen >= rows:
            break
    return found


def _rows_of(batch: tuple[Any, ...]) -> int:
    """Return the rows of a batch, at least 1."""
    inputs = batch[0]
    while isinstance(inputs, (Mapping, list, tuple)) and inputs:
        inputs = next(iter(inputs.values() if isinstance(inputs, Mapping) else inputs))
    shape = np.shape(inputs)
    return int(shape[0]) if shape else 1


def _join(parts: list[Any]) -> Any:
    if parts[0] is None:
        return None
    if isinstance(parts[0], Mapping):
        return {key: _join([part[key] for part in parts]) for key in parts[0]}
    if isinstance(parts[0], (list, tuple)):
        return tuple(_join([part[i] for part in parts]) for i in range(len(parts[0])))
    arrays = [np.asarray(part) for part in parts]
    batched = min(array.ndim for array in arrays) > 0
    way_out = "Its batch method makes them."
    require(batched, "x", "a dataset of batches", parts[0], way_out, error=DataError)
    if len({array.shape[1:] for array in arrays}) > 1:  # sequences, say: each batch has its length
        arrays = _as_long(arrays)
    return np.concatenate(arrays)


def _as_long(arrays: list[_Array]) -> list[_Array]:
    """Return arrays whose rows have the shape of the longest, by repeating the last values."""
    longest = np.max([array.shape for array in arrays], axis=0)[1:]
    return [
        np.pad(array, [(0, 0), *((0, int(n)) for n in longest - array.shape[1:])], mode="edge")
        for array in arrays
    ]
