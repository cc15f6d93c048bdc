"""Report: which trials of a search failed, where, why, and what to do about it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robusttune import arguments
from robusttune._deprecation import renamed_argument
from robusttune.causes import FailureCause
from robusttune.files import write_output
from robusttune.records import TrialRecord
from robusttune.regions import Axis, Region
from robusttune.report import frames, sources
from robusttune.report.files import write_csv, write_parquet
from robusttune.report.locate import locate
from robusttune.report.search import Search, has_ended, has_failed
from robusttune.report.suggest import Suggestion, suggest
from robusttune.report.summary import summary
from robusttune.report.words import verdict

if TYPE_CHECKING:
    import pandas as pd

# A cause of fewer trials has no region.
_FEWEST_OF_CAUSE = 3


class Report:
    """What happened in a search for hyperparameters, as tables, pages and plain words.

    Make one with `from_tuner`, `from_directory`, `from_study`, `from_storage` or `from_records`.
    All frames have pandas' nullable types, so that what is missing is <NA> in any column.

    Example:
        >>> from robusttune import Report, TrialRecord
        >>> good = TrialRecord(trial_id="0", status="completed", value=0.1, params={"lr": 0.01})
        >>> bad = TrialRecord(trial_id="1", status="failed", unstable=True,
        ...                   cause="divergent_learning_rate", params={"lr": 10.0})
        >>> report = Report.from_records([good, bad])
        >>> list(report.failures.trial_id)
        ['1']
    """

    def __init__(self, search: Search) -> None:
        arguments.instance("search", search, Search, "a Search", "Use one of Report.from_*().")
        self._search = search
        self._regions: dict[str, list[Region]] = {}

    @classmethod
    def from_records(
        cls,
        records: Iterable[TrialRecord],
        *,
        adjustments: Iterable[Mapping[str, Any]] = (),
        name: str = "search",
    ) -> Report:
        """Return the report of these trials.

        Args:
            records: One per trial; those without a number are numbered in their order.
            adjustments: What the sanitizer changed: mappings with parameter, field, before, after
                and reason.
            name: What the report calls the search.

        Raises:
            TypeError: An argument is none of these.
        """
        arguments.instance("name", name, str, "a str")
        records = arguments.collection("records", records, TrialRecord, "a list of TrialRecord")
        adjustments = arguments.collection("adjustments", adjustments, object, "a list of mappings")
        return cls(Search.of(records, adjustments=adjustments, name=name))

    @classmethod
    def from_directory(cls, directory: str | os.PathLike[str]) -> Report:
        """Return the report of a Keras Tuner project folder, also of one that still runs.

        Args:
            directory: The folder with oracle.json and the trial_<id> folders in it.

        Raises:
            FileNotFoundError: There is no such folder.
            ValueError: The folder is not that of a search.
        """
        project = arguments.path("directory", directory)
        return cls(sources.reader("keras_tuner").read_project(project))

    @classmethod
    def from_tuner(cls, tuner: Any) -> Report:
        """Return the report of a Keras Tuner tuner, read from its project folder.

        Args:
            tuner: Any keras_tuner tuner, of robusttune or not.

        Raises:
            TypeError: It is no tuner.
        """
        found = hasattr(tuner, "project_dir")
        arguments.require(found, "tuner", "a keras_tuner tuner", tuner, error=TypeError)
        return cls.from_directory(tuner.project_dir)

    @classmethod
    def from_study(cls, study: Any) -> Report:
        """Return the report of an Optuna study, of robusttune or not, also of one that runs.

        Args:
            study: An optuna.Study.

        Raises:
            TypeError: It is none.
        """
        return cls(sources.reader("optuna").read_study(study))

    @classmethod
    def from_storage(
        cls, storage: str | os.PathLike[str] | Any, study_name: str | None = None
    ) -> Report:
        """Return the report of an Optuna study in a storage.

        Args:
            storage: An Optuna storage, its URL, or the path of an SQLite or journal file.
            study_name: Which study; None: the only one.

        Raises:
            FileNotFoundError: There is no such file; none is created.
            ValueError: The storage cannot be read, or which study is meant is not clear.
        """
        return cls(sources.reader("optuna").read(storage, study_name))

    @property
    def name(self) -> str:
        """What the report calls the search."""
        return self._search.name

    @property
    def host(self) -> str | None:
        """The host that ran the search, such as "keras_tuner" or "optuna"; None: not known."""
        return self._search.host

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """The trials that the report is made from, in the order of their numbers."""
        return self._search.records

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
        advice, fix_verified, error, evidence (JSON), then params_<name> for each hyperparameter.
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
        return frames.causes_frame(self.records)

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
        return suggest(self.find_regions(), self.records, self.axes, self._search.space)

    @property
    def adjustments(self) -> pd.DataFrame:
        """What the sanitizer changed in the search space, one row a change.

        Columns: parameter, field (low, high, log, ...), before, after, reason; all of them text.
        """
        return self._adjustments[0]

    @cached_property
    def _adjustments(self) -> tuple[pd.DataFrame, list[str]]:
        return frames.adjustments_frame(self._search.adjustments)

    @property
    def verdict(self) -> str:
        """What happened and what to do, in two sentences."""
        return " ".join(filter(None, self.verdict_sentences))

    @property
    def verdict_sentences(self) -> tuple[str, str]:
        """What happened, and what to do; the second is empty where nothing failed."""
        regions = self.find_regions()
        by_cause = {} if regions else self.cause_regions
        return verdict(self.records, regions, self.suggest_space(), by_cause)

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

    def to_csv(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Write all frames as <directory>/<frame>.csv and return the paths.

        Texts that a spreadsheet would run as a formula get a leading apostrophe.
        """
        return write_csv(self.tables(), arguments.path("directory", directory))

    @renamed_argument("colour", "color", until="0.3")
    def summary(self, *, width: int = 100, color: bool = False) -> str:
        """Return the report as text for a terminal, `width` characters wide."""
        arguments.integer("width", width, least=1)
        arguments.boolean("color", color)
        return summary(self, width=width, color=color)

    def to_parquet(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Write all frames as <directory>/<frame>.parquet and return the paths.

        Raises:
            ImportError: pyarrow is not installed.
        """
        return write_parquet(self.tables(), arguments.path("directory", directory))

    def html(self, *, embedded: bool = False) -> str:
        """Return the report as one self-contained page, or as a part of one for a notebook."""
        from robusttune.report.html import render

        arguments.boolean("embedded", embedded)
        return render(self, embedded=embedded)

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write the report as one self-contained page and return its path.

        The page needs no network, is readable without JavaScript, and runs no text of a trial. It
        is written as a whole: who reads it meanwhile sees the old page or the new one.
        """
        target = arguments.path("path", path)
        write_output(target, self.html().encode("utf-8", errors="replace"))
        return target

    def _repr_html_(self) -> str:
        return self.html(embedded=True)

    def __repr__(self) -> str:
        return f"<Report of {self.name!r}: {len(self.records)} trials>"
