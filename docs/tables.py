"""Write the tables of these pages that the code has: every field of the policy, every cause.

    python docs/tables.py

What is between `<!-- table: NAME -->` and `<!-- end -->` in a page is replaced. A test says when
that has to be done again.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path

from robusttune import FailureCause, Policy

DOCS = Path(__file__).parent
_PLACE = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def policy() -> str:
    """Return the table of the policy, from its docstring."""
    described = inspect.getdoc(Policy) or ""
    arguments = described.split("Args:\n")[1].split("\n\nRaises:")[0]
    texts = {
        name: " ".join(text.split())
        for name, text in re.findall(r"^    (\w+): ((?:.|\n {8})+)", arguments, re.MULTILINE)
    }
    rows = [
        f"| `{field.name}` | `{field.default!r}` | {texts[field.name]} |"
        for field in dataclasses.fields(Policy)
    ]
    return "\n".join(["| field | default | what it is |", "|---|---|---|", *rows, ""])


def causes() -> str:
    """Return the table of the causes, with the advice that each gives."""
    rows = [f"| [{cause}]({cause}.md) | {cause.advice} |" for cause in FailureCause]
    return "\n".join(["| cause | what to do |", "|---|---|", *rows, ""])


TABLES: dict[str, Callable[[], str]] = {"policy": policy, "causes": causes}


def written(text: str) -> str:
    """Return a page's text with its tables as they are now."""
    return _PLACE.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[4]}", text)


def main() -> None:
    """Rewrite the pages that have a table."""
    for page in sorted(DOCS.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if (now := written(text)) != text:
            page.write_text(now, encoding="utf-8")
            sys.stdout.write(f"{page}\n")


if __name__ == "__main__":
    main()
