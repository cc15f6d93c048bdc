"""How often the diagnosis is right: over trials whose causes are known by construction.

    python -m evaluation.diagnosis                 # everything, some minutes
    python -m evaluation.diagnosis --only raw_     # scenarios whose name has that text

Prints the confusion table, top-1 accuracy, abstentions, false alarms, seconds per diagnosis, how
well the confidence is calibrated, and whether verified fixes hold when the trial is run in full.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import robusttune
from evaluation.diagnosis_corpus import FAILING, HEALTHY, HELD_OUT_FAILING, HELD_OUT_HEALTHY
from evaluation.diagnosis_corpus.scenario import Scenario, Setup
from robusttune import FailureCause, Guard, Policy, Symptom
from robusttune._diagnosis.diagnose_failure import diagnose_failure
from robusttune._diagnosis.verdict import Verdict

SEED = 11


@dataclass(slots=True)
class Result:
    """One scenario and what was said of it."""

    scenario: Scenario
    symptom: str | None
    verdict: Verdict | None
    seconds: float
    holds: bool | None = None
    skill: float | None = None
    diagnosed: str | None = None  # what robusttune.diagnose says; "-": nothing

    @property
    def said(self) -> str:
        """The cause as Guard names it; "-": nothing."""
        return "-" if self.verdict is None else str(self.verdict.cause)

    @property
    def right(self) -> bool:
        """Whether the cause is one of the right answers."""
        return self.verdict is not None and self.verdict.cause in self.scenario.truth

    @property
    def abstained(self) -> bool:
        """Whether no cause was named."""
        return self.verdict is None or self.verdict.cause is FailureCause.UNKNOWN


def run(scenario: Scenario) -> Result:
    """Run one trial under the guard, as a tuner does, and diagnose it."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(SEED)
    policy, guard, setup = Policy(), Guard(), None
    try:
        setup = scenario.make()
        options = dict(setup.fit)
        callbacks = [guard, *options.pop("callbacks", [])]
        setup.model.fit(
            setup.x,
            setup.y,
            **{"batch_size": 32, "epochs": setup.epochs, "verbose": 0, **options},
            callbacks=callbacks,
        )
    except Exception as error:
        began = time.perf_counter()
        verdict = diagnose_failure(
            Symptom.EXCEPTION, model=setup and setup.model, error=error, policy=policy
        )
        guard.release()
        return Result(scenario, "exception", verdict, time.perf_counter() - began)
    record, trace = guard.record, guard.trace
    assert record is not None
    assert trace is not None
    if record.cause is not None:
        verdict = Verdict(
            cause=record.cause,
            other_causes=record.other_causes,
            confidence=record.confidence or 0.0,
            advice=record.advice or "",
            fix_verified=record.fix_verified,
            evidence=record.evidence,
        )
        return Result(
            scenario,
            str(record.symptom),
            verdict,
            float(record.evidence.get("diagnosis_seconds", 0.0)),
            skill=record.skill,
        )
    if trace.epoch_logs and not np.isfinite(list(trace.epoch_logs[-1].values())).all():
        began = time.perf_counter()
        verdict = diagnose_failure(
            Symptom.NON_FINITE_OBJECTIVE, model=setup.model, trace=trace, policy=policy
        )
        return Result(scenario, "non_finite_objective", verdict, time.perf_counter() - began)
    return Result(scenario, None, None, 0.0)


