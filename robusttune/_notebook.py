"""Notebook: a plain value as a small table of HTML."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

_MOST_CHARACTERS = 400


def table(caption: str, rows: Mapping[str, Any], marked: frozenset[str] = frozenset()) -> str:
    """Return names and values as a table of HTML, with all text escaped.

    Args:
        caption: Above the table.
        rows: Name -> value, which is shown as its `str`, cut where it is long.
        marked: Names that stand out.
    """
    lines = []
    for name, value in rows.items():
        text = str(value)
        cut = text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
        cell = f"<b>{escape(cut)}</b>" if name in marked else escape(cut)
        lines.append(
            f'<tr><th style="text-align:left">{escape(name)}</th>'
            f'<td style="text-align:left">{cell}</td></tr>'
        )
    return f"<table><caption>{escape(caption)}</caption>{''.join(lines)}</table>"
