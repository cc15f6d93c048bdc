"""The documentation builds without warnings, and says what the code says."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import robusttune
import robusttune.errors
import robusttune.optuna
import robusttune.trackers
from robusttune import FailureCause, Policy
from robusttune.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = ROOT / "docs"


@pytest.mark.full
def test_docs_build_without_warnings(tmp_path: Path) -> None:
    """Every page and every docstring is sound."""
    pytest.importorskip("sphinx")
    pytest.importorskip("myst_parser")
    pytest.importorskip("furo")
    options = ["-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "divergence_factor" in (tmp_path / "api.html").read_text(encoding="utf-8")


def test_docs_name_every_public_name() -> None:
    """A new public name cannot be forgotten in the API pages."""
    api = (DOCS / "api.rst").read_text(encoding="utf-8")
    assert "automodule:: robusttune.errors" in api
    for name in set(robusttune.__all__) - set(vars(robusttune.errors)):
        assert re.search(rf"^(\.\. .*::| +) robusttune\.{name}\b", api, re.MULTILINE), name
    for name in robusttune.optuna.__all__:
        assert re.search(rf":: robusttune\.optuna\.{name}\b", api), name
    for name in robusttune.trackers.__all__:
        assert re.search(rf":: robusttune\.trackers\.{name}\b", api), name


def policy_table() -> list[str]:
    """Return the rows of the policy table, from the docstring of Policy."""
    described = inspect.getdoc(Policy)
    assert described is not None
    arguments = described.split("Args:\n")[1].split("\n\nRaises:")[0]
    texts = {
        name: " ".join(text.split())
        for name, text in re.findall(r"^    (\w+): ((?:.|\n {8})+)", arguments, re.MULTILINE)
    }
    return [
        f"| `{field.name}` | `{field.default!r}` | {texts[field.name]} |"
        for field in dataclasses.fields(Policy)
    ]


def test_docs_policy_table() -> None:
    """The README has every field of the policy, as its docstring has it."""
    for row in policy_table():
        assert row in README


@pytest.mark.parametrize("cause", FailureCause)
def test_docs_causes_table(cause: FailureCause) -> None:
    """The README has every cause, with its advice."""
    assert f"| {cause} | {cause.advice} |" in README


def test_docs_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The API page has every option of the command."""
    api = (DOCS / "api.rst").read_text(encoding="utf-8")
    for command in ("report", "watch", "demo"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        for option in re.findall(r"--[a-z-]+", capsys.readouterr().out):
            assert option in api or option == "--help", option


@pytest.mark.full
def test_docs_quote_what_is_measured() -> None:
    """The README's table of what happens with and without is what its script prints."""
    command = [str(ROOT / "benchmarks" / "with_and_without.py"), "--only"]
    done = subprocess.run(
        [sys.executable, *command, "nan", "optuna_exception"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = done.stdout.splitlines()
    assert len(rows) == 4
    for row in rows:
        assert row in README


def evidence_keys(path: Path) -> set[str]:
    """Return the keys of the dict literals of a module that become evidence."""
    found: list[ast.AST] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "evidence":
            found.append(node.value)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if "evidence" in map(ast.unparse, targets):
                found.append(node.value)
        elif isinstance(node, ast.FunctionDef) and node.name in ("as_evidence", "numbers"):
            found += node.body
    dicts = [d for each in found for d in ast.walk(each) if isinstance(d, ast.Dict)]
    keys = [key for d in dicts for key in d.keys if isinstance(key, ast.Constant)]
    return {str(key.value) for key in keys}


def test_docs_explain_all_evidence() -> None:
    """Every number behind a verdict is in the table of how-it-works."""
    package = Path(robusttune.__file__).parent
    modules = [
        *package.glob("diagnosis/**/*.py"),
        *package.glob("isolation/*.py"),
        package / "executors" / "handed_out.py",
    ]
    keys = {key for module in modules for key in evidence_keys(module)}
    assert {"input_scale", "replays", "final_loss", "label_mismatch", "memory_bytes"} <= keys
    page = (DOCS / "how-it-works.md").read_text(encoding="utf-8")
    assert sorted(key for key in keys if f"`{key}`" not in page) == []


def test_docs_links() -> None:
    """Links between the files of the repository lead somewhere."""
    for page in (ROOT / "README.md", *DOCS.glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), (page.name, target)


def _dataclasses() -> list[tuple[str, ast.ClassDef]]:
    """Return the dataclasses of the package that document their fields."""
    return [
        (path.stem, node)
        for path in sorted((ROOT / "robusttune").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
        and "Args:" in (ast.get_docstring(node) or "")
    ]


@pytest.mark.parametrize(
    "node", [pytest.param(node, id=f"{module}.{node.name}") for module, node in _dataclasses()]
)
def test_documented_fields_are_those_of_the_class(node: ast.ClassDef) -> None:
    """None is documented that does not exist, and none that is public is left out."""
    sections = re.split(r"\n(?=\w+:\n)", ast.get_docstring(node) or "")
    documented = {
        name
        for section in sections
        if section.startswith(("Args:", "Attributes:"))
        for name in re.findall(r"^    (\w+):", section, flags=re.MULTILINE)
    }
    fields = {
        item.target.id
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }
    assert documented == {name for name in fields if not name.startswith("_")}
