"""The page in a browser: what it shows of any search, how fast, how long, and on paper."""

from __future__ import annotations

import re
from datetime import datetime

import numpy as np
import pytest

from robusttune import Report, TrialRecord
from robusttune._report.search_data import Search
from tests.report.test_html import Outline, drawn, search

BEGAN = datetime(2026, 3, 5, 14, 3)
FIRST_PAINT = """new Promise((done) => {
    const look = () => {
        const [entry] = performance.getEntriesByName("first-contentful-paint");
        if (entry) done(entry.startTime); else requestAnimationFrame(look);
    };
    look();
})"""


def mixed(trials, *, seed=0):
    """Return a search of Optuna with trials of every state, and several kinds of failure."""
    rng = np.random.default_rng(seed)
    records = []
    for record in search(trials, seed=seed, parameters=10):
        draw = rng.random()
        whole = {"symptom": None, "evidence": {}, "step": None, "advice": None}
        if record.cause is None and draw < 0.06:
            record = record.replace(status="pruned")
        elif record.cause is None and draw < 0.12:
            record = record.replace(unstable=True, cause="unsafe_loss", symptom="diverged")
        elif record.cause is None and draw < 0.15:
            bad = {"status": "failed", "unstable": True, "value": None, "cause": "unknown"}
            said = f"TrialFailure: units do not fit {record.number}"
            record = (
                record.replace(**whole, **bad)
                if draw < 0.135
                else record.replace(**whole | {"symptom": "exception"}, **bad, error=said)
            )
        elif record.cause is None and draw < 0.16:
            record = record.replace(
                **whole | {"symptom": "exception"},
                status="failed",
                unstable=True,
                value=None,
                cause="code_error",
                error="KeyError: 'column'",
            )
        records.append(record)
    records.append(TrialRecord(trial_id=str(trials), number=trials, params=records[0].params))
    return Report(
        Search.of(
            records,
            name="my-study",
            host="optuna",
            objective="val_loss",
            direction="min",
            sampler="TPESampler",
            storage="sqlite:///study.db",
            began=BEGAN,
            ended=BEGAN.replace(hour=16),
            objective_importance=lambda: {"learning_rate": 0.7, "p1": 0.3},
        )
    )


@pytest.fixture(scope="module")
def largest(tmp_path_factory):
    """The page of 2,000 trials, and its report."""
    report = mixed(2000)
    return report.to_html(tmp_path_factory.mktemp("page") / "page.html"), report


@pytest.fixture
def shown(browser, request, tmp_path):
    """Return a function that opens a page; an error of a script or of the console fails."""
    contexts, errors = [], []

    def open_page(source, **options):
        path = source.to_html(tmp_path / "page.html") if isinstance(source, Report) else source
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


def test_page_of_2000_trials_is_quick_and_short(shown, largest):
    """First paint within 1 s, sorting and filtering within 100 ms, and 8,000 px at first."""
    page = shown(largest[0])
    paints = []
    for _ in range(3):
        page.reload()
        paints.append(page.evaluate(FIRST_PAINT))
    assert min(paints) <= 1000
    assert page.evaluate("document.documentElement.scrollHeight") <= 8000
    # The best of some: other programs of the machine are not what is measured.
    timed = """(act) => Math.min(...[0, 1, 2, 3, 4, 5, 6].map(() => {
        const began = performance.now();
        ACT;
        document.getElementById("trials").offsetHeight;
        return performance.now() - began;
    }))"""
    sort = "document.querySelector('#trials th:nth-child(COLUMN) button').click()"
    for column in (1, 3, 6):
        act = sort.replace("COLUMN", str(column))
        assert page.evaluate(timed.replace("ACT", act)) <= 100, column
    choose = "const f = document.getElementById('filter'); f.value = 'VALUE';"
    choose += "f.dispatchEvent(new Event('change'))"
    for value in ("x", "b", "k0", ""):
        assert page.evaluate(timed.replace("ACT", choose.replace("VALUE", value))) <= 100, value
    assert page.locator("#trials tbody tr").count() == 50


