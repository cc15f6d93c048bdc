"""Report: which trials of a search failed, where, why, and what to do about it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from robusttune import _validation
from robusttune._deprecation import renamed_argument
from robusttune._files import write_output
from robusttune._records import TrialRecord
from robusttune._report import sources
from robusttune._report.contents import Contents
from robusttune._report.files import write_csv, write_parquet
from robusttune._report.search_data import Search
from robusttune._report.summary import summary


class Report(Contents):
    """Report on a hyperparameter search: tables, an HTML page and a summary.

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
        _validation.check_type("name", name, str, "a str")
        records = _validation.check_items("records", records, TrialRecord, "a list of TrialRecord")
        adjustments = _validation.check_items(
            "adjustments", adjustments, object, "a list of mappings"
        )
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
        project = _validation.check_path("directory", directory)
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
        _validation.require(found, "tuner", "a keras_tuner tuner", tuner, error=TypeError)
        return cls.from_directory(tuner.project_dir)

    @classmethod
    def from_study(cls, study: Any) -> Report:
        """Return the report of an Optuna study, of robusttune or not, also of one that runs.

        Args:
            study: An optuna.Study.

        Raises:
            TypeError: It is not a study.
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

    def to_csv(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Write all frames as <directory>/<frame>.csv and return the paths.

        Texts that a spreadsheet would run as a formula get a leading apostrophe.
        """
        return write_csv(self.tables(), _validation.check_path("directory", directory))

    @renamed_argument("colour", "color", until="0.3")
    def summary(self, *, width: int = 100, color: bool = False) -> str:
        """Return the report as text for a terminal, `width` characters wide."""
        _validation.check_int("width", width, least=1)
        _validation.check_bool("color", color)
        return summary(self, width=width, color=color)

    def to_parquet(self, directory: str | os.PathLike[str]) -> list[Path]:
        """Write all frames as <directory>/<frame>.parquet and return the paths.

        Raises:
            ImportError: pyarrow is not installed.
        """
        return write_parquet(self.tables(), _validation.check_path("directory", directory))

    def html(self, *, embedded: bool = False) -> str:
        """Return the report as one self-contained page, or as a part of one for a notebook."""
        from robusttune._report.html import render

        _validation.check_bool("embedded", embedded)
        return render(self, embedded=embedded)

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write the report as one self-contained page and return its path.

        The page needs no network, is readable without JavaScript, and runs no text of a trial. It
        is written as a whole: who reads it meanwhile sees the old page or the new one.
        """
        target = _validation.check_path("path", path)
        write_output(target, self.html().encode("utf-8", errors="replace"))
        return target

    def _repr_html_(self) -> str:
        return self.html(embedded=True)

    def __repr__(self) -> str:
        return f"<Report of {self.name!r}: {len(self.records)} trials>"
