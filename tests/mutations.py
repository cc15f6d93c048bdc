"""Do the tests notice when the core is broken?

Each mutation is one deliberate break, made in a copy of the project; the tests named beside it are
run there, and at least one has to fail. They are run in an unbroken copy first, and must pass.

    python -m tests.mutations                # all, some minutes
    python -m tests.mutations --only hope    # those whose name has this in it

Exits with 1 if a break is not noticed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("robusttune", "tests", "benchmarks", "pyproject.toml", "README.md")
IGNORED = shutil.ignore_patterns("__pycache__", "results", "*.pyc")


@dataclass(frozen=True)
class Mutation:
    """One break.

    Args:
        name: What it does.
        file: Of the package.
        before: Code that is in the file exactly once.
        after: What takes its place.
        tests: What pytest is asked to run.
    """

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    def apply(self, root: Path) -> str:
        """Break the copy, and return the file's text from before.

        Raises:
            ValueError: The code has changed, and the mutation has to be written anew.
        """
        path = root / "robusttune" / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.before) != 1:
            raise ValueError(
                f"{self.name}: {self.before!r} must be in {self.file} exactly once,"
                f" got {text.count(self.before)}."
            )
        path.write_text(text.replace(self.before, self.after), encoding="utf-8")
        return text


MUTATIONS = [
    Mutation(
        "guard: the comparison of divergence is flipped",
        "_guard/watch.py",
        "if loss > limit else 0",
        "if loss < limit else 0",
        ("tests/guard/test_watch.py",),
    ),
    Mutation(
        "guard: an update that is not finite reaches the weights",
        "_guard/tensorflow_step.py",
        "tf.cond(usable, accept, reject)",
        "tf.cond(tf.constant(True), accept, reject)",
        ("tests/guard/test_guard.py::test_guard_keeps_the_weights_of_the_last_good_step",),
    ),
    Mutation(
        "guard: clipping is off",
        "_guard/tensorflow_step.py",
        "return tf.where(clips, tf.sqrt(limit / size), one)",
        "return one",
        ("tests/guard/test_guard.py::test_guard_clips_to_a_global_norm_as_keras_does",),
    ),
    Mutation(
        "guard: the metrics of an epoch that was cut short count",
        "_guard/callback.py",
        "logs[name] = math.nan",
        "pass",
        ("tests/guard/test_guard.py::test_guard_stops_divergence_that_stays_finite",),
    ),
    Mutation(
        "diagnosis: two causes are swapped",
        "_diagnosis/replay/intervention.py",
        "Treatment.PLAIN_LOSS: self.plain_loss,",
        "Treatment.STANDARDIZED_DATA: self.plain_loss,",
        ("tests/diagnosis/test_diagnosis.py",),
    ),
    Mutation(
        "diagnosis: a cure on one of the seeds is enough",
        "_diagnosis/replay/intervention.py",
        "(ends < limit(self.baseline, self.margin)).all()",
        "(ends < limit(self.baseline, self.margin)).any()",
        ("tests/diagnosis/test_diagnosis.py",),
    ),
    Mutation(
        "diagnosis: a verdict is taken over from an unproven sibling",
        "_diagnosis/related_trials.py",
        "not record.fix_verified or not _same_but_rate",
        "not _same_but_rate",
        ("tests/diagnosis/test_diagnosis.py",),
    ),
    Mutation(
        "causes: searches learn from running out of memory",
        "_causes.py",
        """model in the search space.",\n""",
        """model in the search space.",\n            depends_on_parameters=True,\n""",
        ("tests/learning/test_learning.py",),
    ),
    Mutation(
        "learning: failures at random teach",
        "_learning/permutation_test.py",
        "_chance_of_more(among, nominal, labels) > _ALPHA",
        "_chance_of_more(among, nominal, labels) > 1",
        ("tests/learning/test_learning.py",),
    ),
    Mutation(
        "learning: the proposals that are left free are not",
        "_learning/outcomes.py",
        "return int((number + 1) * share) > int(number * share)",
        "return False",
        ("tests/learning/test_learning.py",),
    ),
    Mutation(
        "regions: no test against noise",
        "_regions/find.py",
        "if p > alpha:",
        "if p > 1:",
        ("tests/regions/test_regions.py::test_noise_shows_a_region_in_few_searches",),
    ),
    Mutation(
        "search: an infinite score is the best one",
        "_keras_tuner/oracle.py",
        "if trial.score is not None and math.isinf(trial.score):",
        "if False:",
        ("tests/keras_tuner/test_tuners.py::test_tuner_non_finite_report_to_the_oracle",),
    ),
    Mutation(
        "search: hopeless although a trial has completed",
        "_hopeless.py",
        ' or any(r.status != "failed" for r in records)',
        "",
        ("tests/test_hopeless.py",),
    ),
    Mutation(
        "search: hopeless one trial too early",
        "_hopeless.py",
        "len(records) < after",
        "len(records) < after - 1",
        ("tests/test_hopeless.py",),
    ),
    Mutation(
        "space: learning rates are not capped",
        "_space/roles.py",
        "high=cap, ceiling=cap, why_high=why",
        "why_high=why",
        (
            "tests/space/test_space.py::test_learning_rate_cap_is_that_of_the_most_lenient_optimizer",
        ),
    ),
    Mutation(
        "store: the record of a trial is lost",
        "_keras_tuner/host.py",
        "write_atomically(path, record.to_stored_json(), durable=record.unstable)",
        "pass",
        ("tests/keras_tuner/test_tuners.py::test_trial_records_round_trip",),
    ),
    Mutation(
        "store: a file is renamed before the disk has it",
        "_files.py",
        "                os.fsync(descriptor)\n        replace_file",
        "                pass\n        replace_file",
        ("tests/test_files.py",),
    ),
    Mutation(
        "Optuna: a failed trial gets a value",
        "optuna/_objective.py",
        "            run.raise_if_hopeless(record)\n            return math.nan",
        "            run.raise_if_hopeless(record)\n            return 0.0",
        ("tests/optuna/test_robust.py::test_a_failure_is_stored_as_fail_with_a_record",),
    ),
    Mutation(
        "report: texts are not escaped in HTML",
        "_report/html.py",
        "autoescape=True",
        "autoescape=False",
        ("tests/report/test_html.py::test_texts_of_trials_are_escaped_everywhere",),
    ),
    Mutation(
        "report: a cell of a CSV file can start a formula",
        "_report/files.py",
        """        return "'" + text\n""",
        "        return text\n",
        ("tests/report/test_report.py",),
    ),
    Mutation(
        "regions: the permutation test counts the wrong way round",
        "_regions/significance.py",
        "base_rate) >= observed",
        "base_rate) < observed",
        ("tests/regions/test_regions.py",),
    ),
    Mutation(
        "learning: an exception in the code closes a place",
        "_causes.py",
        """            depends_on_parameters=False,\n            ends_search="code",\n""",
        """            depends_on_parameters=True,\n            ends_search="code",\n""",
        ("tests/learning/test_learning.py", "tests/keras_tuner/test_oracles_learning.py"),
    ),
    Mutation(
        "search: going on counts ended trials twice",
        "_keras_tuner/project/resume.py",
        "missing = set(now_ended) - set(was_ended)",
        "missing = set(now_ended)",
        ("tests/keras_tuner/test_resume.py",),
    ),
    Mutation(
        "search: a trial that kills its process is tried once too often",
        "_keras_tuner/project/resume.py",
        "begun >= limit",
        "begun > limit",
        ("tests/keras_tuner/test_resume.py",),
    ),
    Mutation(
        "search: Hyperband promotes the worst",
        "_keras_tuner/oracles_learning.py",
        'max if self.objective.direction == "max" else min',
        'min if self.objective.direction == "max" else max',
        ("tests/keras_tuner/test_oracles_learning.py",),
    ),
    Mutation(
        "search: Hyperband waits for the places of failed trials",
        "_keras_tuner/oracles_learning.py",
        "len(ready) + failed + never_comes > thrown_out",
        "len(ready) + never_comes > thrown_out",
        ("tests/keras_tuner/test_oracles_learning.py",),
    ),
    Mutation(
        "search: the user's limit of failures counts those of earlier sessions",
        "_keras_tuner/oracle.py",
        "self.max_consecutive_failed_trials, self.end_order[self._robust_began_at :]",
        "self.max_consecutive_failed_trials, self.end_order",
        (
            "tests/keras_tuner/test_resume.py::test_own_limit_of_failures_counts_afresh_after_a_resume",
        ),
    ),
    Mutation(
        "search: hopeless after exceptions that differ",
        "_hopeless.py",
        " and len(same) == 1 and",
        " and",
        ("tests/test_hopeless.py::test_why_hopeless",),
    ),
    Mutation(
        "guard: a spike is clipped by the square of its factor",
        "_guard/tensorflow_step.py",
        "tf.where(spike, tf.sqrt(peak / size), one)",
        "tf.where(spike, peak / size, one)",
        ("tests/guard/test_guard.py::test_guard_auto_clip_tames_a_spike",),
    ),
    Mutation(
        "guard: divergence is not compared with the data of now",
        "_guard/callback.py",
        "batches = [*self._recorder.batches, *self._recorder.latest]",
        "batches = self._recorder.batches",
        ("tests/guard/test_guard.py::test_guard_knows_data_in_order_from_divergence",),
    ),
    Mutation(
        "guard: the failing step's moving statistics stay",
        "_guard/tensorflow_step.py",
        "                    variable.assign(value)\n",
        "                    pass\n",
        ("tests/guard/test_guard.py::test_guard_keeps_moving_statistics_from_before_the_bad_step",),
    ),
    Mutation(
        "guard: the time saved has the wrong sign",
        "_diagnosis/trace.py",
        "max(trace.epochs - trace.epoch - 1, 0)",
        "max(trace.epoch + 1 - trace.epochs, 0)",
        ("tests/diagnosis/test_trace.py",),
    ),
    Mutation(
        "guard: the epoch that was cut short counts as time saved",
        "_diagnosis/trace.py",
        "max(trace.epochs - trace.epoch - 1, 0)",
        "max(trace.epochs - trace.epoch, 0)",
        ("tests/diagnosis/test_trace.py",),
    ),
    Mutation(
        "Optuna: a retried trial takes over the record of the one that it repeats",
        "optuna/_records.py",
        'return record.number not in attrs["retry_history"]',
        "return True",
        (
            "tests/optuna/test_robust.py::test_a_retry_that_was_copied_is_told_from_the_trial_that_it_repeats",
        ),
    ),
    Mutation(
        "Optuna: a killed worker's trial runs for ever",
        "optuna/_records.py",
        'return record.having(_crashed(again), status="failed") if gone else record',
        "return record",
        ("tests/optuna/test_robust.py::test_a_dead_workers_trial_has_crashed",),
    ),
    Mutation(
        "trial: the least of its failures is told",
        "_trial_run.py",
        "_gravity(found) > _gravity(self.found)",
        "_gravity(found) < _gravity(self.found)",
        ("tests/test_trial_run.py",),
    ),
    Mutation(
        "Keras Tuner: records are handed out again by a later search",
        "_keras_tuner/oracle.py",
        "        except FileExistsError:\n            return False",
        "        except FileExistsError:\n            return True",
        ("tests/test_record_callbacks.py::test_tuner_each_trial_once_also_across_a_resume",),
    ),
]


