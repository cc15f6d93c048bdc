"""Ask the hosts of all external links whether they know them: `make links`.

    python docs/links.py [FILE ...]       # without files: the pages and the package

A redirect counts as there: where a DOI leads, publishers turn programs away. Any other refusal is
said, and leaves the link unchecked. A host that cannot be reached, as without a
network, says nothing about a link. Only a link that its host does not have is an error.
"""

from __future__ import annotations

import http.client
import re
import sys
import urllib.parse
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLACES = (
    "*.md",
    "CITATION.cff",
    "pyproject.toml",
    "docs/**/*.md",
    "docs/**/*.rst",
    "robusttune/**/*.py",
)
SECONDS = 20.0
# Up to where a link ends: parentheses in it are in pairs.
_LINK = re.compile(r"https?://(?:[^\s<>()\[\]\"'`{}]|\([^\s<>()\"'`]*\))+")
_OWN = ("127.0.0.1", "localhost")


def links_of(text: str) -> list[str]:
    """Return the external links of a text."""
    found = (link.rstrip(".,;:*") for link in _LINK.findall(text))
    return [link for link in found if urllib.parse.urlsplit(link).hostname not in _OWN]


def answer(link: str, seconds: float = SECONDS) -> str:
    """Return what the host of a link says: "there", "missing", "refused" or "not reached"."""
    parts = urllib.parse.urlsplit(link)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    connection = kind(parts.netloc, timeout=seconds)
    try:
        connection.request("GET", target, headers={"User-Agent": "robusttune-links"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return "not reached"
    finally:
        connection.close()
    if status in (404, 410):
        return "missing"
    return "there" if status < 400 else "refused"


def main(*names: str) -> int:
    """Print what became of each link; return 1 where one is missing."""
    files = [Path(name) for name in names] or [p for place in PLACES for p in ROOT.glob(place)]
    links = {link: file for file in files for link in links_of(file.read_text(encoding="utf-8"))}
    said = {link: answer(link) for link in links}
    counted = Counter(said.values())
    lines = [f"{word:12} {link}  ({links[link].name})" for link, word in said.items()]
    summary = ", ".join(f"{number} {word}" for word, number in counted.most_common())
    lines.append(f"{len(links)} links: {summary}")
    if counted["not reached"] == len(links):
        lines.append("No host was reached: there is no network here, and no link was checked.")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if counted["missing"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
