"""What the guard does to healthy fits: alarms, clipped steps, and the score that is reached.

Each healthy trial of the corpus (tables, architectures, modes of training) is fitted twice from the
same seed: bare, and with `callbacks=[robusttune.Guard()]`, whose clipping is automatic. An alarm is
a false one; a step that is clipped must not make the final loss worse.

    python -m evaluation.healthy [--only NAME]
"""

from __future__ import annotations

import argparse
import os
import statistics
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from evaluation.diagnosis_corpus import HEALTHY
from evaluation.diagnosis_corpus.scenario import Scenario
from robusttune import Guard

SEED = 11


def fit(scenario: Scenario, guards: list[Guard]) -> list[float]:
    """Return the loss of each epoch."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(SEED)
    setup = scenario.make()
    options: dict[str, Any] = {"batch_size": 32, "epochs": setup.epochs, "verbose": 0, **setup.fit}
    options["callbacks"] = [*guards, *options.get("callbacks", [])]
    history = setup.model.fit(setup.x, setup.y, **options).history
    return [float(value) for value in history["loss"]]


def main() -> None:
    """Print the counts, and every fit that differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="trials whose name has this in it")
    chosen = [s for s in HEALTHY if parser.parse_args().only in s.name]
    alarms = clipped = identical = 0
    ratios = []
    for scenario in chosen:
        guard = Guard()
        bare, guarded = fit(scenario, []), fit(scenario, [guard])
        assert guard.trace is not None
        assert guard.record is not None
        alarms += guard.failed or guard.record.unstable
        clipped += guard.trace.clipped_steps > 0
        identical += bare == guarded
        if bare[-1] > 0:
            ratios.append(guarded[-1] / bare[-1])
        if guard.failed or guard.record.unstable or guard.trace.clipped_steps:
            print(
                f"{scenario.name}: {guard.record.symptom or 'no alarm'}, {guard.record.cause},"
                f" {guard.trace.clipped_steps} steps clipped,"
                f" final loss {bare[-1]:.4g} bare, {guarded[-1]:.4g} guarded",
                flush=True,
            )
    print(f"healthy fits                      {len(chosen)}")
    print(f"false alarms                      {alarms}")
    print(f"fits with a clipped step          {clipped}")
    print(f"loss curves equal to the last bit {identical}")
    print(
        f"final loss, guarded / bare        median {statistics.median(ratios):.6f},"
        f" from {min(ratios):.4f} to {max(ratios):.4f}"
    )


if __name__ == "__main__":
    main()
