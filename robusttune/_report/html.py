"""HTML: a report as one page that needs neither a network nor JavaScript, and runs no text."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from robusttune._records import TrialRecord
from robusttune._report.charts import (
    Looks,
    importance_chart,
    key,
    marginal_chart,
    slice_chart,
    timeline_chart,
)
from robusttune._report.close_charts import loss_chart, replay_chart
from robusttune._report.marks import BEST, DARK, HEALTHY, LIGHT, OF_CAUSES, PRUNED, RUNNING, Marks
from robusttune._report.progress import Progress
from robusttune._report.region_chart import region_chart
from robusttune._report.search_data import state_of
from robusttune._report.svg import shortened, symbol, symbol_use
from robusttune._report.view import View, view_of
from robusttune._report.view_cards import Card
from robusttune._report.view_table import TrialTable
from robusttune._report.words import duration

if TYPE_CHECKING:
    from robusttune._report.contents import Contents

# Rows of the table that a browser shows at first, and that are printed, as the style sheet has it.
ROWS_AT_FIRST, ROWS_PRINTED = 50, 100
# Regions that are open at first; the picture of another one is folded.
_OPEN_REGIONS = 3
_MOST_LABEL = 40
# On paper all columns have to fit, so that those of texts get their share and the others the rest.
_PRINTED = {"cause": "12%", "long": "16%"}


def render(report: Contents, *, embedded: bool = False, live: Progress | None = None) -> str:
    """Return the report as HTML.

    Everything that came from a user or an exception is escaped, and the page's own policy lets no
    script run but its own, by its hash.

    Args:
        report: The report.
        embedded: Whether to return a part of a page, for a notebook, without the long parts.
        live: How far the search is, on a page that updates itself; None: it does not.
    """
    from robusttune._version import __version__

    view = view_of(report, embedded=embedded)
    script = _asset("page.js") + (_asset("live.js") if live else "")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(
        v=view,
        p=_pictures(report, view),
        live=live,
        rows_at_first=ROWS_AT_FIRST,
        rows_printed=ROWS_PRINTED,
        style=Markup(style_sheet()),
        columns_style=Markup(_columns_style(view.table)),
        script=Markup(script),
        script_hash=digest,
        version=__version__,
    )


@cache
def _asset(name: str) -> str:
    return files("robusttune._report").joinpath("page", name).read_text(encoding="utf-8")


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
    environment.filters["shortened"] = lambda text: shortened(text, _MOST_LABEL)
    environment.filters["duration"] = duration
    return environment.from_string(_asset("report.html.jinja"))


def _columns_style(table: TrialTable | None) -> str:
    """Return the style of the columns of the table, which spares each cell a class of its own.

    On a telephone a row is a card, and its cells carry the names of their columns.
    """
    if table is None:
        return ""
    rules, names, printed = [], [], []
    for place, column in enumerate(table.columns, start=1):
        if column.kind == "n":
            rules.append(f"#trials :is(th,td):nth-child({place}){{text-align:right}}")
        elif column.kind == "long":
            rules.append(f"#trials td:nth-child({place}){{min-width:18em;white-space:normal}}")
        if column.kind in _PRINTED:
            printed.append(f"#trials th:nth-child({place}){{width:{_PRINTED[column.kind]}}}")
        names.append(f"#trials td:nth-child({place})::before{{content:{_css(column.label)}}}")
    printed = ["@media print{", *printed, "}"]
    wide = "@media print,(min-width:641px){"
    return "\n".join(
        [wide, *rules, "}", *printed, "@media screen and (max-width:640px){", *names, "}"]
    )


def _css(text: str) -> str:
    """Return a text as a string of CSS, each sign that might end it as its code point."""
    signs = (c if (c.isascii() and c.isalnum()) or c == " " else f"\\{ord(c):x} " for c in text)
    return f'"{"".join(signs)}"'


def _pictures(report: Contents, view: View) -> dict[str, Any]:
    """Return the pictures of the page, and the keys of its marks."""
    records = report.records
    marks = Marks.of_kinds(report.kinds)
    looks = Looks(marks, view.keys, report.best, report.search.direction != "max")
    objective = view.best.objective if view.best else report.search.objective or "objective"
    timeline = timeline_chart(records, looks, objective) if records else None
    axes = report.axes
    return {
        "legend": _legend(records, marks, best=report.best is not None),
        "key_of": {kind: key(marks.of(kind)) for kind in marks.order},
        "regions": [
            (region_chart(each.region, records, axes, looks), index >= _OPEN_REGIONS)
            for index, each in enumerate(view.regions)
        ],
        "timeline": timeline,
        "importance": importance_chart(view.failing, view.objective)
        if view.failing or view.objective
        else None,
        "slices": [slice_chart(n, axes[n], records, looks, objective) for n in view.slices],
        "marginals": [marginal_chart(rows, view.baseline) for rows in view.marginals],
        "cards": {card.key: _card(card, marks) for card in view.cards.open + view.cards.folded},
        "kind_places": {kind: place for place, kind in enumerate(marks.order)},
        "card_of": view.cards.of_trials(),
        "best": key(BEST),
        "symbols": Markup("").join(
            symbol(m.outline, m.kind, filled=m is BEST) for m in (BEST, *OF_CAUSES)
        ),
        "row_marks": {kind: symbol_use(marks.of(kind).kind) for kind in marks.order}
        | {"best": symbol_use(BEST.kind)},
    }


def _card(card: Card, marks: Marks) -> list[Markup]:
    charts = (loss_chart(card.record, marks), replay_chart(card.record))
    return [chart for chart in charts if chart is not None]


def _legend(records: Sequence[TrialRecord], marks: Marks, *, best: bool) -> Markup:
    """Return what the marks of the pictures mean."""
    states = {state_of(record) for record in records}
    entries = [(HEALTHY, "healthy")]
    entries += [(PRUNED, "pruned")] * ("pruned" in states)
    entries += [(RUNNING, "running")] * ("running" in states)
    entries += [(BEST, "best")] * best
    entries += marks.legend()
    items = [
        Markup("<li>{}{}</li>").format(key(mark), shortened(name, 2 * _MOST_LABEL))
        for mark, name in entries
    ]
    return Markup('<ul class="legend">{}</ul>').format(Markup("").join(items))
