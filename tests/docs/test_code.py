"""Every block of code in the README and in docs/ runs, and prints what the page says."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from robusttune import FailureCause
from robusttune.cli import _parser
from tests import ROOT

DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in [*ROOT.glob("*.md"), *sorted(DOCS.rglob("*.md"))]
    if "_build" not in path.parts
}
CAUSES = "docs/reference/causes/"
# Pages whose code trains nothing.
QUICK = {
    "docs/how-to/gate-a-pull-request.md",
    "docs/reference/policy.md",
    "docs/reference/records.md",
}
# Another backend, and so other data.
OWN_BACKEND = "docs/how-to/backends.md"
NEEDS = {
    "docs/how-to/parallel.md": ("ray", "distributed", "submitit"),
    "docs/how-to/trackers.md": ("mlflow", "wandb"),
    "docs/how-to/backends.md": ("torch",),
}

# What pages take for granted: a build function, an objective, data.
GIVEN = """
import keras
import numpy as np

keras.utils.set_random_seed(1)
x = np.random.default_rng(0).normal(size=(128, 6)).astype("float32")
y = (x @ np.ones((6, 1))).astype("float32")


def network(rate):
    hidden = keras.layers.Dense(8, "relu")
    model = keras.Sequential([keras.Input((6,)), hidden, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def build_model(hp):
    return network(hp.Float("learning_rate", 1e-3, 10.0, sampling="log"))


def build(trial):
    return network(trial.suggest_float("learning_rate", 1e-3, 10.0, log=True))


def objective(trial):
    return build(trial).fit(x, y, epochs=2, verbose=0).history["loss"][-1]


model = network(0.01)
"""


@dataclass
class Block:
    """A block of a page: its language, its text, the number of its first line."""

    language: str
    text: str
    line: int
    output: list[str] = field(default_factory=list)


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page; a `text` block is the output of the Python before it."""
    found: list[Block] = []
    text = PAGES[page].read_text(encoding="utf-8")
    for match in re.finditer(r"^```(\S*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        line = text[: match.start()].count("\n") + 2
        block = Block(match[1], match[2], line)
        if block.language == "text" and (code := [b for b in found if b.language == "python"]):
            code[-1].output.append(block.text)
        found.append(block)
    return found


def words(text: str) -> list[str]:
    """Return the words of a text, with every number the same, and every duration."""
    numbers = re.sub(r"[-+]?\d[\d.,]*(e[-+]?\d+)?( (ms|s|min|h|d)\b)?", "#", text)
    return re.sub(r"#( #)+", "#", numbers).split()


def holds(shown: list[str], printed: list[str]) -> bool:
    """Whether what a page shows is what was printed; `...` stands for anything."""
    at = 0
    for part in " ".join(shown).split(" ... "):
        wanted = [word for word in part.split() if word != "..."]
        places = range(at, len(printed) - len(wanted) + 1)
        place = next((n for n in places if printed[n : n + len(wanted)] == wanted), None)
        if place is None:
            return False
        at = place + len(wanted)
    return True


def newest() -> bool:
    """Whether Keras is that of constraints.txt: with another one, words of a verdict may differ."""
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return f"keras=={version('keras')}" in constraints


def has_python(page: str) -> bool:
    """Whether a page has code to run."""
    return any(block.language == "python" for block in blocks(page))


def source(page: str) -> str:
    """Return the code of a page as one program."""
    return "\n".join(block.text for block in blocks(page) if block.language == "python")


SLOW = (pytest.mark.full, pytest.mark.timeout(1200))


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=() if page in QUICK else SLOW) for page in PAGES if has_python(page)],
)
def test_code_of_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its blocks run one after the other, and print what is shown below them."""
    for needed in NEEDS.get(page, ()):
        pytest.importorskip(needed)
    monkeypatch.chdir(tmp_path)
    if page == "docs/gallery.md":
        unpack_example(tmp_path / "robusttune-demo" / "search")
    given = "" if page in QUICK or page.startswith(CAUSES) or page == OWN_BACKEND else GIVEN
    printed = output_of(given + source(page), tmp_path)
    if page.startswith(CAUSES):
        assert printed.split()[0] == Path(page).stem
    for block in blocks(page):
        for shown in block.output if newest() else ():
            told = f"{page}, line {block.line}, printed:\n{printed}"
            assert holds(words(shown), words(printed)), told


def unpack_example(folder: Path) -> None:
    """Write the files of the search that the pages show."""
    stored = json.loads((DOCS / "example" / "search.json").read_text(encoding="utf-8"))
    for name, body in stored.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(body), encoding="utf-8")


def output_of(program: str, folder: Path) -> str:
    """Run a program in a process of its own, as a reader does, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "WANDB_MODE": "offline"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


LANGUAGES = {"python", "text", "sh", "yaml", "", "{toctree}"}


@pytest.mark.parametrize("page", PAGES)
def test_languages_of_page_are_known(page: str) -> None:
    """A block whose language is not one of these would not be looked at by any test."""
    assert {block.language for block in blocks(page)} <= LANGUAGES


def shell_lines() -> list[Any]:
    """Return the commands that pages have, in blocks of the shell."""
    return [
        pytest.param(line, id=f"{page}: {line}")
        for page in PAGES
        for block in blocks(page)
        if block.language in ("sh", "yaml", "")
        for line in map(str.strip, block.text.replace("- run: ", "").splitlines())
        if line.startswith(("robusttune ", "make ", "pip ", "python "))
    ]


@pytest.mark.parametrize("line", shell_lines())
def test_command_of_page_is_one(line: str) -> None:
    """The command line parses it, make has the target, pip the extra, a script is there."""
    program, *arguments = shlex.split(line, comments=True)
    if program == "robusttune":
        assert isinstance(_parser().parse_args(arguments), argparse.Namespace)
    elif program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for target in (each for each in arguments if "=" not in each):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    elif program == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for extra in re.findall(r"\[(\w+)\]", line):
            assert extra in project["optional-dependencies"]
    elif "-m" not in arguments:
        script = next(each for each in arguments if not each.startswith("-"))
        assert (ROOT / script).exists()


@pytest.mark.parametrize("cause", FailureCause)
def test_cause_has_a_page(cause: FailureCause) -> None:
    """Each says how it looks, what people write, what shows, proves and cures it."""
    page = f"{CAUSES}{cause}.md"
    text = PAGES[page].read_text(encoding="utf-8")
    assert text.startswith(f"# {cause}\n")
    for heading in ("Symptom", "What people write", "Evidence", "How it is proven", "The fix"):
        assert f"\n**{heading}.** " in text, heading
    assert has_python(page)
    program = next(block for block in blocks(page) if block.language == "python")
    assert program.output
    assert program.output[0].split()[0] == cause
    assert len([line for line in program.text.splitlines() if line]) <= 20
