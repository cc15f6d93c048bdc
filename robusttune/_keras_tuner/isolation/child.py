"""Child process of a Keras Tuner search: runs its trials.

What a trial asks of the oracle, and of the search's other trials, goes to the search's own process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from robusttune._isolation.child import Channel
from robusttune._isolation.progress import SharedClock, SharedProgress
from robusttune._keras_tuner.isolation.run_result import RunResult, run_for_result
from robusttune._records import TrialRecord


class OracleProxy:
    """Stands for the oracle, which stays in the search's process: each use is a question to it."""

    _channel: Channel | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or self._channel is None:
            raise AttributeError(name)
        is_method, value = self._channel.ask("get", name)
        return functools.partial(self._call, name) if is_method else value

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        assert self._channel is not None
        return self._channel.ask("call", name, args, kwargs)


class DistantRecords(Sequence[TrialRecord]):
    """The records of the search's other trials, fetched when a diagnosis looks at them."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @functools.cached_property
    def _records(self) -> list[TrialRecord]:
        records: list[TrialRecord] = self._channel.ask("related_trials")
        return records

    def __getitem__(self, index: Any) -> Any:
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)


def runner_of(parts: Mapping[str, Any]) -> Callable[..., RunResult]:
    """Return what runs a trial in a child process.

    Args:
        parts: What was sent.
    """
    tuner = parts["the tuner"]

    def run(order: Any, channel: Channel, progress: SharedProgress) -> RunResult:
        trial, states = order
        tuner.oracle._channel = channel
        return run_for_result(
            tuner,
            trial,
            states,
            parts["the data"],
            parts["the arguments of search"],
            DistantRecords(channel),
            SharedClock(tuner.robust_policy.trial_seconds, progress),
        )

    return run
