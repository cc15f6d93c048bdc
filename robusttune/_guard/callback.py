"""FitGuard: the Keras callback that ends a fit at its first bad step, and says why."""

from __future__ import annotations

import functools
import logging
import math
import time
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from robusttune._causes import FailureCause, Symptom
from robusttune._diagnosis.data.validation import validation_is_lost
from robusttune._diagnosis.fit_input import fit_input
from robusttune._diagnosis.model.info import model_facts, updates_made
from robusttune._diagnosis.postponed import FitDiagnosis
from robusttune._diagnosis.reference.skill import skill, weight_penalty
from robusttune._diagnosis.trace import Batch, FitTrace, findings_of
from robusttune._diagnosis.verdict import Verdict
from robusttune._findings import Findings
from robusttune._guard.clipping import Row
from robusttune._guard.context import FitContext
from robusttune._guard.logs_fit import LogsRecorder
from robusttune._guard.recorder import CannotRecordError, FitRecorder, recorder_of
from robusttune._guard.watch import WatchState, watch, watch_epoch
from robusttune._policy import Policy
from robusttune.errors import InstabilityWarning

_log = logging.getLogger("robusttune.guard")

# Initial weights are kept for the replay up to this size, in bytes.
MAX_WEIGHT_BYTES = 256 * 2**20

_NOT_ASKED = Verdict(cause=FailureCause.UNKNOWN, advice=FailureCause.UNKNOWN.advice)


