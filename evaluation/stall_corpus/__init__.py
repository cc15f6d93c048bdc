"""Programs that do not learn, and healthy ones, labelled before any rule was written for them.

Half of each kind is sealed: it is run once, when the rules are done, and says how good they are.
"""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path

from evaluation.stall_corpus.program import Program

_MODULES = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*_[0-9].py"))


def is_sealed(name: str) -> bool:
    """Whether a program belongs to the sealed half, by its name alone."""
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 1


def programs() -> list[Program]:
    """Return all programs, in the order of their modules."""
    found = [
        program
        for module in _MODULES
        for program in import_module(f"evaluation.stall_corpus.{module}").PROGRAMS
    ]
    names = [program.name for program in found]
    assert len(set(names)) == len(names), "names are unique"
    return found