def holds(scenario: Scenario, verdict: Verdict) -> bool | None:
    """Run the trial again in full with the advised change; whether it trains then.

    None where the advice cannot be followed mechanically (a new loss or activation).
    """
    fix = dict(verdict.evidence.get("fix") or {})
    if not verdict.fix_verified or set(fix) - {"change", "learning_rate", "inputs", "targets"}:
        return None
    keras.utils.clear_session()
    keras.utils.set_random_seed(SEED + 1)
    setup = scenario.make()
    x, y = setup.x, setup.y
    if fix.get("inputs"):
        x = keras.tree.map_structure(_standardized, x)
    if fix.get("targets"):
        y = keras.tree.map_structure(_standardized, y)
    if "learning_rate" in fix:
        optimizer = setup.model.optimizer
        if isinstance(optimizer._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
            return None
        optimizer.learning_rate = fix["learning_rate"]
    options = {"batch_size": 32, "epochs": setup.epochs, "verbose": 0, **setup.fit}
    history = setup.model.fit(x, y, **options).history["loss"]
    return bool(np.isfinite(history).all() and history[-1] < _constant(setup, y))


def diagnosed(scenario: Scenario) -> str | None:
    """Return the cause that `robusttune.diagnose` names without a fit; "-" where it is silent.

    None where it cannot be asked: the data come with arguments of `fit` that it does not take, or
    are a generator that raises.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(SEED)
    try:
        setup = scenario.make()
    except Exception:  # a scenario whose fault is that its model cannot be built
        return None
    options = dict(setup.fit)
    given = {key: options.pop(key, None) for key in ("sample_weight", "batch_size")}
    given = {key: value for key, value in given.items() if value is not None}
    if set(options) - {"epochs", "verbose"}:
        return None
    try:
        record = robusttune.diagnose(setup.model, setup.x, setup.y, **given)
    except Exception:  # of the scenario's own generator, or DataError
        return None
    return "-" if record.cause is None else str(record.cause)


def _standardized(array: Any) -> Any:
    array = np.asarray(array)
    if array.dtype.kind != "f":
        return array
    flat = array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array.reshape(-1, 1)
    spread = flat.std(0)
    shape = array.shape
    return ((flat - flat.mean(0)) / np.where(spread > 0, spread, 1)).reshape(shape)


def _constant(setup: Setup, y: Any) -> float:
    """Loss of the best constant prediction over all targets."""
    from robusttune._diagnosis.reference.baseline import constant_loss
    from robusttune._diagnosis.trace import Batch

    baseline = constant_loss(setup.model, [Batch(None, np.asarray(y))])
    return np.inf if baseline is None else baseline


def report(results: Sequence[Result]) -> None:
    """Print everything."""
    broken = [r for r in results if r.scenario.truth]
    sound = [r for r in results if not r.scenario.truth]
    _confusion(broken)
    wrong = [r for r in broken if not r.right]
    if wrong:
        print("\nNot right:")
    for r in wrong:
        said = r.verdict.cause if r.verdict else "nothing (no failure seen)"
        print(f"  {r.scenario.name}: {said}, not {'/'.join(sorted(r.scenario.truth))}")
    alarms = [r for r in sound if r.verdict is not None]
    for r in alarms:
        assert r.verdict is not None
        print(f"  false alarm on {r.scenario.name}: {r.symptom}, {r.verdict.cause}")
    print()
    if broken:
        right = sum(r.right for r in broken)
        abstained = sum(r.abstained for r in broken)
        print(f"failing trials      {len(broken)}")
        print(f"top-1 right         {right} ({right / len(broken):.1%})")
        print(f"abstained           {abstained} ({abstained / len(broken):.1%})")
        print(f"wrong cause         {len(broken) - right - abstained}")
    if sound:
        print(f"healthy trials      {len(sound)}")
        print(f"false alarms        {len(alarms)} ({len(alarms) / len(sound):.1%})")
    seconds = [r.seconds for r in broken if r.seconds > 0]
    if seconds:
        print(
            f"seconds a diagnosis median {np.median(seconds):.2f},"
            f" 95 % {np.quantile(seconds, 0.95):.2f}, most {max(seconds):.2f} (replayed ones)"
        )
    _reliability(broken + alarms)
    asked = [r for r in results if r.diagnosed is not None]
    if asked:
        apart = [r for r in asked if r.diagnosed != r.said]
        same = len(asked) - len(apart)
        print(f"\ndiagnose agrees with Guard in {same} of {len(asked)} ({same / len(asked):.1%})")
        for r in apart:
            print(f"  {r.scenario.name}: Guard {r.said}, diagnose {r.diagnosed}")
    tried = [r for r in broken if r.holds is not None]
    if tried:
        kept = sum(bool(r.holds) for r in tried)
        print(f"\nverified fixes that hold in a full run: {kept} of {len(tried)}")
        for r in tried:
            if not r.holds:
                assert r.verdict is not None
                print(f"  did not hold: {r.scenario.name}: {r.verdict.evidence['fix']['change']}")


def _confusion(results: Iterable[Result]) -> None:
    """Print truth (the named cause where it is one of several right ones) against verdict."""
    table: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for r in results:
        said = str(r.verdict.cause) if r.verdict is not None else "-"
        truth = said if r.right else sorted(r.scenario.truth)[0]
        table[truth][said] += 1
    print("truth -> said (count)")
    for truth in sorted(table):
        cells = ", ".join(f"{said} {count}" for said, count in table[truth].most_common())
        print(f"  {truth:26s} {cells}")


def _reliability(results: Sequence[Result]) -> None:
    """Print how often verdicts of each confidence are right."""
    judged = [r for r in results if r.verdict is not None and not r.abstained]
    edges = (0.0, 0.6, 0.85, 0.93, 0.97, 1.01)
    print("\nconfidence    verdicts  mean confidence  right")
    for low, high in itertools.pairwise(edges):
        inside = [r for r in judged if r.verdict and low <= r.verdict.confidence < high]
        if inside:
            mean = np.mean([r.verdict.confidence for r in inside if r.verdict])
            share = np.mean([r.right for r in inside])
            print(f"{low:.2f}..{min(high, 1):.2f}    {len(inside):8d}  {mean:15.2f}  {share:.2f}")
    _by_grounds(judged)


def _by_grounds(judged: Sequence[Result]) -> None:
    """Print the same by what the verdicts rest on, and how far the confidence is off."""
    print("\nverdicts  right  confidence  rests on")
    kinds = collections.defaultdict(list)
    for r in judged:
        assert r.verdict is not None
        kinds[str(r.verdict.evidence.get("grounds", "other"))].append(r)
    for kind, results in sorted(kinds.items(), key=lambda item: -len(item[1])):
        share = np.mean([r.right for r in results])
        sure = np.mean([r.verdict.confidence for r in results if r.verdict])
        print(f"{len(results):8d}  {share:5.2f}  {sure:10.2f}  {kind}")
    errors = [(r.verdict.confidence - r.right) ** 2 for r in judged if r.verdict]
    if errors:
        print(f"Brier score {np.mean(errors):.4f} (0 is perfect)")


def main() -> None:
    """Run the corpus and print the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", help="scenarios whose name contains this text")
    parser.add_argument("--kind", choices=("failing", "healthy", "all"), default="all")
    parser.add_argument(
        "--part",
        choices=("made", "held-out", "all"),
        default="all",
        help="scenarios that the rules were made on, those written before they were known, or all",
    )
    parser.add_argument("--no-fixes", action="store_true", help="leave out the full re-runs")
    parser.add_argument(
        "--diagnose", action="store_true", help="also what robusttune.diagnose says"
    )
    parser.add_argument("--every", type=int, default=1, help="only each n-th scenario")
    parser.add_argument("--json", type=Path, help="write all verdicts here")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    failing = [*(FAILING if args.part != "held-out" else ())]
    failing += HELD_OUT_FAILING if args.part != "made" else []
    healthy = [*(HEALTHY if args.part != "held-out" else ())]
    healthy += HELD_OUT_HEALTHY if args.part != "made" else []
    scenarios = [
        *(failing if args.kind != "healthy" else ()),
        *(healthy if args.kind != "failing" else ()),
    ]
    results = []
    scenarios = [s for s in scenarios if not args.only or args.only in s.name]
    for scenario in scenarios[:: args.every]:
        print(f"{len(results) + 1}/{len(scenarios)} {scenario.name}", file=sys.stderr, flush=True)
        result = run(scenario)
        if scenario.truth and result.verdict is not None and not args.no_fixes:
            result.holds = holds(scenario, result.verdict)
        if args.diagnose:
            result.diagnosed = diagnosed(scenario)
        results.append(result)
        if (
            args.verbose
            or result.right is not bool(scenario.truth)
            or (not scenario.truth and result.verdict is not None)
        ):
            _print_result(result, args.verbose)
    report(results)
    if args.json:
        args.json.write_text(json.dumps([_plain(r) for r in results], indent=1))


def _print_result(result: Result, verbose: bool) -> None:
    v = result.verdict
    cause = (
        "-" if v is None else f"{v.cause} {v.confidence:.2f} others={[*map(str, v.other_causes)]}"
    )
    print(
        f"{result.scenario.name:34s} {result.symptom} -> {cause} holds={result.holds}", flush=True
    )
    if verbose and v is not None:
        print("    ", v.advice)
        for replay in v.evidence.get("replays", []):
            print("        ", replay)
        print("     why not:", v.evidence.get("why_not"), flush=True)


def _plain(result: Result) -> dict[str, Any]:
    from robusttune._records import plain

    v = result.verdict
    return {
        "name": result.scenario.name,
        "truth": sorted(result.scenario.truth),
        "symptom": result.symptom,
        "cause": None if v is None else str(v.cause),
        "confidence": None if v is None else v.confidence,
        "other_causes": None if v is None else [str(c) for c in v.other_causes],
        "advice": None if v is None else v.advice,
        "seconds": result.seconds,
        "diagnosed": result.diagnosed,
        "holds": result.holds,
        "evidence": None if v is None else plain(v.evidence),
    }


if __name__ == "__main__":
    main()
