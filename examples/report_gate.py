"""A report as a gate: continuous integration fails when too much of a search fails.

On the command line, after a nightly search, one line does it; it exits with 1 where the condition
holds, which ends the job, and `--html` leaves the page as its artifact:

    robusttune report PROJECT_OR_STORAGE --fail-on "failure_rate>0.3" --html report.html

In Python any condition can be had; here, that there is no unstable region. Run it with
`python examples/report_gate.py`: it searches with Optuna for a few seconds, and prints:

    robusttune report ... --fail-on 'failure_rate > 0.3' exits with 1:
    robusttune: failure_rate > 0.3: failure_rate is 0.35
    The gate in Python:
    learning_rate > 0.534: 14 of 14 trials failed
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import optuna
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor

from robusttune import Report
from robusttune.optuna import robust

x, y = load_diabetes(return_X_y=True)
x, y = x / x.std(axis=0), (y - y.mean()) / y.std()
x_train, x_valid, y_train, y_valid = train_test_split(x, y, random_state=0)


def objective(trial: optuna.Trial) -> float:
    """Return the score of a small network; high learning rates overflow, and raise."""
    model = MLPRegressor(
        hidden_layer_sizes=trial.suggest_int("units", 8, 64, log=True),
        solver="sgd",
        learning_rate_init=trial.suggest_float("learning_rate", 1e-3, 10.0, log=True),
        max_iter=20,
        random_state=0,
    )
    score: float = model.fit(x_train, y_train).score(x_valid, y_valid)
    return score


def gate(report: Report) -> list[str]:
    """Return what is wrong with a search; an empty list lets it pass."""
    return [
        f"{region.rule}: {region.failures} of {region.trials} trials failed"
        for region in report.find_regions()
    ]


def main() -> None:
    """Search, and apply both gates."""
    storage = f"sqlite:///{Path(tempfile.mkdtemp(), 'study.db')}"
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(direction="maximize", storage=storage, sampler=sampler)
    study.optimize(robust(objective), n_trials=40)

    command = ["report", storage, "--fail-on", "failure_rate > 0.3"]
    done = subprocess.run(
        [sys.executable, "-m", "robusttune", *command], capture_output=True, text=True, check=False
    )
    print(f"robusttune report ... --fail-on 'failure_rate > 0.3' exits with {done.returncode}:")
    print(done.stderr.strip())

    problems = gate(Report.from_storage(storage))
    print("The gate in Python:", *problems, sep="\n")


if __name__ == "__main__":
    for category in (ConvergenceWarning, RuntimeWarning):  # so few iterations, and the overflows
        warnings.simplefilter("ignore", category)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("robusttune").setLevel(logging.ERROR)  # the gates say it all
    main()
