"""Signature and docstring of a robust tuner class: its own arguments are added to both."""

from __future__ import annotations

import inspect
from typing import Any

_OWN_PARAMETERS = [
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
    for name, default, kind in (
        ("policy", None, "Policy | None"),
        ("record_callbacks", (), "Iterable[RecordCallback]"),
        ("initializer", None, "Callable[[], object] | None"),
        ("executor", None, "Any"),
    )
]


def own_signature(tuner_class: Any) -> inspect.Signature:
    """Return the signature of a tuner class with our own keyword arguments."""
    signature = inspect.signature(tuner_class)
    parameters = list(signature.parameters.values())
    at = next((i for i, p in enumerate(parameters) if p.kind is p.VAR_KEYWORD), len(parameters))
    parameters[at:at] = _OWN_PARAMETERS
    return signature.replace(parameters=parameters)


_OWN_DOC = """Robust: `report()` returns the robusttune.Report of the search so far, and there are
four more keyword arguments:

    policy: A robusttune.Policy; None for the defaults.
    record_callbacks: Each is called as `callback(trial, record)` with a trial that has ended and
        its TrialRecord, which is stored already: in the search's own process (the chief's, where
        there are workers), one at a time, once a trial, also when the search is resumed. One
        that raises is logged, and the search continues.
    initializer: Called without arguments at the start of each process that trains: of each child
        with `Policy(isolate=True)` or `n_jobs`, of each worker of an executor, else once in the
        search's own, before its first trial. It can be sent to another process. Where it raises,
        the search ends.
    executor: Where the trials run, as many at once as `Policy(n_jobs=...)` says: any object whose
        `submit(fn, *args)` returns one with `result()` and `done()`, as those of Dask, submitit and
        `robusttune.executors` do. Its workers have the same versions installed and see the project
        folder. None: on this machine.
"""


def own_doc(tuner_class: Any) -> str:
    """Return the docstring of a tuner class with our own arguments."""
    own = inspect.getdoc(tuner_class) or ""
    return f"{own}\n\n{_OWN_DOC}"
