"""The guard and the diagnosis on Keras's three backends, in one call: each in a process of its own.

The same failing trials, from the same first weights and on the same data, one column a backend; the
guard's time beside bare training and beside Keras's own protection; JAX's failing fits with
validation data, again and again.

    python -m benchmarks.backends                  # the table and the overhead
    python -m benchmarks.backends --repeat 20      # and so many failing JAX fits with validation
    python -m benchmarks.backends --corpus 3       # and every third trial of the labelled corpus
"""

from __future__ import annotations

import argparse
import collections
import inspect
import json
import os
import re
import subprocess
import sys
import time
from typing import Any

BACKENDS = ("tensorflow", "torch", "jax")

# Rate, optimizer, epochs, scale of the inputs, loss, clip.
CASES: dict[str, dict[str, Any]] = {
    "healthy": {},
    "SGD 5": {"rate": 5.0},
    "Adam 30 (finite divergence)": {"rate": 30.0, "optimizer": "Adam"},
    "loss divided by y": {"loss": "divided"},
    "unscaled data": {"scale": 1000.0},
    "rate 1e-7": {"rate": 1e-7},
    "NaN in a row": {"bad": True},
    "clip=0.1": {"clip": 0.1, "epochs": 2},
}


def _data() -> tuple[Any, Any]:
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(320, 10)).astype("float32")
    return x, (x @ rng.normal(size=(10, 1))).astype("float32")


def _model(rate: float, optimizer: str, loss: Any) -> Any:
    """The same first weights on each backend."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((10,)), *layers])
    rng = np.random.default_rng(2)
    shapes = [w.shape for w in model.get_weights()]
    model.set_weights(
        [rng.normal(size=s) / np.sqrt(s[0]) if len(s) > 1 else np.zeros(s) for s in shapes]
    )
    model.compile(getattr(keras.optimizers, optimizer)(rate), loss)
    return model


def cell(
    rate: float = 0.01,
    optimizer: str = "SGD",
    loss: str = "mse",
    scale: float = 1.0,
    epochs: int = 20,
    clip: Any = "auto",
    bad: bool = False,
) -> str:
    """Train one trial under the guard, and say what came of it."""
    import keras
    import numpy as np

    from robusttune import Guard, Policy

    def divided(y: Any, p: Any) -> Any:
        return keras.ops.mean(keras.ops.abs((y - p) / y))

    x, y = _data()
    if loss == "divided":
        y = (y - y.min()) / 10
    val = (x, y)
    x = x * np.float32(scale)
    if bad:
        x[200, 3] = np.nan
    model = _model(rate, optimizer, divided if loss == "divided" else loss)
    guard = Guard(Policy(clip=clip))
    options = {"batch_size": 32, "shuffle": False, "verbose": 0, "epochs": epochs}
    try:
        model.fit(x, y, validation_data=val, callbacks=[guard], **options)
    except Exception as error:
        return f"raises {type(error).__name__}"
    record = guard.record
    assert record is not None
    finite = all(np.isfinite(w).all() for w in model.get_weights())
    weights = "" if finite else ", NaN WEIGHTS"
    if record.cause is None:
        return f"healthy, {record.clipped_steps} steps clipped{weights}"
    at = "" if record.step is None else f" at step {record.step}"
    verified = " verified" if record.fix_verified else ""
    return f"{record.symptom}{at}: {record.cause} {record.confidence:.2f}{verified}{weights}"


def repeat(times: int) -> str:
    """Train failing fits with validation data, and count what they raise."""
    from robusttune import Guard, Policy

    x, y = _data()
    raised: collections.Counter[str] = collections.Counter()
    ended = 0
    for number in range(times):
        model = _model([5.0, 30.0, 1e6][number % 3], "SGD", "mse")
        guard = Guard(Policy(diagnosis="off"))
        try:
            model.fit(x, y, validation_data=(x, y), epochs=20, verbose=0, callbacks=[guard])
            ended += guard.failed
        except Exception as error:
            raised[type(error).__name__] += 1
    return (
        f"{times} failing fits with validation: {ended} ended by the guard, raised {dict(raised)}"
    )


def overhead(rounds: int) -> list[str]:
    """Return the guard's share of the time of healthy steps; medians over the rounds."""
    import statistics

    import keras

    from benchmarks.overhead import Case, measure

    def wide() -> list[Any]:
        return [
            *(keras.layers.Dense(512, activation="relu") for _ in range(4)),
            keras.layers.Dense(1),
        ]

    def small() -> list[Any]:
        return [keras.layers.Dense(64, activation="relu"), keras.layers.Dense(1)]

    cases = [
        Case("MLP 10-64-1, batch 32", small, (10,), 32 * 60),
        Case("MLP 4x512, batch 128", wide, (64,), 128 * 30, batch=128),
    ]
    lines = []
    for case in cases:
        ratios, steps = measure(case, rounds), []
        for peer in ("keras", "bare"):
            for clock in ("CPU", "wall"):
                found = statistics.median(ratios[f"{clock}, guard/{peer}"])
                steps.append(f"{clock} guard/{peer} {found:.3f}")
        print(f"{case.name}: {steps}", file=sys.stderr, flush=True)
        milliseconds = 1000 * ratios["bare, seconds a step"][0]
        lines.append(f"{case.name} ({milliseconds:.2f} ms a bare step): {', '.join(steps)}")
    return lines


