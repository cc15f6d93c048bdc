"""HTML: a report as one page that needs neither a network nor JavaScript, and runs no text."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from robusttune.causes import FailureCause
from robusttune.records import TrialRecord, one_line, plain
from robusttune.regions import Region
from robusttune.report.charts import (
    key,
    loss_chart,
    marginal_chart,
    replay_chart,
    replays_of,
    timeline_chart,
)
from robusttune.report.draw import number, shortened
from robusttune.report.marks import DARK, HEALTHY, LIGHT, Marks, marginals_of
from robusttune.report.region_chart import region_chart
from robusttune.report.search import has_ended, has_failed
from robusttune.report.sources import hosts
from robusttune.report.suggest import Suggestion
from robusttune.report.words import below_constant, counted, duration, named, spoken, too_few

if TYPE_CHECKING:
    from robusttune.report.contents import Contents

# What a page shows at most; the tables have all of it.
_MOST_ROWS = 1000
_MOST_PARAMETERS = 12
_MOST_CLOSE_UPS = 6
_MOST_CELL = 160
_MOST_REPLAYS = 12
_TRIAL_COLUMNS = (
    ("number", "#"),
    ("trial_id", "trial"),
    ("status", "status"),
    ("cause", "cause"),
    ("confidence", "confidence"),
    ("epoch", "epoch"),
    ("step", "step"),
    ("value", "objective"),
    ("skill", "skill"),
    ("seconds", "seconds"),
)


def render(report: Contents, *, embedded: bool = False) -> str:
    """Return the report as HTML.

    Everything that came from a user or an exception is escaped, and the page's own policy lets no
    script run but the one that sorts the table.

    Args:
        report: The report.
        embedded: Whether to return a part of a page, for a notebook, without the long parts.
    """
    from robusttune._version import __version__

    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(
        v=_view(report, embedded),
        style=Markup(style_sheet()),
        script=Markup(script),
        script_hash=digest,
        version=__version__,
    )


@cache
def _asset(name: str) -> str:
    return files("robusttune.report").joinpath("page", name).read_text(encoding="utf-8")


@cache
def style_sheet() -> str:
    """Return the style sheet of the page, with the colours of both themes."""

    def block(selector: str, scheme: str, palette: Mapping[str, str]) -> str:
        colours = "; ".join(f"--{name}: {colour}" for name, colour in palette.items())
        return f"{selector} {{ color-scheme: {scheme}; {colours}; }}\n"

    chosen = block('.robusttune[data-theme="dark"]', "dark", DARK)
    of_system = block('.robusttune:not([data-theme="light"])', "dark", DARK)
    return (
        block(".robusttune", "light", LIGHT)
        + f"@media screen {{\n{chosen}}}\n"
        + f"@media screen and (prefers-color-scheme: dark) {{\n{of_system}}}\n"
        + _asset("style.css")
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_asset("report.html.jinja"))


def _view(report: Contents, embedded: bool) -> dict[str, Any]:
    """Return all that the template shows, as plain values and finished pictures."""
    records = report.records
    causes = report.causes.to_dict("records")
    marks = Marks.ranked(row["cause"] for row in causes)
    return {
        "name": report.name,
        "count": counted(len(records)),
        "embedded": embedded,
        "verdict": _verdict(report),
        "facts": _facts(records),
        "below_constant": below_constant(records),
        "legend": _legend(records, marks),
        "regions": [_region(region, report, marks) for region in report.find_regions()],
        "region_note": _region_note(report),
        "causes": [_cause(row, report, marks) for row in causes],
        "timeline": timeline_chart(records, marks) if records else None,
        "timeline_scaled": any(record.value is not None for record in records),
        **_marginals(report),
        **_close_ups(records, marks),
        "adjustments": _adjustments(report.adjustments),
        **_trials(report, marks),
        "problems": report.problems,
    }


def _verdict(report: Contents) -> dict[str, str]:
    what, advice = report.verdict_sentences
    return {"what": what, "advice": advice}


def _facts(records: Sequence[TrialRecord]) -> list[tuple[str, str]]:
    failed = [record for record in records if has_failed(record)]
    lost = sum(record.seconds or 0.0 for record in failed)
    saved = sum(record.seconds_saved or 0.0 for record in records)
    running = sum(record.status == "running" for record in records)
    facts = [
        ("trials", str(len(records))),
        ("failed", str(sum(record.status == "failed" for record in records))),
        ("unstable", str(len(failed))),
    ]
    facts += [("running", str(running))] * bool(running)
    facts += [("lost to failures", duration(lost))] * bool(lost)
    facts += [("saved by stopping early", duration(saved))] * bool(saved)
    return facts


def _legend(records: Sequence[TrialRecord], marks: Marks) -> Markup:
    """Return what the marks of the pictures mean."""
    entries = [(HEALTHY, "healthy"), *marks.legend()]
    if any(has_failed(record) and record.cause is None for record in records):
        entries.append((marks.of(None), "no cause"))
    items = [Markup("<li>{}{}</li>").format(key(mark), name) for mark, name in entries]
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(items))


def _region(region: Region, report: Contents, marks: Marks) -> dict[str, Any]:
    suggestions = {suggestion.region: suggestion for suggestion in report.suggest_space()}
    suggestion = suggestions.get(region.rule)
    chart, note = region_chart(region, report.records, report.axes, marks)
    cause = region.dominant_cause
    return {
        "rule": region.rule,
        "failures": region.failures,
        "trials": region.trials,
        "rate": f"{region.failure_rate:.0%}",
        "interval": f"{region.ci_low:.0%} to {region.ci_high:.0%}",
        "baseline": f"{region.baseline_rate:.0%}",
        "p": f"≤ {region.p_value:.3f}" if region.p_value <= 0.005 else f"= {region.p_value:.3f}",
        "cause": named(region, report.records) if cause else "",
        "advice": cause.advice if cause and not cause.narrowing else "",
        "lost": duration(region.seconds_lost) if region.seconds_lost else "",
        "suggestion": suggestion,
        "code": [] if suggestion is None else _code(suggestion, report.host),
        "chart": chart,
        "chart_note": note,
    }


def _code(suggestion: Suggestion, host: str | None) -> list[tuple[str, str]]:
    """Return the name of each host and its lines: of one host, or of all where it is not known."""
    code = suggestion.code
    known = hosts()
    names = [host] if host in code else list(code)
    return [(known[name].title if name in known else name, code[name]) for name in names]


def _region_note(report: Contents) -> str:
    if report.find_regions():
        return ""
    note = too_few(report.records)
    if note and not report.cause_regions:
        return note
    ended = [record for record in report.records if has_ended(record)]
    failed = sum(map(has_failed, ended))
    if not failed:
        return ""
    if failed == len(ended):
        return "All trials failed, so that the hyperparameters cannot tell why."
    if report.cause_regions:
        return (
            "Trials fail all over the search space; each cause has its own part of it, see below."
        )
    return "No part of the search space fails more often than noise alone would make it seem."


def _cause(row: Mapping[Any, Any], report: Contents, marks: Marks) -> dict[str, Any]:
    cause = FailureCause(row["cause"])
    region = report.cause_regions.get(cause)
    return {
        "key": key(marks.of(cause)),
        "cause": spoken(cause),
        "where": region.rule if region else "",
        "those": f"{region.failures} of {region.trials} trials there" if region else "",
        "trials": row["trials"],
        "share": f"{row['share']:.0%}",
        "lost": duration(row["seconds_lost"]) if row["seconds_lost"] else "",
        "advice": row["advice"],
    }


def _marginals(report: Contents) -> dict[str, Any]:
    """Return a picture per hyperparameter, those that matter most first."""
    baseline = report.failure_rate
    if baseline in (0, 1):
        return {"marginals": [], "marginals_note": ""}
    groups = marginals_of(report.marginals.to_dict("records"), baseline)
    shown = [rows for rows in groups.values() if len(rows) > 1]
    left = len(shown) - _MOST_PARAMETERS
    return {
        "marginals": [marginal_chart(rows, baseline) for rows in shown[:_MOST_PARAMETERS]],
        "marginals_note": f"{left} more are in marginals.csv." if left > 0 else "",
    }


def _close_ups(records: Sequence[TrialRecord], marks: Marks) -> dict[str, Any]:
    """Return a few failing trials, of different causes first, those with losses first."""
    failing = [record for record in records if record.cause is not None]
    shown = _most_telling(failing)
    note = f"{len(shown)} of {len(failing)} failing trials." if len(shown) < len(failing) else ""
    cards = [_close_up(record, marks) for record in shown]
    drawn = any(card["charts"] for card in cards)
    return {"close_ups": cards, "close_drawn": drawn, "close_note": note}


def _most_telling(failing: Sequence[TrialRecord]) -> list[TrialRecord]:
    telling = sorted(
        failing,
        key=lambda record: (
            "losses" not in record.evidence,
            "replays" not in record.evidence,
            -(record.confidence or 0.0),
        ),
    )
    turns: dict[FailureCause | None, int] = {}
    ranked: list[tuple[int, int, TrialRecord]] = []
    for record in telling:
        turns[record.cause] = turns.get(record.cause, 0) + 1
        ranked.append((turns[record.cause], len(ranked), record))
    chosen = [record for _, _, record in sorted(ranked)[:_MOST_CLOSE_UPS]]
    return sorted(chosen, key=lambda record: record.number or 0)


def _close_up(record: TrialRecord, marks: Marks) -> dict[str, Any]:
    sure = f"{record.confidence:.0%} sure" if record.confidence else ""
    step = "" if record.step is None else f"step {record.step}"
    epoch = "" if record.epoch is None else f"epoch {record.epoch}"
    replays = replays_of(record.evidence)[:_MOST_REPLAYS]
    params = ", ".join(f"{n} = {_cell(v) or repr(v)}" for n, v in record.params.items())
    happened = ", ".join(filter(None, (spoken(record.symptom or ""), epoch, step, sure)))
    facts = [
        ("What happened", happened),
        ("Also possible", ", ".join(map(spoken, record.other_causes))),
        ("Error", shortened(record.error or "", 400)),
        ("Hyperparameters", shortened(params, 400)),
        ("What to do", record.advice or ""),
    ]
    return {
        "key": key(marks.of(record.cause)),
        "trial_id": record.trial_id,
        "cause": spoken(record.cause or ""),
        "charts": [c for c in (loss_chart(record, marks), replay_chart(record)) if c],
        "facts": [(name, value) for name, value in facts if value],
        "replays": list(map(_replay, replays)),
    }


def _replay(replay: Mapping[str, Any]) -> str:
    change = shortened(one_line(str(replay.get("change", "a change"))), 80)
    cured = replay.get("cured")
    outcome = "cured" if cured is True else "not cured" if cured is False else "not clear"
    return f"{change}: {outcome}"


def _adjustments(frame: pd.DataFrame) -> dict[str, Any] | None:
    if not len(frame):
        return None
    rows = [["" if value is None else str(value) for value in row] for row in _rows(frame)]
    return {"columns": list(frame.columns), "rows": rows}


def _trials(report: Contents, marks: Marks) -> dict[str, Any]:
    """Return the table of all trials; of very many, the failing ones first."""
    frame = report.trials
    note = ""
    if len(frame) > _MOST_ROWS:
        order = frame["cause"].isna().to_numpy().argsort(kind="stable")[:_MOST_ROWS]
        note = f"{_MOST_ROWS} of {len(frame)} trials, failing ones first; trials.csv has all."
        frame = frame.iloc[sorted(order)]
    names = [name for name in frame.columns if name.startswith("params_")]
    if len(names) > _MOST_PARAMETERS:
        note += f" {_MOST_PARAMETERS} of {len(names)} hyperparameters; trials.csv has all."
    names = names[:_MOST_PARAMETERS]
    base = [(name, label) for name, label in _TRIAL_COLUMNS if frame[name].notna().any()]
    shown = base + [(name, name.removeprefix("params_")) for name in names]
    shown += [("error", "error")] * bool(frame["error"].notna().any())
    kinds = {name: "n" if pd.api.types.is_numeric_dtype(frame[name]) else "" for name, _ in shown}
    kinds |= {name: "" for name, _ in shown if pd.api.types.is_bool_dtype(frame[name])}
    kinds["error"] = "long"
    rows = [
        [
            (_marked(value, marks) if name == "cause" else _cell(value), kinds[name])
            for (name, _), value in zip(shown, row, strict=True)
        ]
        for row in _rows(frame[[name for name, _ in shown]])
    ]
    table = {"columns": [(label, kinds[name]) for name, label in shown], "rows": rows}
    return {"trials": table if rows else None, "trials_note": note.strip()}


def _rows(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Return the rows as Python values, None where missing."""
    columns = [frame[name].astype(object).where(frame[name].notna(), None) for name in frame]
    return list(zip(*columns, strict=True))


def _marked(cause: str | None, marks: Marks) -> Markup:
    if cause is None:
        return Markup("")
    return key(marks.of(FailureCause(cause))) + escape(spoken(cause))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return number(value)
    text = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
    return shortened(text, _MOST_CELL)
