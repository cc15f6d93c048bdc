"""Frames: records in, pandas tables out; the columns and their types are fixed here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress, pairwise
from typing import Any

import numpy as np
import pandas as pd

from robusttune._causes import FailureCause
from robusttune._records import COLUMNS, TrialRecord, one_line, plain
from robusttune._regions import Axis, Region
from robusttune._regions.axes import axis_of, infer_axis, is_number
from robusttune._regions.significance import wilson
from robusttune._report.advice import common_advice
from robusttune._report.search_data import has_ended, has_failed
from robusttune._report.svg import number
from robusttune._space.parameters import Parameter

# pandas' nullable types: what is missing is <NA>, in any column.
TRIAL_TYPES = {
    "trial_id": "string",
    "number": "Int64",
    "status": "string",
    "unstable": "boolean",
    "symptom": "string",
    "cause": "string",
    "other_causes": "string",
    "confidence": "Float64",
    "epoch": "Int64",
    "step": "Int64",
    "value": "Float64",
    "seconds": "Float64",
    "seconds_saved": "Float64",
    "advice": "string",
    "fix_verified": "boolean",
    "error": "string",
    "evidence": "string",
    "skill": "Float64",
    "clipped_steps": "Int64",
    "execution": "Int64",
}
CAUSE_TYPES = {
    "cause": "string",
    "trials": "Int64",
    "share": "Float64",
    "seconds_lost": "Float64",
    "advice": "string",
}
ADJUSTMENT_TYPES = dict.fromkeys(("parameter", "field", "before", "after", "reason"), "string")
MARGINAL_TYPES = {
    "parameter": "string",
    "bin": "string",
    "low": "Float64",
    "high": "Float64",
    "trials": "Int64",
    "failures": "Int64",
    "failure_rate": "Float64",
    "ci_low": "Float64",
    "ci_high": "Float64",
}
REGION_TYPES = {
    "region": "string",
    "trials": "Int64",
    "failures": "Int64",
    "failure_rate": "Float64",
    "baseline_rate": "Float64",
    "ci_low": "Float64",
    "ci_high": "Float64",
    "p_value": "Float64",
    "dominant_cause": "string",
    "seconds_lost": "Float64",
}
_MAX_INT = 2**63 - 1
# Bins of a marginal: about 12 trials each, between 3 and 8; values of a choice that are shown.
_TRIALS_PER_BIN = 12
_MOST_VALUES = 20
# What pandas reads as a missing value, an empty text too. Source: pandas.read_csv, na_values.
_MISSING = frozenset(
    {
        "",
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
        "N/A",
        "NA",
        "NULL",
        "NaN",
        "None",
        "n/a",
        "nan",
        "null",
    }
)


def trials_frame(records: Sequence[TrialRecord]) -> pd.DataFrame:
    """Return one row a trial: the columns of `records.COLUMNS`, then params_<name>.

    Args:
        records: The trials, in the order of the rows.

    Returns:
        Columns of pandas' nullable types (TRIAL_TYPES). A hyperparameter is Int64, Float64,
        boolean or, where the values are of several kinds, string; <NA> where it was inactive.
    """
    columns: dict[str, Any] = {}
    for name in COLUMNS:
        values = [_CELLS[name](record) for record in records]
        columns[name] = _array(values, TRIAL_TYPES[name])
    for name in parameter_names(records):
        columns[f"params_{_encodable(name)}"] = _parameter_column(
            [r.params.get(name) for r in records]
        )
    return pd.DataFrame(columns)


def parameter_names(records: Iterable[TrialRecord]) -> list[str]:
    """Return the names of all hyperparameters, in the order of their first appearance."""
    return list(dict.fromkeys(name for record in records for name in record.params))


def causes_frame(records: Sequence[TrialRecord], host: str | None = None) -> pd.DataFrame:
    """Return one row a cause, the most frequent first.

    Args:
        records: The trials.
        host: In whose words the advice is; see `robusttune._report.advice`.

    Returns:
        cause; trials (with it as their cause); share (of all trials with a cause, 0..1);
        seconds_lost (wall time of those trials); advice (what all of them were told, or else the
        cause's general advice).
    """
    members: dict[FailureCause, list[TrialRecord]] = {}
    for record in records:
        if record.cause is not None:
            members.setdefault(record.cause, []).append(record)
    total = sum(map(len, members.values()))
    rows = [
        (
            cause.value,
            len(members[cause]),
            len(members[cause]) / total,
            sum(record.seconds or 0.0 for record in members[cause]),
            common_advice(members[cause], cause, host),
        )
        for cause in sorted(members, key=lambda cause: (-len(members[cause]), cause.value))
    ]
    return typed(rows, CAUSE_TYPES)


def adjustments_frame(adjustments: Iterable[Mapping[str, Any]]) -> tuple[pd.DataFrame, list[str]]:
    """Return what the sanitizer changed, one row a change, and a line for each malformed entry."""
    rows, problems = [], []
    for position, entry in enumerate(adjustments):
        if not isinstance(entry, Mapping) or "parameter" not in entry:
            problems.append(f"adjustment {position}: {one_line(repr(entry), 80)}")
            continue
        rows.append(tuple(_cell_text(entry.get(name)) for name in ADJUSTMENT_TYPES))
    return typed(rows, ADJUSTMENT_TYPES), problems


def marginals_frame(records: Sequence[TrialRecord], axes: Mapping[str, Axis]) -> pd.DataFrame:
    """Return the failure rate per hyperparameter and bin.

    Numbers are cut into 3 to 8 bins of about equally many trials, choices into their values.

    Args:
        records: The trials; those that still run well are left out.
        axes: The hyperparameters, by name.

    Returns:
        parameter; bin (as text); low and high of it (<NA> for a choice; a bin holds
        low <= value < high, the last one its high too); trials; failures; failure_rate (0..1);
        ci_low and ci_high (95 %, Wilson's interval).
    """
    ended = [record for record in records if has_ended(record)]
    failed = np.array([has_failed(record) for record in ended], dtype=bool)
    rows: list[tuple[Any, ...]] = []
    for name, axis in axes.items():
        active = np.array([axis.active_in(record.params) for record in ended], dtype=bool)
        if not active.any():
            continue
        shown = [record.params[name] for record in compress(ended, active)]
        cut = _cut_numbers if axis.kind != "choice" and all(map(is_number, shown)) else _cut_choice
        for label, low, high, members in cut(shown, axis):
            trials, failures = int(members.sum()), int(failed[active][members].sum())
            interval = wilson(failures, trials)
            rows.append((name, label, low, high, trials, failures, failures / trials, *interval))
    return typed(rows, MARGINAL_TYPES)


def regions_frame(regions: Sequence[Region]) -> pd.DataFrame:
    """Return one row a region: REGION_TYPES, then the bounds of each hyperparameter in any rule.

    Returns:
        A numeric condition low < value <= high is in <name>_low and <name>_high, the values of a
        choice are in <name>_values as a JSON list; <NA> where a rule does not speak of it. A
        hyperparameter that is called "ci" is "params_ci" here.
    """
    rows = [
        [region.rule, *(getattr(region, name) for name in list(REGION_TYPES)[1:])]
        for region in regions
    ]
    frame = typed(rows, REGION_TYPES)
    named = {c.name: c.values is None for region in regions for c in region.conditions}
    for name, numeric in named.items():
        clean = _encodable(name if f"{name}_low" not in REGION_TYPES else f"params_{name}")
        here = [next((c for c in r.conditions if c.name == name), None) for r in regions]
        if numeric:
            frame[f"{clean}_low"] = pd.array([c.low if c else None for c in here], dtype="Float64")
            frame[f"{clean}_high"] = pd.array(
                [c.high if c else None for c in here], dtype="Float64"
            )
        else:
            texts = [json.dumps(plain(c.values), ensure_ascii=False) if c else None for c in here]
            frame[f"{clean}_values"] = _array(texts, "string")
    return frame


def axes_of(records: Sequence[TrialRecord], space: Mapping[str, Parameter]) -> dict[str, Axis]:
    """Return the axes of all hyperparameters that occur, the undeclared ones inferred."""
    names = parameter_names(records)
    return {
        name: axis_of(space[name])
        if name in space
        else infer_axis(name, (record.params.get(name) for record in records))
        for name in names
    }


def typed(rows: Sequence[Sequence[Any]], types: Mapping[str, str]) -> pd.DataFrame:
    """Return rows as a frame whose columns have exactly these types, with no rows too."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(types)
    return pd.DataFrame(
        {
            name: _array(list(values), kind)
            for (name, kind), values in zip(types.items(), columns, strict=True)
        }
    )


def _array(values: Sequence[Any], kind: str) -> Any:
    """Return a column of one of pandas' nullable types."""
    if kind == "string":
        values = [value if value is None else _encodable(value) for value in values]
    return pd.array(values, dtype=kind)  # type: ignore[call-overload]


def _encodable(text: str) -> str:
    """Return a text that UTF-8 can hold; JSON lets half of a surrogate pair through."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _cut_numbers(values: Sequence[Any], axis: Axis) -> Iterable[tuple[str, Any, Any, Any]]:
    numbers = np.asarray(values, dtype=float)
    distinct = np.unique(numbers)
    bins = int(np.clip(len(numbers) // _TRIALS_PER_BIN, 3, 8))
    if len(distinct) <= bins:
        for value in distinct:
            yield _digits(value), value, value, numbers == value
        return
    inner = np.quantile(numbers, np.linspace(0, 1, bins + 1)[1:-1], method="nearest")
    edges = np.unique([distinct[0], *inner, distinct[-1]])
    where = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 2)
    name = _digits if (numbers == np.floor(numbers)).all() else number
    for position, (low, high) in enumerate(pairwise(edges)):
        members = where == position
        if members.any():
            yield f"{name(low)} to {name(high)}", low, high, members


def _digits(value: float) -> str:
    return f"{value:.12g}"


def _cut_choice(values: Sequence[Any], axis: Axis) -> Iterable[tuple[str, Any, Any, Any]]:
    texts = np.array([_choice_name(value) for value in values], dtype=object)
    names, counts = np.unique(texts, return_counts=True)
    for name in names[np.argsort(-counts, kind="stable")][:_MOST_VALUES]:
        yield str(name), None, None, texts == name


def _choice_name(value: Any) -> str | None:
    """Return a value as a text that is not read back from a file as a missing value."""
    if value is None:
        return "(None)"
    text = _cell_text(value)
    return repr(text) if text in _MISSING else text


def _cell_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(plain(value), ensure_ascii=False)


def _whole(value: int | None) -> int | None:
    return value if value is None or -_MAX_INT <= value <= _MAX_INT else None


def _evidence(record: TrialRecord) -> str | None:
    evidence = record.evidence
    return json.dumps(evidence, ensure_ascii=False, allow_nan=False) if evidence else None


_CELLS: dict[str, Callable[[TrialRecord], Any]] = {
    "trial_id": lambda record: record.trial_id,
    "number": lambda record: _whole(record.number),
    "status": lambda record: record.status,
    "unstable": lambda record: record.unstable,
    "symptom": lambda record: record.symptom and record.symptom.value,
    "cause": lambda record: record.cause and record.cause.value,
    "other_causes": lambda record: ";".join(record.other_causes) or None,
    "confidence": lambda record: record.confidence,
    "epoch": lambda record: _whole(record.epoch),
    "step": lambda record: _whole(record.step),
    "value": lambda record: record.value,
    "seconds": lambda record: record.seconds,
    "seconds_saved": lambda record: record.seconds_saved,
    "advice": lambda record: record.advice,
    "fix_verified": lambda record: record.fix_verified,
    "error": lambda record: record.error,
    "evidence": _evidence,
    "skill": lambda record: record.skill,
    "clipped_steps": lambda record: _whole(record.clipped_steps),
    "execution": lambda record: _whole(record.execution),
}


def _parameter_column(values: Sequence[Any]) -> Any:
    seen = [value for value in values if value is not None]
    if seen and all(isinstance(value, bool) for value in seen):
        return pd.array(values, dtype="boolean")
    if seen and all(map(is_number, seen)):
        whole = all(isinstance(value, int) and abs(value) <= _MAX_INT for value in seen)
        return pd.array(values, dtype="Int64" if whole else "Float64")
    return _array([_cell_text(value) for value in values], "string")
