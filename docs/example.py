"""The example of these pages: the search of `robusttune demo`, in one file, and what is made of it.

    python docs/example.py pack FOLDER    # FOLDER is the `search` that `robusttune demo` wrote
    python docs/example.py pictures       # the pictures of the pages, with a headless Chromium

The report that the pages link to is made from that file when they are built.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robusttune import Report, visualization

DOCS = Path(__file__).parent
STORED = DOCS / "example" / "search.json"
IMAGES = DOCS / "images"
WIDTH, HEIGHT = 1090, 1220  # what to fix, the best result and a region


def pack(folder: Path) -> None:
    """Store the JSON files of a project as one file, by their names."""
    names = ("oracle.json", "robusttune.json", "trial.json")
    texts = {
        path.relative_to(folder).as_posix(): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.json"))
        if path.name in names
    }
    STORED.parent.mkdir(exist_ok=True)
    lines = (f"{json.dumps(name)}: {json.dumps(body)}" for name, body in texts.items())
    STORED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


@contextmanager
def example() -> Iterator[tuple[Report, str]]:
    """Give the report of the stored search, and the folder in which it is while that lasts."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder, "diabetes")
        for name, body in json.loads(STORED.read_text(encoding="utf-8")).items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(json.dumps(body), encoding="utf-8")
        yield Report.from_directory(project), folder


def write_report(target: Path) -> Path:
    """Write the page of the example."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with example() as (report, folder):
        target.write_text(report.html().replace(folder, "searches"), encoding="utf-8")
    return target


def descents() -> Report:
    """Return the report of 60 trials of gradient descent: enough to tell what decides.

    Linear regression on the diabetes table, in NumPy: a second or two, always with the same result.
    """
    import numpy as np
    import optuna
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    x, y = x / x.std(axis=0), (y - y.mean()) / y.std()

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("learning_rate", 1e-3, 10.0, log=True)
        momentum = trial.suggest_float("momentum", 0.0, 0.99)
        penalty = trial.suggest_float("penalty", 1e-6, 1e-1, log=True)
        weights, velocity = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        with np.errstate(all="ignore"):
            for _ in range(1000):
                gradient = 2 * x.T @ (x @ weights - y) / len(y) + 2 * penalty * weights
                velocity = momentum * velocity - rate * gradient
                weights = weights + velocity
            return float(np.mean((x @ weights - y) ** 2))

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=60)
    return Report.from_study(study)


def figures(report: Report) -> dict[str, Any]:
    """Return the figures of the gallery, by name."""
    return {
        "plot_regions": visualization.plot_regions(report),
        "plot_marginals": visualization.plot_marginals(report),
        "plot_timeline": visualization.plot_timeline(report),
        "plot_causes": visualization.plot_causes(report),
    }


def picture_sections(page: Any, *only: str) -> None:
    """Remake the pictures of the sections of the page that is open."""
    for anchor, (top, bottom) in page.evaluate(_PLACES).items():
        if not only or anchor in only:
            clip = {"x": 0, "y": top, "width": WIDTH, "height": min(bottom - top, 945)}
            page.screenshot(path=IMAGES / f"section-{anchor}.png", clip=clip, full_page=True)


def pictures() -> None:
    """Remake the pictures of the pages."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("no chromium in the path")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as api:
        html = write_report(Path(folder, "report.html"))
        browser = api.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(html.as_uri())
        page.screenshot(path=IMAGES / "report.png")
        picture_sections(page)
        page.goto(descents().to_html(Path(folder, "descents.html")).as_uri())
        picture_sections(page, "decide")
        with example() as (report, _):
            drawn = figures(report)
        for name, figure in drawn.items():
            plot = Path(folder, f"{name}.html")
            figure.write_html(plot, include_plotlyjs=True, config={"displayModeBar": False})
            page.set_viewport_size({"width": 900, "height": 500})
            page.goto(plot.as_uri())
            page.wait_for_selector(".main-svg")
            page.screenshot(path=IMAGES / f"{name}.png")
        browser.close()


# From each heading to the next one, in pixels of the whole page.
_PLACES = """() => {
  const heads = [...document.querySelectorAll("h2[id]")];
  const top = e => e.getBoundingClientRect().top + window.scrollY;
  const ends = [...heads.slice(1).map(top), top(document.querySelector("footer"))];
  return Object.fromEntries(heads.map((h, n) => [h.id, [top(h) - 12, ends[n] - 16]]));
}"""


def main(command: str, *arguments: str) -> None:
    """Do what is asked."""
    logging.getLogger("robusttune").setLevel("ERROR")
    if command == "pack":
        pack(Path(arguments[0]))
    else:
        pictures()


if __name__ == "__main__":
    main(*sys.argv[1:])
