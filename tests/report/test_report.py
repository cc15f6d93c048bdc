"""The report's tables, their types, and how they read back from a file."""

from __future__ import annotations

import math
import subprocess
import sys

import pandas as pd
import pandas.testing
import pytest

from robusttune import FailureCause, Report, TrialRecord
from robusttune._records import COLUMNS
from robusttune._report.files import safe_cell
from robusttune._report.frames import (
    ADJUSTMENT_TYPES,
    CAUSE_TYPES,
    MARGINAL_TYPES,
    TRIAL_TYPES,
)
from robusttune._report.search_data import Search
from robusttune._report.words import duration


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


@pytest.mark.parametrize(
    ("values", "first"),
    [
        ([1_048_576, 1_048_577], "1048576"),
        (range(1_000_000, 1_000_100), "1000000 to 1000012"),
        ([0.1 * 3], "0.3"),
        ([0.0123456 * n for n in range(100)], "0 to 0.1481"),
    ],
)
def test_marginals_name_their_bins_as_people_write_numbers(values, first):
    """Whole numbers have no exponent, and two values not one name."""
    records = [completed(str(n), params={"p": value}) for n, value in enumerate(values)]
    names = Report.from_records(records).marginals["bin"]
    assert names[0] == first
    assert names.is_unique


def test_adjustments_are_texts_and_malformed_ones_are_named():
    """Before and after of an adjustment are texts; an entry that is no adjustment is a problem."""
    good = {"parameter": "lr", "field": "sampling", "before": None, "after": 1.5, "reason": "r"}
    report = Report.from_records([], adjustments=[good, "nonsense"])
    assert report.adjustments.iloc[0].tolist()[:2] == ["lr", "sampling"]
    assert pd.isna(report.adjustments.before[0])
    assert report.adjustments.after[0] == "1.5"
    assert report.problems == ("adjustment 1: 'nonsense'",)


def test_summary_says_what_was_adjusted():
    """One line a hyperparameter: what it is searched as, and from where to know more."""
    entries = [
        {"parameter": "lr", "field": "low", "before": 0.0, "after": 1e-5},
        {"parameter": "lr", "field": "log", "before": False, "after": True},
        {"parameter": "drop", "field": "high", "before": 1.0, "after": 0.9},
    ]
    text = Report.from_records([], adjustments=entries).summary()
    assert text.endswith(
        "\nAdjusted in the search space: lr (low 0.0 -> 1e-05, log false -> true),"
        " drop (high 1.0 -> 0.9)."
    )


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


@pytest.mark.parametrize("text", ["None", "nan", "", "NA", "null"])
def test_csv_choices_never_read_as_missing(tmp_path, text):
    """A choice whose text pandas takes for a missing value is quoted among the bins."""
    records = [completed(str(n), params={"p": (text, "b", None)[n]}) for n in range(3)]
    report = Report.from_records(records)
    assert sorted(report.marginals["bin"]) == sorted([repr(text), "b", "(None)"])
    report.to_csv(tmp_path)
    read = pd.read_csv(tmp_path / "marginals.csv")
    assert read["bin"].tolist() == report.marginals["bin"].tolist()


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