def test_page_without_javascript_has_all_of_it(shown, largest):
    """Every failing trial and the best one are rows; nothing that needs a script is shown."""
    path, report = largest
    page = shown(path, java_script_enabled=False)
    ids = set(re.findall(r'<tr id="t(\d+)"', page.content()))
    assert {str(r.number) for r in report.records if r.unstable or r.status == "failed"} <= ids
    assert str(report.best.number) in ids
    assert not page.is_visible("#tools")
    assert not page.is_visible("#more")
    assert page.locator("#trials tbody tr").first.is_visible()
    assert page.evaluate("document.documentElement.scrollHeight") <= 8000


def test_charts_draw_every_failing_trial_and_say_what_they_leave_out(largest):
    """At 2,000 trials no failure is dropped, and the number that is drawn is told."""
    path, report = largest
    page = path.read_text()
    failing = {str(r.number) for r in report.records if r.unstable or r.status == "failed"}
    for name in ("trials in order", "Trials over"):
        names = drawn(page, name)
        assert failing | {str(report.best.number)} <= names
        assert f"{len(names):,} of 2,001 trials drawn" in page


def test_best_result_is_told_with_its_trial_and_line(shown):
    """Its value, objective, direction, hyperparameters, and the best so far in the picture."""
    report = mixed(80)
    page = shown(report)
    card = page.inner_text(".card.best")
    assert f"val_loss {report.best.value:.4g}" in card
    assert "least is best" in card
    assert "learning_rate" in card
    assert page.locator("#trials tbody tr").first.get_attribute("id") == f"t{report.best.number}"
    assert page.locator("polyline.so-far").count() == 1
    page.click(".card.best a")
    assert page.locator("tr.target").get_attribute("id") == f"t{report.best.number}"


def test_states_have_one_word_and_a_count_each(shown):
    """Tiles add up to all trials; the headline and the table have the same words."""
    report = mixed(300)
    page = shown(report)
    tiles = dict(
        zip(
            page.locator("dl.facts dt").all_inner_texts(),
            page.locator("dl.facts dd").all_inner_texts(),
            strict=True,
        )
    )
    states = ("failed", "completed but unstable", "healthy", "pruned", "running")
    assert sum(int(tiles[state]) for state in states) == len(report.records) == 301
    assert f"{tiles['failed']} of 301 trials failed and" in page.inner_text(".verdict")
    assert f"{tiles['completed but unstable']} more completed but were unstable" in (
        page.inner_text(".verdict")
    )
    heads = page.locator("#trials th").all_inner_texts()
    while page.is_visible("#more"):
        page.click("#more")
    column = heads.index("status") + 1
    words = page.locator(f"#trials td:nth-child({column})").all_inner_texts()
    assert {word: words.count(word) for word in states} == {s: int(tiles[s]) for s in states}
    legend = page.locator("ul.legend").first.inner_text()
    assert all(word in legend for word in ("healthy", "pruned", "running", "best"))


def test_pruned_trials_are_not_on_the_scale_of_the_objective(shown):
    """They are in a strip of their own."""
    report = mixed(80)
    page = shown(report)
    pruned = {str(r.number) for r in report.records if r.status == "pruned"}
    picture = "svg[aria-label*='trials in order'] path.mark.pruned"
    assert set(page.get_attribute(picture, "data-t").split()) == pruned
    heights = page.evaluate(
        f"""[...document.querySelector("{picture}").getAttribute("d")
            .matchAll(/M[\\d.]+ ([\\d.]+)/g)].map((match) => match[1])"""
    )
    assert len(set(heights)) == 1


def test_message_of_the_user_names_what_went_wrong(shown):
    """In the table of causes, the legend, the close-up and the filter; NaN is another one."""
    page = shown(mixed(300))
    label = "units do not fit …"
    assert label in page.inner_text("table.kinds")
    assert "cause unknown" in page.inner_text("table.kinds") or "unknown" in page.inner_text(
        "table.kinds"
    )
    assert label in page.locator("ul.legend").first.inner_text()
    assert page.locator("h3", has_text=label).count() == 1
    page.select_option("#filter", label=label)
    errors = page.locator("#trials tbody tr").all_inner_texts()
    assert errors
    assert all("units do not fit" in row for row in errors)