class FitGuard(keras.callbacks.Callback):
    """Watches a fit from inside its training step; `robusttune.Guard` is the one for users.

    Args:
        policy: Thresholds and switches; None for the defaults.

    Attributes:
        findings: What went wrong in the last fit, once it has ended; None: nothing.
        trace: FitTrace, the raw observations behind it; None before.
        context: The trial that the next fit is in; it has to have one.
        failed: Whether the last fit was ended by the guard, or ended on a bad state.
    """

    def __init__(self, policy: Policy | None = None) -> None:
        super().__init__()
        self.policy = Policy.given(policy)
        self.findings: Findings | None = None
        self.trace: FitTrace | None = None
        self.context: FitContext | None = None
        self._running = self._finished = False  # of the last fit
        self._recorder: FitRecorder | None = None

    @property
    def model(self) -> Any:
        """The model of the fit.

        Keras's own property synchronizes the state of a JAX fit, whose memory belongs to the step
        that runs then; this one leaves it alone.
        """
        model = self._model
        return model.module if _is_wrapped(model) else model

    @property
    def has_begun(self) -> bool:
        """Whether a fit of this guard has come to its training."""
        return self.trace is not None

    @property
    def failed(self) -> bool:
        """Whether the last fit went wrong."""
        return self.trace is not None and self.trace.symptom is not None

    @property
    def fitted(self) -> Any:
        """The model of the last fit; None before."""
        return self._model

    @property
    def broke_off(self) -> bool:
        """Whether the last fit has begun, and raised before its end."""
        return self.trace is not None and not (self._running or self._finished)

    def __deepcopy__(self, memo: dict[int, Any]) -> FitGuard:
        """Return a fresh guard with the same policy, as tuners copy callbacks for every trial."""
        return type(self)(self.policy)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Instrument the model."""
        self.release()
        assert self.context is not None
        self._clock = self.context.clock_of(self.policy)
        self._clock.require_time()
        self.findings, self._running, self._finished = None, True, False
        self.context.fit_begins(self)
        self.trace = FitTrace(
            epochs=self.params.get("epochs"),
            given=fit_input(self.model),
            updates_before=updates_made(self.model),
            rate_before=model_facts(self.model).learning_rate,
        )
        self._watch = WatchState(find_baseline=self._find_baseline, ready=self._has_latest)
        self._began = self._epoch_began = time.perf_counter()
        self._compiled = self._stepped = self._began  # when the first and the last step were done
        self._epoch_seconds: list[float] = []
        self._steps = self._seen_steps = 0
        self._look_every = min(self.policy.check_every, self.policy.history)
        self._epoch = 0
        self._born_infinite: set[int] = set()  # weights that are so on purpose, as a mask is
        self.__dict__.pop("on_test_batch_end", None)
        self._attach()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Note the epoch."""
        self._epoch = epoch
        if self._recorder is not None:
            self._recorder.epoch_begins()
        if self.trace is not None and epoch + 1 == self.trace.epochs and self.model.losses:
            self.trace.penalty_before = weight_penalty(self.model)
        self._epoch_began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the weights; make the metrics of an epoch that was cut short NaN."""
        assert self.trace is not None
        if self._recorder is not None and not self.failed:
            self._look(whole=True)  # between two checks, and at the epoch's last step
        logs = {} if logs is None else logs
        if not self.failed:
            symptom = watch_epoch(self.policy, self._watch, logs.get("loss", math.nan))
            if symptom is None and not self._weights_are_finite():
                symptom = Symptom.NON_FINITE_WEIGHTS
            if symptom is not None:
                self._fail(symptom)
        if self.failed:
            shown = {name: value for name, value in logs.items() if np.ndim(value) == 0}
            self.trace.last_logs = {name: float(value) for name, value in shown.items()}
            for name in logs:
                logs[name] = math.nan
            return
        self._epoch_seconds.append(time.perf_counter() - max(self._epoch_began, self._compiled))
        scalars = {name: value for name, value in logs.items() if np.ndim(value) == 0}
        self.trace.epoch_logs.append({name: float(value) for name, value in scalars.items()})

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Make the trace and the findings, and leave the model as it was."""
        if self._running:
            self._finish()
        self.release()

    def release(self) -> None:
        """Take the instrumentation off the model; does nothing when there is none.

        A fit that raises never reaches on_train_end. An exception in a step comes here by itself,
        as does the model's next fit; who catches one of a callback may call this.
        """
        if not self._running:
            return
        self._running = False
        if not self._finished:
            self._collect()
        if self._recorder is not None:
            self._recorder.detach()
            self._recorder = None
        assert self.context is not None
        self.context.fit_ended(self)

    def _abandon(self, error: BaseException | None) -> None:
        """Leave a fit that has raised; in a step, where there is an exception."""
        self.release()

    def _attach(self) -> None:
        clip = self.policy.clip
        options: dict[str, Any] = {
            "clip": "auto" if clip == "tune" else clip,
            "history": self.policy.history,
            "look_every": self._look_every,
            "before_first_step": self._keep_initial_weights,
            "after_step": self._after_step,
            "abandoned": self._abandon,
        }
        recorder: FitRecorder | None = None
        try:
            recorder = recorder_of(self.model, **options)
            recorder.attach()
        except CannotRecordError as reason:
            if recorder is not None:
                recorder.detach()
            self._note_missing(gradient_norms=str(reason))
            _warn_of_logs(str(reason))
            recorder = LogsRecorder(self.model, **options)
            recorder.attach()
        self._recorder = recorder

    def _after_step(self) -> None:
        self._count_step()
        if self._steps % self._look_every == 0 and not self.failed:
            self._look()
        if self._clock.wants_ticks:
            self._tick()

    def _count_step(self) -> None:
        self._steps += 1
        self._stepped = time.perf_counter()
        if self._steps == 1:
            self._compiled = self._stepped

    def _tick(self) -> None:
        if self._clock.tick(self._epoch, self._last_step) and not self.failed:
            self._fail(Symptom.TIMEOUT)

    @property
    def _last_step(self) -> int:
        return max(self._seen_steps, self._steps) - 1

    def _look(self, *, whole: bool = False) -> None:
        """Watch every step since the last look: one, unless the host looks less often."""
        assert self._recorder is not None
        rows, self._seen_steps = self._recorder.look(whole=whole)
        for step, (loss, size) in enumerate(rows, self._seen_steps - len(rows)):
            symptom = watch(self.policy, self._watch, loss, size)
            if symptom is not None:
                self._fail(symptom, step=step)
                return
        due = self._watch.high >= max(self.policy.divergence_patience - 1, 1)
        if due != self._recorder.keeps_latest:
            self._recorder.keep_latest(due)

    def _fail(self, symptom: Symptom, step: int | None = None) -> None:
        assert self.trace is not None
        self.trace.symptom = symptom
        self.trace.epoch = self._epoch
        self.trace.step = self._last_step if step is None else step
        _log.info("%s in epoch %d at step %d", symptom, self._epoch, self.trace.step)
        self.model.stop_training = True
        # The epoch does not count: no time is spent on its validation. Set only now, since Keras
        # leaves its asynchronous path for every callback whose class has this method.
        self.on_test_batch_end = self._stop_evaluating

    def _has_latest(self) -> bool:
        return self._recorder is None or self._recorder.has_latest

    def _find_baseline(self) -> float | None:
        """Loss of a model that has learned nothing, on the data so far; None where unknown.

        That is the best constant prediction's on the batches at hand, the first and the latest, or
        the untrained model's own on the last of them, whichever is more.
        """
        from robusttune._diagnosis.reference.baseline import constant_loss

        if self._recorder is None or self.trace is None:
            return None
        batches = [*self._recorder.batches, *self._recorder.latest]
        if not batches:
            return None
        with self._recorder.model_state():
            losses = [constant_loss(self.model, batches), self._untrained_loss(batches[-1])]
        return max((loss for loss in losses if loss is not None), default=None)

    def _untrained_loss(self, batch: Batch) -> float | None:
        """Loss of the weights from before the fit; None where it cannot be told."""
        from robusttune._diagnosis.model.observe import observe

        weights = None if self.trace is None else self.trace.initial_weights
        if weights is None:
            return None
        try:
            loss = observe(self.model, weights, batch).loss
        except Exception:  # the user's code, outside of its own step
            _log.debug("the untrained model's loss cannot be told", exc_info=True)
            return None
        return loss if loss is not None and math.isfinite(loss) else None

    def _stop_evaluating(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.model.stop_evaluating = True

    def _finish(self) -> None:
        trace = self.trace
        assert trace is not None
        self._collect()
        trace.seconds = time.perf_counter() - self._began
        if self._epoch_seconds:
            trace.seconds_per_epoch = float(np.mean(self._epoch_seconds[1:] or self._epoch_seconds))
        elif self.params.get("steps") and trace.step:
            running = self._stepped - self._compiled
            running -= 0.0 if self._recorder is None else self._recorder.tapping_seconds
            trace.seconds_per_epoch = running * self.params["steps"] / trace.step
        with self._clock.paused():
            trace.skill = self._skill(trace)
            self.findings = self._find(trace)
        self._finished = True
        trace.given = None  # the data are the user's to keep or to drop
        if self.findings is None:  # what a diagnosis would need takes memory
            trace.first_batches, trace.initial_weights = [], None

    def _collect(self) -> None:
        """Move what the recorder holds into the trace."""
        trace = self.trace
        if trace is None:
            return
        trace.start_loss = self._watch.start
        trace.steps_per_epoch = self.params.get("steps")
        if self._recorder is None:
            return
        rows, steps = self._recorder.history()
        trace.first_step = steps - len(rows)
        if trace.step is not None:
            rows = rows[: max(trace.step + 1 - trace.first_step, 0)]
        rows = rows.astype(float)
        trace.losses = rows[:, Row.LOSS]
        known = self._recorder.knows_norms
        trace.gradient_norms = (
            np.sqrt(2 * rows[:, Row.SIZE]) if known else rows[:, Row.SIZE] * np.nan
        )
        trace.clipped_steps = self._recorder.clipped_steps
        trace.first_batches = list(self._recorder.batches)
        trace.failing_batch = self._recorder.failing_batch
        trace.missing.update(self._recorder.missing)
        if trace.failing_batch is None and trace.symptom is not None:
            step = trace.step
            if step is not None and step < len(trace.first_batches):  # read off the input
                trace.failing_batch = trace.first_batches.pop(step)
                del trace.first_batches[step:]

    def _find(self, trace: FitTrace) -> Findings | None:
        context = self.context
        assert context is not None
        lost = trace.symptom is None and validation_is_lost(trace)
        diagnosis = FitDiagnosis(
            symptom=Symptom.NON_FINITE_OBJECTIVE if lost else trace.symptom,
            shown=Symptom.NON_FINITE_LOSS if lost else None,
            model=self.model,
            trace=trace,
            context=context,
            policy=self.policy,
        )
        wanted = context.wants_diagnosis(cut_short=not trace.epoch_logs)
        if trace.symptom is not None and not wanted:
            return findings_of(trace.symptom, _NOT_ASKED, trace)
        postponed = self.policy.diagnosis == "search_end" and context.postpone(diagnosis)
        return diagnosis.by_symptom_alone() if postponed else diagnosis.run()

    def _skill(self, trace: FitTrace) -> float | None:
        try:
            return skill(self.model, trace)
        except Exception:  # a number for the record must not cost the fit
            _log.debug("the skill of the fit is not known", exc_info=True)
            return None

    def _keep_initial_weights(self) -> None:
        weights = self.model.weights
        self._born_infinite = {id(w) for w in weights if not (w.trainable or _is_finite(w))}
        size = sum(int(np.prod(w.shape)) * 4 for w in weights)
        if size > MAX_WEIGHT_BYTES:
            self._note_missing(initial_weights=f"{size / 2**20:.0f} MiB of weights")
        elif not self.model.built:
            self._note_missing(initial_weights="the model is built by its first step")
        elif self.trace is not None:
            self.trace.initial_weights = [np.array(w) for w in self.model.get_weights()]

    def _note_missing(self, **reasons: str) -> None:
        if self.trace is not None:
            self.trace.missing.update(reasons)

    def _weights_are_finite(self) -> bool:
        return all(id(w) in self._born_infinite or _is_finite(w) for w in self.model.weights)


def _is_wrapped(model: Any) -> bool:
    """Whether that is PyTorch's wrapper of a model that is trained by several processes."""
    return type(model).__name__ == "DistributedDataParallel"


@functools.cache
def _warn_of_logs(reason: str) -> None:
    warnings.warn(
        f"The guard cannot reach into the training step ({reason}), so it watches the loss that"
        " Keras logs: a failing update reaches the weights before the fit ends, and gradients are"
        " not clipped.",
        InstabilityWarning,
        stacklevel=2,
    )


def _is_finite(variable: Any) -> bool:
    """Whether all numbers of a variable are finite."""
    if "float" not in str(variable.dtype):
        return True
    values = keras.ops.convert_to_numpy(variable).ravel()
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float32)
    # The dot product is one quick pass; where it overflows, the values themselves decide.
    return bool(np.isfinite(np.dot(values, values))) or bool(np.isfinite(values).all())
