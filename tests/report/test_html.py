"""The HTML report: safe, self-contained, small, accessible, and working in a real browser."""

from __future__ import annotations

import html.parser
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from robusttune import FailureCause, Report, TrialRecord
from robusttune._report.html import style_sheet
from robusttune._report.search_data import Search

EVIL = '<script>window.hacked = true</script><img src=x onerror="window.hacked=true">\'"&'


def search(trials, *, seed=0, text="plain", parameters=8):
    """Return records of a search that fails at high learning rates, with evidence."""
    rng = np.random.default_rng(seed)
    records = []
    for number in range(trials):
        params = {"learning_rate": float(10 ** rng.uniform(-5, 1)), "optimizer": text}
        params |= {f"p{k}": float(rng.random()) for k in range(parameters - 2)}
        bad = params["learning_rate"] > 0.1
        losses = [float(2.0 * 1.3**step) for step in range(40)]
        record = TrialRecord(
            trial_id=f"{text}{number}",
            number=number,
            status="failed" if bad else "completed",
            unstable=bad,
            symptom="non_finite_loss" if bad else None,
            cause="divergent_learning_rate" if bad else None,
            other_causes=("unscaled_data",) if bad else (),
            confidence=0.9 if bad else None,
            value=None if bad else float(rng.random()),
            step=40 if bad else None,
            seconds=1.0,
            error=f"ValueError: {text}" if bad else None,
            advice=f"Lower it. {text}" if bad else None,
            evidence={
                "losses": [*losses, "nan"],
                "first_step": 3,
                "baseline_loss": 2.5,
                "replays": [
                    {"change": f"lr / 10 {text}", "cured": True, "losses": losses[:20]},
                    {"change": "scaled", "cured": False, "losses": losses},
                ],
            }
            if bad
            else {},
            params=params,
        )
        records.append(record)
    return records


class Outline(html.parser.HTMLParser):
    """Collects tags, headings, attributes, and tags that are not closed."""

    VOID = frozenset({"meta", "link", "br", "img", "rect", "path", "polyline", "polygon", "input"})

    def __init__(self, page):
        super().__init__()
        self.open, self.headings, self.attributes, self.svgs, self.scripts = [], [], [], [], 0
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag == "svg":
            self.svgs.append(dict(attrs))
        self.scripts += tag == "script"
        if tag not in self.VOID or tag == "rect":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


SEARCHES = {
    "empty": lambda: [],
    "one": lambda: search(1),
    "all_failed": lambda: [record for record in search(40) if record.cause],
    "none_failed": lambda: [record for record in search(40) if not record.cause],
    "ordinary": lambda: search(80),
    "no_parameters": lambda: [record.replace(params={}) for record in search(20)],
    "running": lambda: [*search(40), TrialRecord(trial_id="r", status="running")],
    "every_cause": lambda: [
        TrialRecord(trial_id=cause, status="failed", unstable=True, cause=cause, params={"p": n})
        for n, cause in enumerate(FailureCause)
    ],
    "many_parameters": lambda: search(40, parameters=100),
    "evil": lambda: search(80, text=EVIL),
}


@pytest.mark.parametrize("records", SEARCHES.values(), ids=SEARCHES)
def test_page_is_whole_whatever_the_search(records):
    """Each search gives well-formed HTML with headings in order and pictures that have words."""
    page = Report.from_records(records()).html()
    outline = Outline(page)
    assert outline.open == []
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    steps = zip(outline.headings, outline.headings[1:], strict=False)
    assert all(after <= before + 1 for before, after in steps)
    for svg in outline.svgs:
        assert svg.get("aria-hidden") == "true" or (svg["role"] == "img" and svg["aria-label"])
    assert "NaN," not in page.replace("NaN</text>", "")


@pytest.mark.parametrize("records", SEARCHES.values(), ids=SEARCHES)
def test_page_asks_for_nothing_else(records):
    """No address of any other file or site is in the page."""
    page = Report.from_records(records(), name="n").html()
    for name, value in Outline(page).attributes:
        if name in ("src", "href", "srcset", "action", "data", "poster"):
            assert value == "data:," or value.startswith("#")
    assert "url(" not in page
    assert "@import" not in page


