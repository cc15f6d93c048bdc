"""The report's tables, their types, and how they read back from a file."""

from __future__ import annotations

import math
import subprocess
import sys

import pandas as pd
import pandas.testing
import pytest

from robusttune import FailureCause, Report, TrialRecord
from robusttune.records import COLUMNS
from robusttune.report.files import safe_cell
from robusttune.report.frames import (
    ADJUSTMENT_TYPES,
    CAUSE_TYPES,
    MARGINAL_TYPES,
    TRIAL_TYPES,
)
from robusttune.report.search import read_message


def completed(trial_id: str, **more: object) -> TrialRecord:
    """A healthy trial."""
    return TrialRecord(trial_id=trial_id, status="completed", value=0.5, seconds=2.0, **more)


def failed(trial_id: str, cause: str = "divergent_learning_rate", **more: object) -> TrialRecord:
    """A failed trial."""
    return TrialRecord(
        trial_id=trial_id, status="failed", unstable=True, cause=cause, seconds=1.5, **more
    )


SEARCHES = {
    "empty": [],
    "all_failed": [failed(str(n), params={"lr": 10.0 + n}) for n in range(4)],
    "none_failed": [completed(str(n), params={"lr": 0.1 * n}) for n in range(4)],
    "no_parameters": [completed("0"), failed("1")],
    "one_trial": [failed("0", params={"lr": 1.0})],
    "hundreds_of_parameters": [
        completed(str(n), params={f"p{k}": n * k for k in range(300)}) for n in range(3)
    ],
}


@pytest.mark.parametrize("records", SEARCHES.values(), ids=SEARCHES)
def test_frames_have_their_columns_and_types_whatever_the_search(records):
    """Zero trials, all failed or none: the columns and types of the tables stay the same."""
    report = Report.from_records(records)
    assert tuple(report.trials.columns[: len(COLUMNS)]) == COLUMNS == tuple(TRIAL_TYPES)
    assert len(report.trials) == len(records)
    for frame, types in (
        (report.trials, TRIAL_TYPES),
        (report.failures, TRIAL_TYPES),
        (report.causes, CAUSE_TYPES),
        (report.marginals, MARGINAL_TYPES),
        (report.adjustments, ADJUSTMENT_TYPES),
    ):
        assert {name: str(frame.dtypes[name]) for name in types} == types


@pytest.mark.parametrize("records", SEARCHES.values(), ids=SEARCHES)
def test_summary_speaks_of_any_search(records):
    """The summary of any search starts with its verdict."""
    report = Report.from_records(records)
    assert report.summary(width=1000).startswith(report.verdict)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2, None], "Int64"),
        ([1, 2.5], "Float64"),
        ([True, None, False], "boolean"),
        (["relu", None], "string"),
        ([1, "auto"], "string"),
        ([10**30, 1], "Float64"),
        ([[1, 2], None], "string"),
        ([None, None], "string"),
    ],
)
def test_parameter_columns_take_the_narrowest_type(values, kind):
    """A hyperparameter is a nullable number or truth value where all its values are."""
    records = [completed(str(n), params={"p": value}) for n, value in enumerate(values)]
    assert str(Report.from_records(records).trials["params_p"].dtype) == kind


def test_trials_keep_huge_steps_out_instead_of_failing():
    """A step number that no column can hold becomes missing."""
    trials = Report.from_records([failed("0", step=10**30)]).trials
    assert trials["step"].isna().all()


def test_trials_without_a_number_are_numbered_in_their_order():
    """Numbers that the records lack are filled with those that are free."""
    records = [completed("a"), completed("b", number=0), completed("c")]
    trials = Report.from_records(records).trials
    assert dict(zip(trials.trial_id, trials.number, strict=True)) == {"b": 0, "a": 1, "c": 2}


def test_causes_count_share_and_time():
    """Causes come with their number of trials, share of the failures and seconds lost."""
    records = [failed("0"), failed("1"), failed("2", "unsafe_loss"), completed("3")]
    causes = Report.from_records(records).causes
    assert causes.cause.tolist() == ["divergent_learning_rate", "unsafe_loss"]
    assert causes.trials.tolist() == [2, 1]
    assert causes.share.tolist() == pytest.approx([2 / 3, 1 / 3])
    assert causes.seconds_lost.tolist() == [3.0, 1.5]


