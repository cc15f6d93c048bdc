"""The documentation builds without warnings, and says what the code says."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import robusttune
import robusttune.errors
import robusttune.optuna
import robusttune.trackers
from robusttune.cli import main
from tests import ROOT

DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = [p for p in [*ROOT.glob("*.md"), *sorted(DOCS.rglob("*.md"))] if "_build" not in p.parts]


def named(page: Path) -> str:
    """Return a page's place in the repository."""
    return page.relative_to(ROOT).as_posix()


def test_readme_is_short() -> None:
    """A screen or three: everything else is in docs/."""
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 100
    assert len(" ".join(lines).split()) <= 1000


def test_readme_names_the_commands() -> None:
    """Continuous integration and newcomers look for them here."""
    text = README.read_text(encoding="utf-8")
    for command in ("make demo", "make test", "pip install ."):
        assert command in text


@pytest.mark.full
def test_docs_build_without_warnings(tmp_path: Path) -> None:
    """Every page and every docstring is sound."""
    pytest.importorskip("sphinx")
    pytest.importorskip("myst_parser")
    pytest.importorskip("furo")
    options = ["-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for page in ("reference/api.html", "reference/policy.html"):
        assert "divergence_factor" in (tmp_path / page).read_text(encoding="utf-8")
    assert "10 of 30 trials failed" in (tmp_path / "example-report.html").read_text("utf-8")


def test_docs_name_every_public_name() -> None:
    """A new public name cannot be forgotten in the API pages."""
    api = (DOCS / "reference" / "api.rst").read_text(encoding="utf-8")
    assert "automodule:: robusttune.errors" in api
    for name in set(robusttune.__all__) - set(vars(robusttune.errors)):
        assert re.search(rf"^(\.\. .*::| +) robusttune\.{name}\b", api, re.MULTILINE), name
    for name in robusttune.optuna.__all__:
        assert re.search(rf":: robusttune\.optuna\.{name}\b", api), name
    for name in robusttune.trackers.__all__:
        assert re.search(rf":: robusttune\.trackers\.{name}\b", api), name


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_docs_tables_are_those_of_the_code(page: Path) -> None:
    """`python docs/tables.py` writes them: every field of the policy, every cause and advice."""
    text = page.read_text(encoding="utf-8")
    assert text == tables().written(text)


def test_docs_have_the_tables() -> None:
    """And no page has lost its one."""
    for name in tables().TABLES:
        assert any(f"<!-- table: {name} -->" in p.read_text(encoding="utf-8") for p in PAGES)


def tables() -> ModuleType:
    """Return docs/tables.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("docs_tables", DOCS / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_docs_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The page of the command line has every option."""
    page = (DOCS / "reference" / "command-line.md").read_text(encoding="utf-8")
    for command in ("report", "watch", "demo"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        for option in re.findall(r"--[a-z-]+", capsys.readouterr().out):
            assert option in page or option == "--help", option


@pytest.mark.full
def test_docs_quote_what_is_measured() -> None:
    """The table of what happens with and without is what its script prints."""
    command = ["-m", "evaluation.with_and_without", "--only"]
    done = subprocess.run(
        [sys.executable, *command, "nan", "optuna_exception"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = done.stdout.splitlines()
    assert len(rows) == 4
    page = (DOCS / "explanation" / "benchmarks.md").read_text(encoding="utf-8")
    for row in rows:
        assert row in page


def test_readme_table_is_of_the_benchmark() -> None:
    """Its six short rows say of the causes what the measured rows say."""
    measured = (DOCS / "explanation" / "benchmarks.md").read_text(encoding="utf-8").splitlines()
    readme = README.read_text(encoding="utf-8")
    rows = readme.partition("| what goes wrong |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(rows) == 6
    for row in rows:
        name, _, ours = (cell.strip() for cell in row.strip("|").split("|"))
        (long,) = (line for line in measured if line.startswith(f"| {name.partition(',')[0]}"))
        cause = re.search(r"[a-z_]+_[a-z_]+|crashed", ours)
        assert cause is not None
        count = re.search(rf"(\d) {cause[0]}|after (\d)", ours)
        assert count is not None
        assert f"{cause[0]} ({count[1] or count[2]})" in long, row


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
    """Every number behind a verdict is in the table of evidence."""
    package = Path(robusttune.__file__).parent
    modules = [
        *package.glob("_diagnosis/**/*.py"),
        *package.glob("_isolation/*.py"),
        package / "executors" / "_handed_out.py",
    ]
    keys = {key for module in modules for key in evidence_keys(module)}
    assert {"input_scale", "replays", "final_loss", "label_mismatch", "memory_bytes"} <= keys
    page = (DOCS / "reference" / "records.md").read_text(encoding="utf-8")
    assert sorted(key for key in keys if f"`{key}`" not in page) == []


def slugs(page: Path) -> set[str]:
    """Return the anchors of a page, one a heading."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {text.strip().replace(" ", "-") for text in plain}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_docs_links(page: Path) -> None:
    """Links between the files of the repository, and to headings in them, lead somewhere."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'href="([^"]+)"', text):
        place, _, anchor = target.partition("#")
        if "://" in target or place.endswith("example-report.html"):  # made when they are built
            continue
        found = page.parent / place if place else page
        assert found.exists(), target
        assert not anchor or anchor in slugs(found), target


def test_docs_have_no_page_that_nothing_leads_to() -> None:
    """From the index every page can be reached."""
    reached, ahead = set(), [DOCS / "index.md"]
    while ahead:
        page = ahead.pop().resolve()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = re.findall(r"\]\(([^)\s#]+\.md)", page.read_text(encoding="utf-8"))
        ahead += [page.parent / target for target in targets if "://" not in target]
    assert {p for p in PAGES if p.is_relative_to(DOCS)} <= reached


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
