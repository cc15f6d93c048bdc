"""A further host, as its author would write it: a loop that samples, trains and keeps a JSON file.

It knows robusttune by `robusttune.hosts` alone: `TrialHost` and `TrialRun` for a trial, and for a
report what `register` asks for.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from robusttune import Policy, Report, TrialRecord
from robusttune.hosts import (
    Choice,
    Float,
    Narrowing,
    NoObjectiveError,
    Parameter,
    RecordCallback,
    Search,
    SpaceChange,
    TrialRun,
    notify_callbacks,
    role_by_name,
    sanitize,
)

Objective = Callable[[Mapping[str, Any]], float]


class LoopTrial:
    """One trial of a loop."""

    asked = None
    unwatched_advice = None

    def __init__(self, loop: Loop, number: int, params: Mapping[str, Any]) -> None:
        self.trial = self
        self.trial_id, self.number, self.params = str(number), number, params
        self._loop = loop

    def related_trials(self) -> list[TrialRecord]:
        """The trials before."""
        return [record for record in self._loop.records.values() if record.status != "running"]

    def clip_norm(self) -> None:
        """The loop searches none."""

    def value(self, result: Any) -> float:
        """Any finite number will do."""
        if not math.isfinite(result):
            raise NoObjectiveError(f"the objective is {result}")
        return float(result)

    def error_text(self, error: Exception) -> str:
        """As everywhere."""
        return f"{type(error).__name__}: {error}"

    def read(self) -> TrialRecord | None:
        """What this process has stored."""
        return self._loop.records.get(self.trial_id)

    def write(self, record: TrialRecord) -> None:
        """Keep it, and the file current."""
        self._loop.records[self.trial_id] = record
        self._loop.save()


class Loop:
    """A random search over a space, whose trials are kept in a file."""

    def __init__(self, path: Path, space: Iterable[Parameter], policy: Policy) -> None:
        self.path, self.policy = path, policy
        self.records: dict[str, TrialRecord] = {}
        self.adjustments: list[dict[str, Any]] = []
        self.space: list[Parameter] = []
        for declared in space:
            sound, changes = sanitize(declared, role_by_name(declared), policy)
            self.space.append(sound)
            self.adjustments += [change.to_dict() for change in changes]

    def run(
        self, objective: Objective, trials: int, record_callbacks: Iterable[RecordCallback] = ()
    ) -> None:
        """Run trials, whatever they end with."""
        rng = random.Random(0)
        for number in range(trials):
            params = {parameter.name: _drawn(parameter, rng) for parameter in self.space}
            host = LoopTrial(self, number, params)
            run = TrialRun(host, self.policy)
            run.begin()
            try:
                with run.guarding():
                    value = run.value(objective(params))
            except Exception as error:
                record = run.end(error)
            else:
                record = run.end(value=value)
            notify_callbacks(record_callbacks, host, record)

    def save(self) -> None:
        """Write the file."""
        body = {
            "space": {p.name: _declared(p) for p in self.space},
            "adjustments": self.adjustments,
            "trials": [json.loads(record.to_stored_json()) for record in self.records.values()],
        }
        self.path.write_text(json.dumps(body))

    def report(self) -> Report:
        """Return the report of the search so far."""
        return Report(read(str(self.path)))


def _drawn(parameter: Parameter, rng: random.Random) -> Any:
    if isinstance(parameter, Choice):
        return rng.choice(parameter.choices)
    if parameter.log:
        return math.exp(rng.uniform(math.log(parameter.low), math.log(parameter.high)))
    return rng.uniform(parameter.low, parameter.high)


def _declared(parameter: Parameter) -> dict[str, Any]:
    if isinstance(parameter, Choice):
        return {"choices": parameter.choices}
    return {"low": parameter.low, "high": parameter.high, "log": parameter.log}


def read(source: str, study: str | None = None) -> Search:
    """Read a loop's file, as the report asks for it."""
    body = json.loads(Path(source).read_text())
    space = {
        name: Choice(name, tuple(of["choices"])) if "choices" in of else Float(name, **of)
        for name, of in body["space"].items()
    }
    records = [TrialRecord.from_json(json.dumps(trial)) for trial in body["trials"]]
    more: dict[str, Any] = {"space": space, "adjustments": tuple(body["adjustments"])}
    return Search.of(records, name=Path(source).stem, host="loop", **more)


def lines(change: SpaceChange) -> str:
    """Return a change of the space as code."""
    if isinstance(change.by, Narrowing) and not change.by.where:
        return f"space[{change.by.parameter.name!r}] = {change.by.narrowed}"
    return f"skip if {' and '.join(map(str, change.conditions))}"