def uses_tensorflow(function: Any) -> bool:
    """Whether a scenario's code calls TensorFlow itself, so that no other backend can run it."""
    function = getattr(function, "func", function)  # of a partial
    source = inspect.getsource(function)
    named = [function.__globals__.get(word) for word in set(re.findall(r"\w+", source))]
    own = [item for item in named if getattr(item, "__module__", "").startswith("evaluation.")]
    parts = [source, *(inspect.getsource(item) for item in own if hasattr(item, "__name__"))]
    return any(re.search(r"\btf\.", part) for part in parts)


def corpus(every: int) -> str:
    """Return the counts of every so many trials of the labelled corpus.

    First weights are other ones on each backend. What is healthy on TensorFlow may end worse than a
    constant prediction here: then it is no healthy trial, and is listed by itself.
    """
    from evaluation.diagnosis import run
    from evaluation.diagnosis_corpus import FAILING, HEALTHY, HELD_OUT_FAILING, HELD_OUT_HEALTHY

    broken = [*FAILING, *HELD_OUT_FAILING][::every]
    sound = [*HEALTHY, *HELD_OUT_HEALTHY][::every]
    right, alarms, unsound, skipped, wrong = 0, [], [], [], []
    for scenario in (*broken, *sound):
        try:
            result = run(scenario)
        except Exception as error:
            result = None
            skipped.append(f"{scenario.name} ({type(error).__name__})")
        if result is not None and result.symptom == "exception" and uses_tensorflow(scenario.make):
            skipped.append(scenario.name)
        elif result is not None and scenario.truth:
            right += result.right
            said = "nothing" if result.verdict is None else str(result.verdict.cause)
            wrong += [] if result.right else [f"{scenario.name}: {said}"]
        elif result is not None and result.verdict is not None:
            learned = result.skill is None or result.skill > 0
            (alarms if learned else unsound).append(f"{scenario.name}: {result.verdict.cause}")
        print(
            f"{scenario.name}: {result and result.verdict and result.verdict.cause}",
            file=sys.stderr,
        )
    judged = right + len(wrong)
    return json.dumps(
        {
            "right": f"{right} of {judged} ({right / max(judged, 1):.1%})",
            "wrong": wrong,
            "false alarms": alarms,
            "ended worse than a constant": unsound,
            "healthy": len(sound),
            "not run (TensorFlow's own code)": skipped,
        }
    )


def _here(arguments: argparse.Namespace) -> None:
    """Run on this process's backend, and print JSON."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    found: dict[str, Any] = {"cells": {}}
    for name in CASES:
        if arguments.only in name:
            found["cells"][name] = cell(**CASES[name])
            print(f"{name}: {found['cells'][name]}", file=sys.stderr, flush=True)
    if arguments.repeat and keras.backend.backend() == "jax":
        found["repeat"] = repeat(arguments.repeat)
        print(found["repeat"], file=sys.stderr, flush=True)
    if arguments.rounds:
        found["overhead"] = overhead(arguments.rounds)
    if arguments.corpus:
        found["corpus"] = corpus(arguments.corpus)
    print(json.dumps(found))


def main() -> None:
    """Run on each backend, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--rounds", type=int, default=5, help="of the overhead; 0: none")
    parser.add_argument("--repeat", type=int, default=0)
    parser.add_argument("--corpus", type=int, default=0, help="every so many trials; 0: none")
    parser.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        _here(arguments)
        return
    results = {}
    for backend in arguments.backends:
        began = time.perf_counter()
        command = [sys.executable, "-m", "benchmarks.backends", "--here", *sys.argv[1:]]
        env = {**os.environ, "KERAS_BACKEND": backend}
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
        results[backend] = json.loads(done.stdout.splitlines()[-1])
        print(f"{backend}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    for name in next(iter(results.values()))["cells"]:
        print(name)
        for backend, found in results.items():
            print(f"  {backend:10s} {found['cells'][name]}")
    for key in ("repeat", "overhead", "corpus"):
        for backend, found in results.items():
            for line in [found[key]] if isinstance(found.get(key), str) else found.get(key, []):
                print(f"{key}, {backend}: {line}")


if __name__ == "__main__":
    main()