def test_texts_of_trials_are_escaped_everywhere():
    """Names, values, errors, advice and evidence cannot add an element to the page."""
    records = [
        record.replace(params={**record.params, f"p<b>{EVIL}": 1.0 + index})
        for index, record in enumerate(search(80, text=EVIL))
    ]
    adjustments = [dict.fromkeys(("parameter", "field", "before", "after", "reason"), EVIL)]
    report = Report.from_records(records, adjustments=adjustments, name=EVIL)
    for page in (report.html(), report._repr_html_()):
        assert "<script>window" not in page
        assert "<img" not in page
        assert "<b>" not in page
    assert Outline(report.html()).scripts == 1
    assert Outline(report._repr_html_()).scripts == 0


@pytest.mark.parametrize(("trials", "most"), [(500, 300_000), (2000, 1_000_000)])
def test_page_is_small_and_has_every_failing_trial(trials, most):
    """With ten hyperparameters, and each failing trial a row and a mark of its own."""
    report = ranked(search(trials, parameters=10))
    page = report.html()
    assert len(page.encode()) < most
    failing = {str(record.number) for record in report.records if record.cause}
    assert len(failing) > trials / 4
    assert failing <= set(re.findall(r'<tr id="t(\d+)" data-x', page))
    for name in ("Trials over", "trials in order"):
        assert failing <= drawn(page, name)


def test_page_of_many_trials_says_what_it_leaves_out():
    """Of more trials than a page has room for, every failing one is there, and the best one."""
    report = ranked(search(2600, parameters=3))
    page = report.html()
    assert "2,000 of 2,600 trials, with every one that failed; trials.csv has all." in page
    assert f'id="t{report.best.number}"' in page
    assert str(report.best.number) in drawn(page, "trials in order")
    count = len(drawn(page, "trials in order"))
    assert count < 2600
    assert f"{count:,} of 2,600 trials drawn" in page


@pytest.mark.parametrize(
    "evidence",
    [
        {"losses": None},
        {"losses": "text"},
        {"losses": []},
        {"losses": ["nan", "inf"]},
        {"losses": [1.0, None, {}]},
        {"losses": [1.0, 2.0], "first_step": "x", "baseline_loss": "nan", "replays": 3},
        {"losses": [5.0], "replays": [1, {}, {"losses": "x", "cured": "perhaps"}]},
        {"losses": [-1.0, 0.0, 1e308, "inf"], "baseline_loss": -1e308},
        {"losses": [1e-320, 1e308]},
        {"losses": [10**400, 1.0]},
        {"replays": [{"change": {"a": 1}, "losses": [1.0]}]},
    ],
)
def test_malformed_evidence_is_left_out(evidence):
    """Evidence that cannot be drawn is not drawn, and the page is there all the same."""
    record = TrialRecord(
        trial_id="0", status="failed", unstable=True, cause="unknown", evidence=evidence
    )
    page = Report.from_records([record]).html()
    assert Outline(page).open == []
    assert "Trial 0: unknown" in page


def _json(depth=2):
    """Return a strategy for what JSON can hold."""
    leaf = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=20)
        | st.sampled_from(["nan", "inf", EVIL])
    )
    return st.recursive(leaf, lambda inner: st.lists(inner, max_size=4), max_leaves=8)


_EVIDENCE = st.fixed_dictionaries(
    {},
    optional={
        "losses": st.lists(st.floats() | st.just("nan"), max_size=8) | _json(),
        "first_step": _json(),
        "baseline_loss": _json(),
        "replays": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "change": _json(),
                    "cured": _json(),
                    "losses": st.lists(st.floats(), max_size=5) | _json(),
                    "steps": _json(),
                    "baseline_loss": _json(),
                },
            ),
            max_size=3,
        )
        | _json(),
    },
)
_RECORD = st.builds(
    TrialRecord,
    trial_id=st.text(max_size=8),
    number=st.none() | st.integers(min_value=0),
    status=st.sampled_from(["completed", "failed", "pruned", "running"]),
    unstable=st.booleans(),
    cause=st.none() | st.sampled_from(list(FailureCause)),
    confidence=st.none() | st.floats(0, 1),
    step=st.none() | st.integers(),
    value=st.none() | st.floats(),
    error=st.none() | st.text(max_size=30),
    evidence=_EVIDENCE,
    params=st.dictionaries(st.sampled_from(["lr", "units", "odd name", EVIL]), _json(), max_size=4),
)


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(_RECORD, max_size=40))
def test_any_records_make_a_page(records):
    """Whatever was stored, the page is whole and runs nothing, and the tables are there."""
    report = Report.from_records([TrialRecord.from_json(r.to_json()) for r in records])
    outline = Outline(report.html())
    assert outline.open == []
    assert outline.scripts == 1
    assert all(len(frame.columns) for frame in report.tables().values())
    assert report.summary()