def test_marginals_count_each_active_trial_once():
    """The bins of a hyperparameter hold every ended trial in which it was active, once."""
    records = [
        (failed if n > 60 else completed)(
            str(n), params={"lr": 1.1**n, "opt": "sgd" if n % 2 else "adam"} | extra
        )
        for n in range(100)
        for extra in [{"momentum": n / 100} if n % 2 else {}]
    ]
    marginals = Report.from_records(records).marginals
    totals = marginals.groupby("parameter")[["trials", "failures"]].sum()
    assert totals.loc["lr"].tolist() == [100, 39]
    assert totals.loc["opt"].tolist() == [100, 39]
    assert totals.loc["momentum"].tolist() == [50, 20]
    assert (marginals.ci_low <= marginals.failure_rate).all()
    assert (marginals.failure_rate <= marginals.ci_high).all()


def test_adjustments_are_texts_and_malformed_ones_are_named():
    """Before and after of an adjustment are texts; an entry that is no adjustment is a problem."""
    good = {"parameter": "lr", "field": "sampling", "before": None, "after": 1.5, "reason": "r"}
    report = Report.from_records([], adjustments=[good, "nonsense"])
    assert report.adjustments.iloc[0].tolist()[:2] == ["lr", "sampling"]
    assert pd.isna(report.adjustments.before[0])
    assert report.adjustments.after[0] == "1.5"
    assert report.problems == ("adjustment 1: 'nonsense'",)


def test_csv_reads_back_equal(tmp_path):
    """Each CSV file, read with the frame's types, is the frame."""
    records = [
        failed(
            str(n),
            error='a "quoted", text',
            evidence={"losses": [1.0, "nan"], "learning_rate": 0.1 + n / 3},
            params={"lr": math.pi * 10**-n, "act": "relu", "bn": bool(n % 2), "units": n},
        )
        for n in range(5)
    ] + [completed("5", params={"lr": 1e-300, "act": "tanh"})]
    report = Report.from_records(records)
    for path in report.to_csv(tmp_path):
        frame = report.tables()[path.stem].reset_index(drop=True)
        types = frame.dtypes.to_dict()
        pandas.testing.assert_frame_equal(pd.read_csv(path, dtype=types), frame, check_exact=True)


@pytest.mark.parametrize("cause", FailureCause)
def test_csv_causes_never_read_as_missing(tmp_path, cause):
    """No cause is a word that pandas takes for a missing value."""
    Report.from_records([failed("0", cause)]).to_csv(tmp_path)
    assert pd.read_csv(tmp_path / "failures.csv").cause.tolist() == [cause.value]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|'/C calc'!A0", "'+cmd|'/C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("-1.5e-3", "-1.5e-3"),
        ("+7", "+7"),
        ("-inf", "'-inf"),
        ("adam", "adam"),
        ("", ""),
    ],
)
def test_cells_cannot_start_a_formula(text, written):
    """A cell that a spreadsheet would run gets an apostrophe, a number does not."""
    assert safe_cell(text) == written


def test_csv_is_safe_in_cells_and_in_column_names(tmp_path):
    """Values, errors and names of hyperparameters that are formulas are disarmed."""
    record = failed("=1", error="=HYPERLINK(1)", params={"=name": "@x", "n": "-3"})
    Report.from_records([record]).to_csv(tmp_path)
    for path in tmp_path.iterdir():
        for line in path.read_text().splitlines():
            assert not any(cell.startswith(("=", "+", "@")) for cell in line.split(","))


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (None, "unknown"),
        ("  \n", "unknown"),
        ("Traceback (most recent call last):\n  File 'a'\nNameError: name 'x'\n", "code_error"),
        ("Traceback (most recent call last):\n  File 'a'\nMemoryError\n", "out_of_memory"),
        ("ResourceExhaustedError: {{node}} OOM when allocating tensor", "out_of_memory"),
        ("ValueError: Input 0 of layer 'd' is incompatible with the layer: x", "invalid_model"),
        ("ValueError: Input contains NaN.", "unknown"),
        ("SomethingError: odd", "unknown"),
    ],
)
def test_messages_show_a_cause_only_where_they_are_conclusive(message, cause):
    """Memory, shapes and faults of the code say so themselves; NaN does not say why."""
    assert read_message(message)[0] == cause


def test_error_of_a_traceback_keeps_all_lines_of_its_text():
    """The text of an exception may have several lines; the frames before it are dropped."""
    message = (
        "Traceback (most recent call last):\n  File 'a', line 1\n    f()\nKeyError: one\ntwo\n"
    )
    assert read_message(message)[2] == "KeyError: one two"


def test_report_imports_no_tensorflow_keras_or_optuna():
    """From records to the report, none of the heavy libraries is loaded."""
    code = (
        "import sys; from robusttune import Report, TrialRecord;"
        "r = Report.from_records([TrialRecord(trial_id='0', status='failed', cause='unknown')]);"
        "r.summary(), r.tables();"
        "sys.exit(any(n in sys.modules for n in ('tensorflow', 'keras', 'keras_tuner', 'optuna')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
