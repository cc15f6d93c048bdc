"""Contents: what a report says, as data; `Report` adds where it comes from and where it goes."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING

from robusttune import _validation
from robusttune._causes import FailureCause
from robusttune._records import TrialRecord
from robusttune._regions import Axis, Region
from robusttune._report import frames
from robusttune._report.advice import advised, common_advice
from robusttune._report.failure_regions import locate
from robusttune._report.importance import Importance, importance_for_failing
from robusttune._report.kinds import Kind, Kinds
from robusttune._report.priorities import Priority, rank
from robusttune._report.search_data import Search, has_ended, has_failed
from robusttune._report.suggest import Suggestion, suggest
from robusttune._report.words import verdict

if TYPE_CHECKING:
    import pandas as pd

# A cause of fewer trials has no region.
_FEWEST_OF_CAUSE = 3


class Contents:
    """The tables, regions and sentences of one search, each made when it is asked for.

    Args:
        search: The trials, and what their host says of the search.
    """

    def __init__(self, search: Search) -> None:
        _validation.check_type("search", search, Search, "a Search", "Use one of Report.from_*().")
        self._search = search
        self._records = tuple(advised(record, search.host) for record in search.records)
        self._regions: dict[str, list[Region]] = {}

    @property
    def name(self) -> str:
        """The name of the search."""
        return self._search.name

    @property
    def host(self) -> str | None:
        """The host that ran the search, such as "keras_tuner" or "optuna"; None: not known."""
        return self._search.host

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """The trials that the report is made from, in the order of their numbers."""
        return self._records

    @property
    def search(self) -> Search:
        """The data of the search that the report is made from."""
        return self._search

    @cached_property
    def axes(self) -> dict[str, Axis]:
        """Kind and scale of each hyperparameter, by name; inferred where it was not declared."""
        return frames.axes_of(self.records, self._search.space)

    @property
    def problems(self) -> tuple[str, ...]:
        """One line for each record or file that could not be read."""
        return self._search.problems + tuple(self._adjustments[1])

    @cached_property
    def trials(self) -> pd.DataFrame:
        """All trials, one row each, in the order of their numbers.

        Columns: trial_id, number (from 0), status (completed, failed, pruned, running), unstable,
        symptom, cause, other_causes (joined by ";"), confidence (0..1), epoch and step (from 0),
        value (the objective), seconds (the diagnosis included), seconds_saved (an estimate),
        advice, fix_verified, error, evidence (JSON), skill (1 - training loss of the last epoch /
        loss of the best constant prediction), clipped_steps, execution (from 0, of several), then
        params_<name> for each hyperparameter.
        """
        return frames.trials_frame(self.records)

    @cached_property
    def failures(self) -> pd.DataFrame:
        """The rows of `trials` that have a cause."""
        return self.trials[self.trials["cause"].notna()]

    @cached_property
    def causes(self) -> pd.DataFrame:
        """The causes, one row each, the most frequent first.

        Columns: cause, trials, share (of the trials with a cause, 0..1), seconds_lost, advice.
        """
        return frames.causes_frame(self.records, self.host)

    @cached_property
    def marginals(self) -> pd.DataFrame:
        """The failure rate per hyperparameter and bin, with 95 % intervals (Wilson).

        Columns: parameter, bin (as text), low and high of it (<NA> for a choice), trials, failures,
        failure_rate, ci_low and ci_high (0..1).
        """
        return frames.marginals_frame(self.records, self.axes)

    @cached_property
    def regions(self) -> pd.DataFrame:
        """The unstable regions, one row each, the most important first.

        Columns: region (its rule), trials, failures, failure_rate, baseline_rate (of the search),
        ci_low and ci_high (95 %, Wilson), p_value, dominant_cause, seconds_lost, then for each
        hyperparameter in any rule <name>_low and <name>_high, or <name>_values (a JSON list).
        """
        return frames.regions_frame(self.find_regions())

    def find_regions(self, of: str = "unstable") -> list[Region]:
        """Return the regions of the search space in which trials fail, the most important first.

        Args:
            of: "unstable" (failed, or went wrong at any time), "stalled", or a FailureCause.

        Returns:
            Regions that noise alone shows in less than 5 % of all searches; none where there are
            too few trials to tell.

        Raises:
            ValueError: `of` is none of these.
        """
        if not isinstance(of, str) or of not in self._regions:
            self._regions[of] = locate(self.records, self.axes, of)
        return list(self._regions[of])

    @cached_property
    def cause_regions(self) -> dict[FailureCause, Region]:
        """For each cause the main region of its failures, where there is one that is not noise.

        The probability that noise shows any of them is 5 % for all causes together.
        """
        counts = Counter(record.cause for record in self.records if record.cause is not None)
        found: dict[FailureCause, Region] = {}
        for cause, count in counts.most_common():
            if count < _FEWEST_OF_CAUSE:
                break
            regions = self.find_regions(cause if len(counts) > 1 else "unstable")
            if regions and regions[0].p_value <= 0.05 / len(counts):
                found[cause] = regions[0]
        return found

    def suggest_space(self) -> list[Suggestion]:
        """Return what to change in the search space, one change per unstable region.

        Regions whose failures no hyperparameter can avoid (broken data or code) give none.
        """
        return list(self._suggestions)

    @cached_property
    def _suggestions(self) -> list[Suggestion]:
        return suggest(self.find_regions(), self.records, self.axes, self._search.space)

    @property
    def adjustments(self) -> pd.DataFrame:
        """Changes of the search space by the sanitizer, one row a change.

        Columns: parameter, field (low, high, log, ...), before, after, reason; all of them text.
        """
        return self._adjustments[0]

    @cached_property
    def _adjustments(self) -> tuple[pd.DataFrame, list[str]]:
        return frames.adjustments_frame(self._search.adjustments)

    @property
    def verdict(self) -> str:
        """Outcome of the search and next step, in two sentences."""
        return " ".join(filter(None, self.verdict_sentences))

    @property
    def verdict_sentences(self) -> tuple[str, str]:
        """Outcome of the search and next step; the latter is empty where nothing failed."""
        return verdict(self.records, self.priorities)

    @cached_property
    def kinds(self) -> Kinds:
        """The failing trials by cause, those of unknown cause by message or symptom."""
        return Kinds(self.records)

    @cached_property
    def priorities(self) -> list[Priority]:
        """Up to three things to fix, those first that cost most trials and time."""
        regions = self.find_regions()
        by_cause = {} if regions else self.cause_regions
        suggestions = self.suggest_space()
        return rank(self.records, self.kinds, regions, by_cause, suggestions, self.advice_of)

    def advice_of(self, kind: Kind) -> str:
        """Return what to do about a kind of failure, in the words of the host."""
        return common_advice(self.kinds.members.get(kind, ()), kind.cause, self.host)

    @cached_property
    def best(self) -> TrialRecord | None:
        """The completed trial with the best objective; None where there is no one objective."""
        sign = {"min": 1.0, "max": -1.0}.get(self._search.direction or "")
        scored = [r for r in self.records if r.value is not None and r.status == "completed"]
        if sign is None or not scored:
            return None
        return min(scored, key=lambda record: sign * (record.value or 0.0))

    @cached_property
    def importance(self) -> dict[str, Importance]:
        """How much each hyperparameter explains of failing, the most important first."""
        return importance_for_failing(self.records, self.axes)

    @cached_property
    def objective_importance(self) -> dict[str, float]:
        """The share of each hyperparameter in how the objective varies, as the host tells it."""
        told = self._search.objective_importance
        return {} if told is None else dict(told())

    @property
    def failure_rate(self) -> float:
        """Share of the ended trials that failed or became unstable, 0..1; 0 without any."""
        ended = [record for record in self.records if has_ended(record)]
        return sum(map(has_failed, ended)) / len(ended) if ended else 0.0

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return all frames by name, in the order in which they are written."""
        return {
            "trials": self.trials,
            "failures": self.failures,
            "regions": self.regions,
            "marginals": self.marginals,
            "causes": self.causes,
            "adjustments": self.adjustments,
        }
