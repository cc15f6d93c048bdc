"""Earlier searches, read from wherever `Policy.prior_searches` says that they are."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robusttune._causes import FailureCause
from robusttune._learning import EarlierSearch, FailureModel, Outcome
from robusttune._regions.axes import infer_axis
from robusttune._report.search_data import Search
from robusttune._report.sources import read, without_password
from robusttune._space.parameters import Choice, Float, Int, Parameter
from robusttune.errors import InstabilityWarning, SearchSpaceWarning, StoreError

_PREFIX = "params_"


class PriorSearches:
    """Earlier searches, each reduced to a small table when it is read.

    Args:
        sources: Project folders, URLs or files of Optuna storages, CSV files of a report.

    Raises:
        StoreError: One of them is missing, or is not a search.

    Attributes:
        searches: What was read, in the order of the sources.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        self.searches: tuple[EarlierSearch, ...] = tuple(map(_read, sources))
        self._warned: set[str] = set()  # warnings that were given
        self._known: tuple[Mapping[str, Parameter], dict[str, FailureModel]] | None = None

    def __bool__(self) -> bool:
        return bool(self.searches)

    def failure_models_for(self, space: Mapping[str, Parameter]) -> Mapping[str, FailureModel]:
        """Return what each search teaches of a space, by its name; what it cannot, is a warning.

        Args:
            space: The hyperparameters of this search, by name.
        """
        if self._known is None or self._known[0] != space:
            self._known = dict(space), self._learn(space)
        return self._known[1]

    def _learn(self, space: Mapping[str, Parameter]) -> dict[str, FailureModel]:
        failure_models = {}
        for search in self.searches:
            failure_model, problems = search.failure_model_for(space.values())
            for problem in problems:
                text = f"The prior search {search.name!r} is used in part only: {problem}."
                if text not in self._warned:
                    self._warned.add(text)
                    warnings.warn(text, SearchSpaceWarning, stacklevel=2)
            if failure_model is not None:
                failure_models[search.name] = failure_model
        return failure_models


def turned_away(count: int, by: str) -> dict[str, Any]:
    """Return how a report lists the proposals that an earlier search turned away."""
    what = "proposal" if count == 1 else "proposals"
    return {
        "parameter": "",
        "field": "proposals",
        "before": count,
        "after": 0,
        "reason": f"{count} {what} turned away by {by}",
    }


def _read(source: str) -> EarlierSearch:
    shown = without_password(source)
    try:
        if source.endswith(".csv"):
            return _read_csv(source)
        search = read(source)
    except (OSError, ValueError) as error:
        raise StoreError(f"prior_searches: {shown!r} cannot be read: {error}") from error
    if search.problems:
        warnings.warn(
            f"The prior search {shown!r} can be read in part only:"
            f" {'; '.join(search.problems[:5])}",
            InstabilityWarning,
            stacklevel=2,
        )
    outcomes = _outcomes(search)
    space = dict(search.space) or _inferred([outcome.params for outcome in outcomes])
    return EarlierSearch.of(search.name, space, outcomes, source)


def _outcomes(search: Search) -> list[Outcome]:
    outcomes = []
    for record in search.records:
        if record.status == "failed":
            outcomes.append(Outcome.of_failure(record.params, record))
        elif record.status == "completed":
            outcomes.append(Outcome(record.params, False))
    return outcomes


def _read_csv(source: str) -> EarlierSearch:
    """Read trials.csv or failures.csv of a report, of whatever version.

    Raises:
        ValueError: It has no column of a status, or none of hyperparameters.
    """
    import pandas as pd

    frame = pd.read_csv(source)
    names = [str(name) for name in frame.columns if str(name).startswith(_PREFIX)]
    if "status" not in frame or not names:
        raise ValueError("it has no columns status and params_*, as a report's trials.csv has")
    outcomes = []
    for row in frame.to_dict("records"):
        params = {n.removeprefix(_PREFIX): row[n] for n in names if not _is_missing(row[n])}
        if row["status"] == "failed":
            kind = "" if _is_missing(row.get("symptom")) else str(row["symptom"])
            error = "" if _is_missing(row.get("error")) else str(row["error"])
            outcomes.append(Outcome(params, True, _cause(row.get("cause")), kind, error))
        elif row["status"] == "completed":
            outcomes.append(Outcome(params, False))
    space = _inferred([outcome.params for outcome in outcomes])
    return EarlierSearch.of(Path(source).stem, space, outcomes, source)


def _cause(text: Any) -> FailureCause | None:
    return FailureCause(text) if text in list(FailureCause) else None


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _inferred(tried: Sequence[Mapping[str, Any]]) -> dict[str, Parameter]:
    """Return the hyperparameters that the values of trials suggest."""
    space: dict[str, Parameter] = {}
    for name in dict.fromkeys(name for params in tried for name in params):
        values = [params[name] for params in tried if name in params]
        axis = infer_axis(name, values)
        if axis.kind == "choice":
            space[name] = Choice(name, tuple(dict.fromkeys(values)))
        elif axis.kind == "int":
            space[name] = Int(name, min(values), max(values), log=axis.log)
        else:
            space[name] = Float(name, min(values), max(values), log=axis.log)
    return space
