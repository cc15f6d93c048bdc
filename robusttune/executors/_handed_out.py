"""A trial that was handed to an executor: what has come of it, or why nothing has."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import re
from typing import Any

import cloudpickle

from robusttune._causes import FailureCause
from robusttune._isolation.ending import Ending, failure_of
from robusttune._records import one_line
from robusttune.errors import RobustTuneError
from robusttune.executors._interface import Future

_MEMORY = re.compile(r"out.?of.?memory|\boom\b", re.IGNORECASE)
_NO_ROBUSTTUNE = re.compile(r"No module named '?robusttune")


def result_of(future: Future, note: str | None = None) -> Any:
    """Return what the runner of a worker returned.

    Args:
        future: Is done.
        note: The file that the worker made when it began, or None.

    Raises:
        TrialFailure: The worker has died.
        RobustTuneError: No trial can run there.
    """
    try:
        word, content = cloudpickle.loads(future.result())
    except concurrent.futures.CancelledError as error:
        raise RobustTuneError("The executor has dropped a trial: it was shut down.") from error
    except Exception as error:  # each engine has its own for a worker that has died
        text = f"{type(error).__name__}: {one_line(str(error), 300)}"
        if _NO_ROBUSTTUNE.search(str(error)):
            raise RobustTuneError(
                "The executor's worker does not have this version of robusttune: install it"
                f" there. {text}"
            ) from error
        raise _died(text, note) from None
    if word == "done":
        return content
    if word == "died":
        raise _died("its engine gave the trial to another one", note)
    raise RobustTuneError(content)


def _died(text: str, note: str | None) -> Exception:
    out_of_memory = _MEMORY.search(text) is not None
    cause = FailureCause.OUT_OF_MEMORY if out_of_memory else FailureCause.CRASHED
    evidence: dict[str, Any] = {}
    if note is not None:
        with (
            contextlib.suppress(OSError, ValueError, AttributeError),
            open(note, encoding="utf-8") as file,
        ):
            evidence["worker"] = json.load(file)
            evidence["worker"].pop("ended", None)
    return failure_of(Ending(cause, f"its worker has ended ({text})", evidence))


def forget_note(note: str) -> None:
    """Remove the file that a worker made when it began, if it did."""
    with contextlib.suppress(OSError):
        os.unlink(note)
