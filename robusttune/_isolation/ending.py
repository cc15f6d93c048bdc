"""How the process of a trial has ended, and what that says of the trial."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from robusttune._causes import FailureCause, Symptom
from robusttune._findings import Findings
from robusttune._processes import out_of_memory_kills
from robusttune.errors import TrialFailure


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process has ended.

    Args:
        cause: Of the trial's failure.
        text: What follows "The trial's process: ".
        evidence: For the record.
    """

    cause: FailureCause
    text: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


def describe(code: int) -> tuple[str, dict[str, Any]]:
    """Return how a process ended, in words and as evidence.

    Args:
        code: Its exit code; of one that a signal has ended the signal's number, negative.
    """
    if code >= 0:
        return f"it ended with exit code {code}", {"exit_code": code}
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"it was killed by {name}", {"signal": name}


def failure_of(ending: Ending, last_step: tuple[int, int] | None = None) -> TrialFailure:
    """Return the failure of a trial whose process has ended.

    Args:
        ending: How.
        last_step: Epoch and step of the last training step; None: unknown, or there was none.
    """
    others: tuple[FailureCause, ...] = ()
    if ending.cause is FailureCause.CRASHED and ending.evidence.get("signal") == "SIGKILL":
        others = (FailureCause.OUT_OF_MEMORY,)  # of a container, whose counts are not ours
    found = Findings(
        symptom=Symptom.TIMEOUT if ending.cause is FailureCause.TIMEOUT else Symptom.CRASHED,
        cause=ending.cause,
        other_causes=others,
        confidence=0.95,
        epoch=None if last_step is None else last_step[0],
        step=None if last_step is None else last_step[1],
        error=f"The trial's process: {ending.text}.",
        evidence=ending.evidence,
    )
    return TrialFailure(f"the trial's process: {ending.text}", findings=found)


class KernelKills:
    """Tells which of several processes the kernel has killed for want of memory.

    The kernel only counts. Each kill that it counts is put down to one process that has ended by
    SIGKILL since, so that one that somebody else kills at the same time is not taken for another.

    Args:
        count: Returns how many there were so far; None: nobody knows.
    """

    def __init__(self, count: Callable[[], int | None] = out_of_memory_kills) -> None:
        self._count = count
        self._put_down = 0
        self._before: dict[Any, tuple[int | None, int]] = {}  # when a process began its trial

    def begin(self, process: Any) -> None:
        """Note that a process begins a trial."""
        self._before[process] = self._count(), self._put_down

    def explained(self, process: Any, ending: Ending) -> Ending:
        """Return how a process has ended in its trial, and the kernel's part in it."""
        before, put_down = self._before.pop(process, (None, 0))
        now = self._count()
        if ending.evidence.get("signal") != "SIGKILL" or before is None or now is None:
            return ending
        kills = now - before - (self._put_down - put_down)
        if kills <= 0:
            return ending
        self._put_down += 1
        evidence = {**ending.evidence, "out_of_memory_kills": kills}
        text = f"{ending.text}, as the kernel was out of memory"
        return replace(ending, cause=FailureCause.OUT_OF_MEMORY, text=text, evidence=evidence)