def test_page_of_optuna_has_no_advice_for_keras_tuner(shown):
    """And the other way round."""
    page = shown(mixed(300))
    assert "optuna.TrialPruned" in page.content()
    assert "keras_tuner" not in page.content()


def test_mark_leads_to_its_row_and_the_row_to_its_card(shown):
    """The pointer on a mark tells the trial; a click opens its row, and the cause its card."""
    report = mixed(300)
    page = shown(report)
    last = max(r.number for r in report.records if r.cause == "divergent_learning_rate")
    place = page.evaluate(
        f"""(() => {{
            const svg = document.querySelector("svg[aria-label*='trials in order']");
            const path = [...svg.querySelectorAll("path[data-t]")]
                .find((one) => one.dataset.t.split(" ").includes("{last}"));
            svg.scrollIntoView({{ block: "center" }});
            const [x, y, key] = pointsOf(path).find(([,, key]) => key === "{last}");
            const box = svg.getBoundingClientRect();
            const scale = box.width / svg.viewBox.baseVal.width;
            return [box.left + x * scale, box.top + y * scale];
        }})()"""
    )
    page.mouse.move(*place)
    told = page.inner_text("#tip")
    assert "trial: " in told
    assert "cause: " in told
    page.mouse.click(*place)
    row = page.locator("tr.target")
    assert row.is_visible()
    card = row.locator("a").get_attribute("href")
    row.locator("a").click()
    assert page.locator(card).is_visible()
    page.locator(f"{card} h3 a").click()
    assert page.locator("tr.target").is_visible()


def test_contents_lead_to_every_section(shown):
    """Each heading has an anchor that is in the contents."""
    page = shown(mixed(300))
    for link in page.locator("nav.contents a").all():
        heading = page.locator(link.get_attribute("href"))
        assert heading.inner_text() == link.inner_text()
    assert page.locator("nav.contents a").count() == page.locator("h2").count()


def test_header_says_where_the_search_comes_from(shown):
    """Host, sampler, objective, dates, duration and storage."""
    text = shown(mixed(30)).inner_text(".about")
    for told in ("Optuna", "TPESampler", "val_loss (min)", "2026-03-05 14:03", "took 2 h"):
        assert told in text
    assert "sqlite:///study.db" in text


@pytest.mark.parametrize(
    ("host", "line"), [("optuna", "study.optimize("), ("keras_tuner", "tuner.search(")]
)
def test_page_of_no_trials_says_what_to_do_next(shown, host, line):
    """A line to paste, that can be copied."""
    page = shown(Report(Search.of([], host=host)))
    assert line in page.inner_text("#next")
    page.click("#next .copy")
    page.wait_for_selector("#next .copy:text-matches('Copied|Ctrl')")


def test_close_ups_are_one_for_each_cause_or_message(shown):
    """Others of a kind are compared in a table that is folded; curves have their names."""
    report = mixed(300)
    page = shown(report)
    titles = page.locator("#close ~ .close h3").all_inner_texts()
    assert len({title.partition(": ")[2] for title in titles}) == len(titles)
    cards = page.locator(".close .card")
    first = cards.filter(has_text="divergent learning rate").first
    assert first.locator("svg text", has_text="scaled").count() == 1
    assert "scaled: not cured" in first.inner_text()
    first.locator("summary").click()
    assert first.locator("details table tbody tr").count() > 2
    assert page.locator("#close ~ .close h3 a").count() <= 4


def test_replay_of_the_same_training_is_told_in_words():
    """Nothing was changed, and that did not cure it."""
    replays = [{"change": "nothing", "cured": False, "losses": [2.0, 9.0], "steps": 2}]
    record = TrialRecord(
        trial_id="0",
        status="failed",
        unstable=True,
        cause="unknown",
        evidence={"baseline_loss": 2.0, "replays": replays},
    )
    page = Report.from_records([record]).html()
    assert "<li>no change: not cured</li>" in page
    assert ">no change</text>" in page


