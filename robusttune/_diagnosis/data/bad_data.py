"""NaN and inf in what a fit was given: rows of arrays, batches of a pipeline, weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from robusttune._causes import FailureCause
from robusttune._data import first_batches, first_text, named_arrays
from robusttune._diagnosis.arrays import Array, is_float, leaves, non_finite_share
from robusttune._diagnosis.case import Case
from robusttune._diagnosis.confidence import Grounds
from robusttune._diagnosis.fit_input import FitInput
from robusttune._diagnosis.verdict import Verdict
from robusttune._records import DATA_VALUES, one_line
from robusttune.errors import DataError

# Rows, columns and classes that a message names.
_NAMED = 5
# Batches of a pipeline that are read to find the one that is meant.
SEARCHED_BATCHES = 256


@dataclass(frozen=True, slots=True)
class BadRows:
    """NaN or inf in one array.

    Args:
        name: "x", "y['age']".
        columns: Names or numbers of the columns; empty where there is only one, or all are bad.
        rows: Indices of the rows.
        of: How many rows there are.
        whole: Whether no number of any of these rows is finite.
    """

    name: str
    columns: tuple[str | int, ...]
    rows: Array
    of: int
    whole: bool

    def describe(self, first_row: int = 0) -> str:
        """Return it in words, with row numbers that begin at `first_row`."""
        rows = [str(first_row + int(row)) for row in self.rows[:_NAMED]]
        more = f" and {len(self.rows) - _NAMED} more" if len(self.rows) > _NAMED else ""
        place = f"row{'s' * (len(self.rows) > 1)} {', '.join(rows)}{more}"
        return f"{self.name}{describe_columns(self.columns)} ({place})"


def describe_columns(columns: tuple[str | int, ...]) -> str:
    """Return columns in words: " column income", " columns 0, 3 and 7 more"."""
    if not columns:
        return ""
    more = f" and {len(columns) - _NAMED} more" if len(columns) > _NAMED else ""
    return f" column{'s' * (len(columns) > 1)} {', '.join(map(str, columns[:_NAMED]))}{more}"


def bad_rows(data: Any, name: str) -> list[BadRows]:
    """Return where nested data have NaN or inf; arrays that are no numbers have none."""
    try:
        arrays = list(named_arrays(data, name))
    except (DataError, TypeError):  # Keras takes it, and an array it is not
        return []
    return [found for each in arrays if (found := _bad_rows(*each)) is not None]


def _bad_rows(name: str, array: Array, names: tuple[str | int, ...]) -> BadRows | None:
    if not is_float(array) or not array.size:
        return None
    bad = ~np.isfinite(array)
    flat = bad.reshape(len(array), -1)
    rows = np.flatnonzero(flat.any(axis=1))
    if not rows.size:
        return None
    by_column = bad.reshape(-1, array.shape[-1]).any(axis=0) if array.ndim > 1 else np.array([True])
    found = np.flatnonzero(by_column)
    columns = tuple(names[i] if names else int(i) for i in found) if by_column.size > 1 else ()
    whole = bool(flat[rows].all())
    return BadRows(name, () if whole else columns, rows, len(array), whole)


def non_finite_data(case: Case) -> Verdict | None:
    """NaN or inf in a batch that the model does not cope with."""
    bad = {
        f"{of}{name}": non_finite_share(array)
        for of in ("x", "y", "sample_weight")
        for batch in case.batches[-1:]
        for name, array in leaves(getattr(batch, of))
        if is_float(array)
    }
    bad = {name: share for name, share in bad.items() if share > 0}
    if not bad or _copes(case, bad):
        return None
    given = case.trace.given
    evidence: dict[str, Any] = {"non_finite_share": bad, "non_finite_columns": _columns(case)}
    advice = _of_weights(given, bad) or _of_pipeline(case, given, bad)
    if advice is None:
        places = [] if given is None else _places(given)
        verdict = _of_rows(places, ", ".join(_columns(case) or bad))
        return replace(verdict, evidence={**evidence, **verdict.evidence})
    return Verdict(
        cause=FailureCause.NON_FINITE_DATA, grounds=Grounds.RULE, advice=advice, evidence=evidence
    )


def non_finite_labels(case: Case) -> Verdict | None:
    """NaN or inf among labels that a loss has refused, as a whole number or as a probability."""
    given = case.trace.given
    places = [] if given is None or given.is_pipeline else bad_rows(given.y, "y")
    if places:
        return _of_rows(places)
    batch = case.last_batch
    return None if batch is None or not bad_rows(batch.y, "y") else non_finite_data(case)


def _of_rows(places: Sequence[BadRows], otherwise: str = "") -> Verdict:
    where = ", ".join(place.describe() for place in places) or otherwise
    return Verdict(
        cause=FailureCause.NON_FINITE_DATA,
        grounds=Grounds.RULE,
        advice=f"Drop or impute the rows with NaN or inf in {where} before training;"
        " robusttune.check_data(x, y) names them.",
        evidence={"non_finite_rows": {p.name: p.rows[:_NAMED] for p in places}},
    )


def _copes(case: Case, bad: Mapping[str, float]) -> bool:
    """Whether the step was seen to be finite in spite of the data."""
    seen = case.first
    if seen is None or not seen.finite:
        return False
    return seen.loss is not None or all(name.startswith("x") for name in bad)


def _columns(case: Case) -> list[str]:
    found: list[str] = []
    for of in ("x", "y"):
        for name, array in case.columns(of).items():
            if is_float(array) and array.ndim == 2:
                bad = np.flatnonzero(~np.isfinite(array).all(axis=0))
                found += [f"{name} column {index}" for index in bad[:_NAMED]]
    return found


def _places(given: FitInput) -> list[BadRows]:
    return [
        *bad_rows(given.x, "x"),
        *bad_rows(given.y, "y"),
        *bad_rows(given.sample_weight, "sample_weight"),
    ]


def _of_weights(given: FitInput | None, bad: Iterable[str]) -> str | None:
    """Return the advice on weights of classes: a batch has only the weights of its rows."""
    if given is None or given.class_weight is None or set(bad) != {"sample_weight"}:
        return None
    told = describe_class_weight(given.class_weight)
    return f"{told[0].upper()}{told[1:]}: give each class a finite weight." if told else None


def describe_class_weight(weights: Mapping[Any, Any]) -> str:
    """Return the classes whose weight is not finite, in words; "" where all are."""
    bad = [(key, float(weight)) for key, weight in weights.items() if not np.isfinite(weight)]
    named = [f"class_weight of class {key} is {weight}" for key, weight in bad[:_NAMED]]
    more = f" and of {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    return f"{', '.join(named)}{more}"


def _of_pipeline(case: Case, given: FitInput | None, bad: Mapping[str, float]) -> str | None:
    """Return the advice on a batch that code of the user's has made."""
    if given is None or not given.is_pipeline:
        return None
    batch = case.batches[-1]
    number = _number_in(given.x, case)
    parts = list(dict.fromkeys(name.partition("[")[0] for name in bad))
    of = "A batch" if number is None else f"Batch {number}"
    whole = any(place.whole for part in parts for place in bad_rows(getattr(batch, part), part))
    hint = " (whole rows of it, as a division by a standard deviation of 0 makes)" if whole else ""
    check = "" if hasattr(given.x, "__next__") else " robusttune.check_data takes the pipeline too."
    return (
        f"{of} of your pipeline has NaN or inf in {' and '.join(parts)}{hint}: fix it where the"
        f" batch is made, or drop such rows there.{check}"
    )


