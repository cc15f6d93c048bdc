"""Guard: the guard of a plain `model.fit`, which is a trial of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from robusttune._causes import FailureCause
from robusttune._guard.callback import FitGuard
from robusttune._policy import Policy
from robusttune._records import TrialRecord, text_of
from robusttune._trial_run import RecordCallback, TrialRun, checked_callbacks, notify_callbacks


class Guard(FitGuard):
    """Watches a fit from inside its training step.

    At the first non-finite loss or gradient the update is not applied, so that the model keeps the
    weights of the last good step, and the fit ends with that step. A loss that diverges but stays
    finite, and weights that became non-finite, end it too. Gradients are clipped where the
    optimizer has no clipping of its own. The metrics of an epoch that was cut short are NaN.

    All this happens inside the step, on all of Keras's backends and in every mode: eager, compiled,
    several steps an execution, several replicas. Where it cannot be reached (an optimizer that is
    not Keras's own) a warning says so, and the guard sees the loss after the update.

    Put it first in the list of callbacks, so that the others see what it says of the epoch.

    Args:
        policy: Thresholds and switches; None for the defaults.
        record_callbacks: Each is called as `callback(None, record)` when a fit has ended; in a
            trial of a tuner or a study theirs are called instead, once for the whole trial. One
            that raises is logged.

    Attributes:
        record: TrialRecord of the last fit, made when it ends or a step raises; None before.
        trace: FitTrace, the raw observations behind it; None before.
        failed: Whether the last fit was ended by the guard, or ended on a bad state.

    Example:
        >>> guard = Guard()
        >>> model.fit(x, y, epochs=5, callbacks=[guard])  # doctest: +SKIP
        >>> guard.record.cause  # doctest: +SKIP
        <FailureCause.DIVERGENT_LEARNING_RATE: 'divergent_learning_rate'>
    """

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        record_callbacks: Iterable[RecordCallback] = (),
    ) -> None:
        super().__init__(policy)
        self.record: TrialRecord | None = None
        self._run: TrialRun | None = None  # of the last fit, as a trial of its own
        self.record_callbacks = checked_callbacks(record_callbacks)

    def __deepcopy__(self, memo: dict[int, Any]) -> Guard:
        """Return a fresh guard with the same policy, as tuners copy callbacks for every trial."""
        return type(self)(self.policy, record_callbacks=self.record_callbacks)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Instrument the model."""
        self.record = None
        alone = self.context is None or self.context is self._run
        self._run = TrialRun(_PlainFit(self), self.policy)
        if alone:
            self.context = self._run
        super().on_train_begin(logs)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Make the trace and the record, and leave the model as it was."""
        super().on_train_end(logs)
        run, found = self._run, self.findings
        assert run is not None
        self._tell(run.store(found, "failed" if found and found.cut_short else "completed"))

    def _abandon(self, error: BaseException | None) -> None:
        """Make the record of a fit that a step has raised in; the exception says the cause too."""
        self.release()
        run = self._run
        if run is None or self.context is not run or not isinstance(error, Exception):
            return
        record = run.end(error)
        if record.cause not in (FailureCause.CODE_ERROR, FailureCause.UNKNOWN):
            error.add_note(f"robusttune: {record.cause}. {record.advice}")
        self._tell(record)

    def _tell(self, record: TrialRecord) -> None:
        if self.context is self._run:
            notify_callbacks(self.record_callbacks, None, record)


class _PlainFit:
    """The host of a fit that no search has asked for."""

    trial = None
    trial_id = ""
    number = None
    asked = None
    unwatched_advice = None

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.params: Mapping[str, Any] = {}

    def related_trials(self) -> Sequence[TrialRecord]:
        return ()

    def clip_norm(self) -> float | None:
        return None

    def value(self, result: Any) -> float | None:
        return None

    def error_text(self, error: Exception) -> str:
        return text_of(error)

    def read(self) -> TrialRecord | None:
        return None

    def write(self, record: TrialRecord) -> None:
        self._guard.record = record