def test_report_imports_no_tensorflow_keras_or_optuna():
    """From records to the report, none of the heavy libraries is loaded."""
    code = (
        "import sys; from robusttune import Report, TrialRecord;"
        "r = Report.from_records([TrialRecord(trial_id='0', status='failed', cause='unknown')]);"
        "r.summary(), r.tables();"
        "sys.exit(any(n in sys.modules for n in ('tensorflow', 'keras', 'keras_tuner', 'optuna')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def sweep(cause="divergent_learning_rate", *, odd=()):
    """Return the records of 60 trials, of which the 17 with the highest rates failed."""
    return [
        (failed if n >= 43 else completed)(
            str(n),
            **({"cause": "unsafe_loss" if n in odd else cause} if n >= 43 else {}),
            params={"lr": 10 ** (n / 10 - 5), "n": n * 7 % 60},
        )
        for n in range(60)
    ]


def test_verdict_says_what_where_why_and_what_to_do():
    """The first sentence counts, locates and names the cause; the second says what to change."""
    what, advice = Report.from_records(sweep()).verdict_sentences
    assert what == "17 of 60 trials failed; 17 of them where lr > 0.18: divergent learning rate."
    assert advice == "Lower the upper bound of lr to 0.18."


def test_verdict_says_mostly_where_the_causes_differ():
    """A cause that does not explain all failures of the region is not said to."""
    what, _ = Report.from_records(sweep(odd={45})).verdict_sentences
    assert what.endswith("where lr > 0.18: mostly divergent learning rate.")


def test_verdict_locates_a_cause_where_nearly_all_trials_fail():
    """Where trials fail all over the space, the most frequent cause is located by itself."""
    records = [
        failed(
            str(n),
            "unsafe_loss" if n % 2 else "unscaled_data",
            params={"loss": "ratio" if n % 2 else "mse", "lr": 0.1 * (n * 7 % 20)},
        )
        for n in range(19)
    ]
    report = Report.from_records([*records, completed("19", params={"loss": "mse", "lr": 0.3})])
    what, advice = report.verdict_sentences
    assert what == (
        "19 of 20 trials failed; 10 of them where loss == 'mse': unscaled data;"
        " 9 of them where loss == 'ratio': unsafe loss."
    )
    assert advice == FailureCause.UNSCALED_DATA.advice
    assert report.cause_regions[FailureCause.UNSAFE_LOSS].rule == "loss == 'ratio'"
    assert "too few" not in report.summary()


def test_verdict_does_not_narrow_the_space_where_the_cure_is_another():
    """A loss that is undefined is to be fixed, wherever in the space it shows."""
    report = Report.from_records(sweep("unsafe_loss"))
    assert report.verdict_sentences[1] == FailureCause.UNSAFE_LOSS.advice
    assert len(report.suggest_space()) == 1


@pytest.mark.parametrize(
    ("records", "first"),
    [
        ([], "The search has no trials yet."),
        ([completed("0")], "The only trial did not fail."),
        ([failed("0")], "The only trial failed: divergent learning rate."),
        ([completed("0"), completed("1")], "None of 2 trials failed."),
        ([failed("0"), failed("1")], "All 2 trials failed: divergent learning rate."),
        (
            [failed("0"), failed("1"), failed("2", "unsafe_loss"), completed("3")],
            "3 of 4 trials failed: divergent learning rate 2, unsafe loss 1.",
        ),
        (
            [completed("0", unstable=True, cause="unsafe_loss"), completed("1")],
            "None of 2 trials failed; 1 completed but was unstable: unsafe loss.",
        ),
        (
            [failed("0"), completed("1"), TrialRecord(trial_id="2")],
            "1 of 3 trials failed: divergent learning rate; 1 still running.",
        ),
    ],
)
def test_first_sentence_counts(records, first):
    """The first sentence is right for few trials, running ones, and late instability."""
    assert Report.from_records(records).verdict_sentences[0] == first


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59, "59 s"),
        (90, "2 min"),
        (3600, "1 h"),
        (4000, "1 h 7 min"),
    ],
)
def test_durations_read_as_people_say_them(seconds, text):
    """Seconds, minutes, hours, with as many digits as one wants to read."""
    assert duration(seconds) == text


def test_parquet_reads_back_equal(tmp_path):
    """Each Parquet file is the frame, with its types."""
    pytest.importorskip("pyarrow")
    report = Report.from_records(sweep())
    for path in report.to_parquet(tmp_path):
        frame = report.tables()[path.stem].reset_index(drop=True)
        pandas.testing.assert_frame_equal(pd.read_parquet(path), frame)


def test_failure_rate_leaves_out_what_still_runs():
    """The failure rate is that of the trials that have ended."""
    records = [failed("0"), completed("1"), TrialRecord(trial_id="2")]
    assert Report.from_records(records).failure_rate == 0.5
    assert Report.from_records([]).failure_rate == 0.0


