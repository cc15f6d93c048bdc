"""Hosts: who runs searches, and which modules read them and write their code.

A report imports no host. The table below names modules, which are imported when they are needed; a
further host adds itself to it with `register`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from robusttune import _validation
from robusttune._report.search_data import Search
from robusttune._report.space_change import SpaceChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host of searches, as a report knows it.

    Args:
        name: As `Report.host` has it.
        title: As people write it.
        reader: Name of a module with `read(source, study=None)`, which returns a
            `robusttune._report.search_data.Search`; `study` names one of several searches.
        code: Name of a module with `lines(change)`, which returns a
            `robusttune._report.space_change.SpaceChange` as lines of code.
        reads: Whether a source of `robusttune report SOURCE` is one of this host's.
        has_studies: Whether a source may hold several searches, each with a name.
        refusal: What user code does to refuse hyperparameters, as an imperative with a line of
            code; "": nothing is known.
        start: The line that starts a search.
    """

    name: str
    title: str
    reader: str
    code: str
    reads: Callable[[str], bool]
    has_studies: bool = False
    refusal: str = ""
    start: str = ""


def _is_storage(source: str) -> bool:
    return "://" in source or Path(source).is_file()


_HOSTS = {
    host.name: host
    for host in (
        Host(
            name="keras_tuner",
            title="Keras Tuner",
            reader="robusttune._keras_tuner.project.reader",
            code="robusttune._keras_tuner.space.code",
            reads=lambda source: True,  # a folder; what is none is an error there
            refusal="raise keras_tuner.errors.FailedTrialError",
            start="tuner.search(x, y, validation_split=0.2)",
        ),
        Host(
            name="optuna",
            title="Optuna",
            reader="robusttune.optuna._study_reader",
            code="robusttune.optuna._space_code",
            reads=_is_storage,
            has_studies=True,
            refusal="raise optuna.TrialPruned",
            start="study.optimize(robust(objective), n_trials=100)",
        ),
    )
}


def register(host: Host) -> None:
    """Add a host: its searches can be reported on, and suggestions have its code too.

    Whoever registers last is asked first whether a source is theirs. A host of the same name is
    replaced.

    Args:
        host: The host. Its modules are imported when they are needed.

    Example:
        >>> from robusttune._report.sources import Host, register
        >>> register(
        ...     Host(
        ...         name="my_host",
        ...         title="My Host",
        ...         reader="my_host.reader",
        ...         code="my_host.space_code",
        ...         reads=lambda source: source.endswith(".myhost"),
        ...     )
        ... )  # doctest: +SKIP
    """
    _validation.check_type("host", host, Host, "a Host")
    _HOSTS.pop(host.name, None)
    _HOSTS[host.name] = host


def hosts() -> dict[str, Host]:
    """Return all hosts by name, in the order in which they were registered."""
    return dict(_HOSTS)


def reader(name: str) -> Any:
    """Return the module that reads the searches of a host."""
    return import_module(_HOSTS[name].reader)


def without_password(text: str) -> str:
    """Return a text with the passwords of the URLs in it left out."""
    return re.sub(r"(://[^:/@\s]*:)[^@/\s]*@", r"\1***@", text)


def read(source: str, study: str | None = None) -> Search:
    """Read a search from wherever it is stored.

    Args:
        source: A folder, a file or a URL, as on the command line.
        study: Which of several searches; None: the only one.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not a search, or which one is meant is not clear.
    """
    host = next(host for host in reversed(_HOSTS.values()) if host.reads(source))
    if study is not None and not host.has_studies:
        known = " or ".join(other.title for other in _HOSTS.values() if other.has_studies)
        raise ValueError(f"--study is for {known} storages, and {source!r} is not one.")
    found: Search = reader(host.name).read(source, study)
    return found


def lines_of(change: SpaceChange) -> dict[str, str]:
    """Return the lines of code for a change of the search space, by the name of the host."""
    return {name: import_module(host.code).lines(change) for name, host in _HOSTS.items()}