def _number_in(pipeline: Any, case: Case) -> int | None:
    """Return the number of the failing batch in an epoch, from 0; None where it is not known."""
    if hasattr(pipeline, "__getitem__") and hasattr(pipeline, "__len__"):  # may be shuffled
        return next((n for n, batch in enumerate(_indexed(pipeline)) if _is_bad(batch)), None)
    step, steps = case.trace.step, case.trace.steps_per_epoch
    return None if step is None else step % steps if steps else step


def _indexed(pipeline: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the first batches of what has a length, by their number."""
    try:
        for index in range(min(len(pipeline), SEARCHED_BATCHES)):
            item = pipeline[index]
            yield item if isinstance(item, tuple) else (item,)
    except Exception:  # the user's own code, at another place than in training
        return


def _is_bad(parts: tuple[Any, ...]) -> bool:
    return any(bad_rows(part, "") for part in parts)


def not_numeric(given: FitInput | None, error: BaseException) -> Verdict | None:
    """Return the verdict on text among the data of a refused fit; None where there is none.

    Args:
        given: The data; None: unknown.
        error: What refused them.
    """
    if given is None or given.is_pipeline or not isinstance(error, (ValueError, TypeError)):
        return None
    for part, name in ((given.x, "x"), (given.y, "y"), (given.sample_weight, "sample_weight")):
        try:
            arrays = list(named_arrays(part, name))
        except (DataError, TypeError):
            continue
        for where, array, _ in arrays:
            first = first_text(array)
            if first is not None:
                return _of_text(where, *first)
    return None


def _of_text(where: str, row: int, value: Any) -> Verdict:
    quoted = one_line(repr(value), 40)
    missing = "" if isinstance(value, str) else " (a missing value)"
    return Verdict(
        cause=FailureCause.CODE_ERROR,
        grounds=Grounds.EXCEPTION,
        advice=f"{where} holds {quoted}{missing} in row {row}, which is not a number: encode such"
        " values as numbers, or drop the column.",
        evidence={"not_numeric": {"where": where, "row": row}, DATA_VALUES: [quoted]},
    )


def validation_batches(given: FitInput, size: int) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield (first row, (x, y, sample_weight)) of validation data; None for the row of a pipeline.

    Raises:
        Exception: Whatever a pipeline of the user's raises.
    """
    data = given.validation_data
    if isinstance(data, (tuple, list)):
        rows = max((len(array) for _, array, _ in named_arrays(data[0], "x")), default=0)
        for start in range(0, rows, size):
            yield start, tuple(rows_of(part, slice(start, start + size)) for part in data[:3])
        return
    most = min(given.validation_steps or SEARCHED_BATCHES, SEARCHED_BATCHES)
    yield from ((n, batch[:3]) for n, batch in enumerate(islice(first_batches(data, most), most)))


def rows_of(structure: Any, rows: slice) -> Any:
    """Return some rows of nested data as arrays."""
    if structure is None:
        return None
    if isinstance(structure, Mapping):
        return {key: rows_of(item, rows) for key, item in structure.items()}
    if isinstance(structure, (list, tuple)) and structure and hasattr(structure[0], "shape"):
        return type(structure)(rows_of(item, rows) for item in structure)
    return np.asarray(structure.iloc[rows] if hasattr(structure, "iloc") else structure[rows])