def test_verdict_begins_with_what_costs_most():
    """Six trials of 11 s come before the five of 3 s that a region explains."""
    records = [
        failed(str(n), "unsafe_loss", params={"loss": "ratio", "lr": 0.1 * n}) for n in range(5)
    ]
    records += [
        failed(str(n), "unscaled_data", params={"loss": "mse", "lr": 0.1 * (n * 7 % 12)})
        for n in range(5, 11)
    ]
    records = [r.replace(seconds=0.6 if r.cause == "unsafe_loss" else 1.9) for r in records]
    records += [completed(str(n), params={"loss": "mse", "lr": 0.02 * n}) for n in range(11, 40)]
    report = Report.from_records(records)
    first, second = report.priorities
    assert [region.rule for region in report.find_regions()] == ["loss == 'ratio'"]
    assert (first.label, first.trials, first.seconds) == ("unscaled data", 6, pytest.approx(11.4))
    assert (second.label, second.rule, second.trials) == ("unsafe loss", "loss == 'ratio'", 5)
    assert report.verdict_sentences == (
        "11 of 40 trials failed; 6 of them: unscaled data;"
        " 5 of them where loss == 'ratio': unsafe loss.",
        FailureCause.UNSCALED_DATA.advice,
    )


def test_verdict_names_three_things_at_most():
    """One sentence is to be read."""
    causes = ["unsafe_loss", "unscaled_data", "dead_relu", "crashed", "timeout"]
    records = [failed(f"{n}{k}", cause) for n, cause in enumerate(causes) for k in range(9 - n)]
    report = Report.from_records(records)
    assert [priority.label for priority in report.priorities] == [
        "unsafe loss",
        "unscaled data",
        "dead relu",
    ]


def unknown_trials():
    """Trials of unknown cause: by the user's messages, by symptom, and of nothing known."""
    told = [
        failed(str(n), "unknown", symptom="exception", error=f"TrialFailure: units do not fit {n}")
        for n in range(4)
    ]
    once = [failed("7", "unknown", symptom="exception", error="TrialFailure: no such file.")]
    nan = [failed(str(n), "unknown", symptom="non_finite_objective") for n in range(8, 10)]
    return [*told, *once, *nan, failed("10", "unknown"), completed("11")]


def test_unknown_causes_are_told_apart_by_what_is_known():
    """The user's own message is the name of what went wrong; numbers in it may differ."""
    report = Report.from_records(unknown_trials())
    assert {kind.label: len(of) for kind, of in report.kinds.members.items()} == {
        "units do not fit …": 4,
        "non finite objective, cause unknown": 2,
        "no such file": 1,
        "unknown": 1,
    }
    assert report.causes.cause.tolist() == ["unknown"]
    assert "units do not fit … 4, " in report.verdict
    assert "raised this error" in report.verdict_sentences[1]
    assert "units do not fit …" in report.summary(width=200)


@pytest.mark.parametrize("host", ["keras_tuner", "optuna", None])
def test_advice_is_one_text_a_trial_and_right_for_its_host(host):
    """Whatever was stored, a study of Optuna does not hear of Keras Tuner's exception."""
    stored = failed("0", "code_error", advice=FailureCause.CODE_ERROR.advice, error="KeyError: 1")
    report = Report(Search.of([stored, failed("1", "code_error")], host=host))
    texts = {*report.trials.advice, *report.causes.advice, report.verdict_sentences[1]}
    assert len(texts) == 1
    (text,) = texts
    assert ("raise keras_tuner.errors.FailedTrialError instead" in text) is (host == "keras_tuner")
    assert ("raise optuna.TrialPruned instead" in text) is (host == "optuna")


def test_best_is_the_best_of_the_completed_ones():
    """A pruned trial's last value is none, and without a direction nothing is best."""
    records = [
        completed("0").replace(value=0.5),
        completed("1").replace(value=0.3),
        TrialRecord(trial_id="2", status="pruned", value=0.1),
    ]
    best = {d: Report(Search.of(records, direction=d)).best for d in ("min", "max", None)}
    assert best["min"].trial_id == "1"
    assert best["max"].trial_id == "0"
    assert best[None] is None