def ranked(records, direction="min", **more):
    """Return the report of a search whose objective has a direction."""
    return Report(Search.of(records, direction=direction, **more))


def drawn(page, name):
    """Return the names of the trials in the first picture whose description has this in it."""
    picture = re.search(rf'<svg[^>]*aria-label="[^"]*{name}.*?</svg>', page)[0]
    return {key for keys in re.findall(r'data-t="([^"]*)"', picture) for key in keys.split()}


def ticks(page, name):
    """Return the tick labels of the picture whose description has this in it."""
    (picture,) = re.findall(rf'<svg[^>]*aria-label="[^"]*{name}.*?</svg>', page)
    return re.findall(r'class="tick"[^>]*>([^<]*)<', picture)


def test_search_without_any_objective_shows_no_scale_of_it():
    """Where all trials failed, or have several objectives, no numbers are made up for an axis."""
    records = [record.replace(value=None) for record in search(5)]
    assert ticks(Report.from_records(records).html(), "5 trials in order") == list("01234")


def test_single_trial_is_drawn_at_its_number():
    """There is no trial 0.1."""
    page = Report.from_records([TrialRecord(trial_id="0", status="completed", value=0.5)]).html()
    assert ticks(page, "1 trial in order")[-2:] == ["0.6", "0"]
    assert "from the records of 1 trial." in page


def test_rates_are_shown_only_where_they_can_differ():
    """Where all trials failed, every bar would be full."""
    records = [r.replace(status="failed", unstable=True, cause="unknown") for r in search(9)]
    assert "Failure rate by hyperparameter" not in Report.from_records(records).html()


def test_confidence_is_not_spoken_of_where_there_is_none():
    """An unknown cause is not 0 % sure, and what was not drawn is not explained."""
    record = TrialRecord(
        trial_id="0",
        status="failed",
        unstable=True,
        cause="unknown",
        confidence=0.0,
        params={"clipnorm": None},
    )
    page = Report.from_records([record]).html()
    assert "sure" not in page
    assert "Losses up to the failure" not in page
    assert "clipnorm = None" in page


def test_many_choices_are_drawn_as_others():
    """A picture has room for a dozen values of a choice; the rest are not taken for one of them."""
    records = [
        record.replace(params={**record.params, "optimizer": f"choice{n % 20:02}"})
        for n, record in enumerate(search(60, parameters=2))
    ]
    labels = ticks(Report.from_records(records).html(), "Trials over")
    assert "others" in labels
    assert not any("11" in label for label in labels)


def test_part_for_a_notebook_is_a_part():
    """In a notebook, the report is a fragment with its own style, without the long table."""
    part = Report.from_records(search(80))._repr_html_()
    assert part.startswith('<div class="robusttune">')
    assert "<html" not in part
    assert "All trials" not in part
    assert "Where trials fail" in part
    assert Outline(part).open == []