def test_what_decides_is_beside_what_decides_the_objective(shown):
    """Failing has its intervals, the objective is the host's."""
    page = shown(mixed(200))
    chart = "svg[aria-label*='What decides']"
    assert page.locator(f"{chart} .whisker").count() > 1
    assert page.locator(f"{chart} .bar.k0").count() == page.locator(f"{chart} .whisker").count()
    assert page.locator(f"{chart} .bar:not(.k0)").count() == 2
    page.click("#slices > summary")
    assert page.locator("#slices svg[role=img]").count() > 1


def test_columns_can_be_hidden(shown):
    """What the reader hides stays hidden while sorting."""
    page = shown(mixed(60))
    page.click("#columns > summary")
    page.uncheck("#columns input[value='2']")
    page.click("#trials th:nth-child(1) button")
    assert not page.is_visible("#trials tbody td:nth-child(2)")
    page.check("#columns input[value='2']")
    assert page.is_visible("#trials th:nth-child(2)")


def test_table_keeps_its_heading_in_sight(shown):
    """Within the box of the table, which is of bounded height, and without JavaScript too."""
    page = shown(mixed(200), java_script_enabled=False)
    box = page.locator(".tall")
    assert box.bounding_box()["height"] <= 700
    box.evaluate("e => { e.scrollTop = 1500; }")
    head, frame = page.locator("#trials th").first.bounding_box(), box.bounding_box()
    assert abs(head["y"] - frame["y"]) <= 2


def test_telephone_shows_rows_as_cards_and_text_that_can_be_read(shown):
    """Each cell has its column's name, nothing is wider than the screen, no text below 11 px."""
    name = 'a"b}\\c</style>*/'
    records = [
        record.replace(params={**record.params, name: n}) for n, record in enumerate(search(60))
    ]
    page = shown(Report.from_records(records), viewport={"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    row = page.locator("#trials tbody tr").first
    assert row.bounding_box()["width"] <= 400
    names = page.evaluate(
        """[...document.querySelectorAll("#trials tbody tr:first-child td")]
            .map((cell) => getComputedStyle(cell, "::before").content.slice(1, -1))"""
    )
    assert [one.replace('\\"', '"').replace("\\\\", "\\") for one in names] == page.evaluate(
        "[...document.querySelectorAll('#trials th')].map((head) => head.textContent)"
    )
    assert name in page.evaluate(
        "[...document.querySelectorAll('#trials th')].map((head) => head.textContent)"
    )
    small = page.evaluate(
        """[...document.querySelectorAll("svg[role=img] text")]
            .filter((text) => text.getBoundingClientRect().width)
            .filter((text) => {
                const svg = text.ownerSVGElement;
                const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
                return parseFloat(getComputedStyle(text).fontSize) * scale < 10.9;
            }).map((text) => text.textContent)"""
    )
    assert small == []


def test_paper_has_the_first_rows_and_clips_nothing(shown, largest):
    """100 rows at most, the heading on each page, no box that scrolls, and few pages."""
    page = shown(largest[0], java_script_enabled=False)
    page.set_viewport_size({"width": 703, "height": 900})  # what A4 has between its margins
    page.emulate_media(media="print")
    assert (
        page.evaluate(
            """[...document.querySelectorAll("#trials tbody tr")]
            .filter((row) => row.getBoundingClientRect().height).length"""
        )
        == 100
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 703
    assert page.evaluate(
        """[...document.querySelectorAll(".scroll, .wide, .tall")]
            .every((box) => box.scrollWidth <= box.clientWidth + 1
                && getComputedStyle(box).overflowX === "visible")"""
    )
    heading = "getComputedStyle(document.querySelector('#trials thead')).display"
    assert page.evaluate(heading) == "table-header-group"
    assert "rows at most are printed" in page.inner_text(".full")
    pages = len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4")))
    assert pages <= 12


def test_records_with_further_columns_make_a_page(monkeypatch):
    """A column that the frame of trials gets later on breaks nothing, and skill is shown."""
    report = mixed(40)
    frame = report.trials.copy()
    frame["skill"] = 0.25
    frame.insert(18, "something_new", "x")
    report.__dict__["trials"] = frame
    page = report.html()
    assert Outline(page).open == []
    assert '<th scope="col">skill</th>' in page
    assert "something_new" not in page