def main() -> int:
    """Run the mutations and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="mutations whose name has this in it")
    options = parser.parse_args()
    chosen = [mutation for mutation in MUTATIONS if options.only in mutation.name]
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, root / part, ignore=IGNORED)
            else:
                shutil.copy(source, root / part)
        tests = sorted({test for mutation in chosen for test in mutation.tests})
        failed = run(root, tests)
        if failed:
            print("without any break:", failed)
            return 1
        missed = [mutation.name for mutation in chosen if not is_caught(root, mutation)]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} breaks were noticed")
    return 1 if missed else 0


def is_caught(root: Path, mutation: Mutation) -> bool:
    """Whether a test fails in a copy with the break; the copy is whole again afterwards."""
    began = time.perf_counter()
    whole = mutation.apply(root)
    try:
        failed = run(root, mutation.tests)
    finally:
        (root / "robusttune" / mutation.file).write_text(whole, encoding="utf-8")
    seconds = time.perf_counter() - began
    print(f"{mutation.name}: {failed or 'NOT NOTICED'} ({seconds:.0f} s)", flush=True)
    return bool(failed)


def run(root: Path, tests: Sequence[str]) -> str:
    """Run tests in the copy; return the first that fails, and nothing if all pass.

    Raises:
        RuntimeError: There was nothing to run.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [*command, *tests],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode == 0:
        return ""
    failed = [line for line in result.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if result.returncode != 1 or not failed:
        raise RuntimeError(f"pytest could not run {tests}:\n{result.stdout}\n{result.stderr}")
    return failed[0].removeprefix("FAILED ").split(" - ")[0]


if __name__ == "__main__":
    sys.exit(main())