def test_to_html_writes_the_page(tmp_path):
    """The page is written as UTF-8, into a folder that is made where needed."""
    report = Report.from_records(search(30, text="Ä"))
    path = report.to_html(tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8") == report.html()


def _themes():
    """Return the colours of both themes, from the style sheet."""
    blocks = re.findall(r"\{([^{}]*--paper:[^{}]*)\}", style_sheet())
    return [dict(re.findall(r"(--[\w]+):\s*(#[0-9a-f]{6})", block)) for block in blocks]


def _luminance(colour):
    """Return the relative luminance of a colour, as WCAG 2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", _themes(), ids=["light", "dark", "dark_by_system"])
def test_colours_stand_out(theme):
    """Text has a contrast of 4.5 to its ground, marks one of 3 (WCAG 2, AA), in both themes."""
    paper, panel = (_luminance(theme[name]) for name in ("--paper", "--panel"))

    def contrast(name, ground):
        light, dark = sorted((_luminance(theme[name]), ground), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    for name in ("--ink", "--soft"):
        assert contrast(name, paper) >= 4.5
        assert contrast(name, panel) >= 4.5
    for name in ("--k0", "--k1", "--k2", "--k3", "--k4", "--k5", "--bar", "--good", "--accent"):
        assert contrast(name, paper) >= 3, name


@pytest.fixture
def opened(browser, tmp_path):
    """A page of a hostile search in the browser, and all that it asked for or complained of."""
    path = Report.from_records(search(60, text=EVIL)).to_html(tmp_path / "report.html")
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    page.requests, page.errors = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("console", lambda message: page.errors.append(message.text))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(path.as_uri())
    page.own = path.as_uri()
    yield page
    context.close()


def test_browser_fetches_nothing_and_runs_no_text(opened):
    """In a browser the page asks for itself only, and no text of a trial runs."""
    asked = [url for url in opened.requests if not url.startswith("data:")]
    assert asked == [opened.own]
    assert opened.evaluate("window.hacked") is None
    assert opened.errors == []
    assert "hacked = true" in opened.inner_text("#trials")


def test_browser_refuses_a_script_that_got_in(opened):
    """Even a script that is put into the page does not run: the page's policy forbids it."""
    opened.evaluate(
        "() => { const s = document.createElement('script');"
        "s.textContent = 'window.hacked = true'; document.body.append(s); }"
    )
    assert opened.evaluate("window.hacked") is None


def test_browser_sorts_the_table(opened):
    """A click on a heading sorts by it, as numbers and with empty cells last; another reverses."""
    column = "#trials tbody tr td:nth-child({})"
    heads = opened.locator("#trials th").all_inner_texts()
    index = heads.index("learning_rate") + 1
    button = opened.locator(f"#trials th:nth-child({index}) button")
    for turn, order in (("ascending", 1), ("descending", -1)):
        button.click()
        values = [float(v) for v in opened.locator(column.format(index)).all_inner_texts()]
        assert values == sorted(values)[::order]
        assert opened.locator(f"#trials th:nth-child({index})").get_attribute("aria-sort") == turn
    objective = heads.index("objective") + 1
    opened.locator(f"#trials th:nth-child({objective}) button").click()
    cells = [cell.strip() for cell in opened.locator(column.format(objective)).all_inner_texts()]
    empty = cells.count("")
    assert 0 < empty < len(cells)
    assert cells[-empty:] == [""] * empty


def test_browser_switches_to_dark_and_back(opened):
    """The button changes the ground of the page, and says what it will do next."""
    ground = "getComputedStyle(document.body).backgroundColor"
    light = opened.evaluate(ground)
    opened.click("#theme")
    assert opened.evaluate(ground) != light
    assert opened.inner_text("#theme") == "Light"
    opened.click("#theme")
    assert opened.evaluate(ground) == light


def test_browser_shows_all_without_javascript_and_in_dark(browser, tmp_path):
    """Without JavaScript the content is all there; the system's dark theme is followed."""
    path = Report.from_records(search(60)).to_html(tmp_path / "report.html")
    context = browser.new_context(java_script_enabled=False, color_scheme="dark")
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.locator("#trials tbody tr").count() == 60
    assert not page.is_visible("#theme")
    assert page.locator("svg[role=img]").count() > 5
    ground = page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
    assert ground == "rgb(18, 22, 27)"
    context.close()


def test_browser_cuts_no_text_of_a_picture(browser, tmp_path):
    """Long names of hyperparameters and choices stay within their pictures."""
    name = "a_long_hyperparameter_name_of_the_encoder_block_number_{}"
    records = [
        record.replace(
            params={name.format(k): v for k, v in enumerate(record.params.values())}
            | {
                "学習率スケジューラの種類とウォームアップとその設定": (
                    "コサイン減衰" if n % 2 else "x"
                )
                * 20
            }
        )
        for n, record in enumerate(search(60, text="a choice that has a long name", parameters=3))
    ]
    path = Report.from_records(records).to_html(tmp_path / "report.html")
    context = browser.new_context()
    page = context.new_page()
    page.goto(path.as_uri())
    outside = page.evaluate(
        """[...document.querySelectorAll("svg[role=img] text")].filter(text => {
            const box = text.getBBox(), width = text.ownerSVGElement.viewBox.baseVal.width;
            return box.x < 0 || box.x + box.width > width;
        }).map(text => text.textContent)"""
    )
    assert outside == []
    context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_browser_needs_no_scrolling_sideways(browser, tmp_path, width):
    """On a telephone and on a desk, only the tables scroll sideways."""
    path = Report.from_records(search(60)).to_html(tmp_path / "report.html")
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
