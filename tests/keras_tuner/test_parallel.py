"""Policy(n_jobs=...): several trials at once in child processes of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

import robusttune
from robusttune import Policy
from robusttune.errors import HopelessSearchError, StoreError
from tests import ROOT
from tests.keras_tuner import cheap_search
from tests.zoo import linear

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(os.name != "posix", reason="tested on POSIX"),
    pytest.mark.filterwarnings("ignore::robusttune.SearchSpaceWarning"),
]


def cheap(name: str, directory: Path, n_jobs: Any, run: Any = None, **more: Any) -> Any:
    """Return a robust tuner whose trials cost nothing.

    Args:
        name: Keras Tuner's name of it.
        directory: Where its project is.
        n_jobs: Policy.n_jobs.
        run: Called with the trial in the process that runs it.
        **more: Further arguments of the tuner.
    """
    base: Any = getattr(keras_tuner, name)

    class Cheap(base):  # type: ignore[misc]
        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            if run is not None:
                run(trial)
            return {"score": cheap_search.score(trial.hyperparameters.values)}

    policy = more.pop("policy", Policy(n_jobs=n_jobs))
    options = {**cheap_search.OPTIONS[name], "seed": 1, **more}
    build = cheap_search.build_grid if name == "GridSearch" else cheap_search.build
    return robusttune.robust(Cheap)(
        build,
        objective=keras_tuner.Objective("score", "min"),
        policy=policy,
        directory=str(directory),
        project_name="project",
        **options,
    )


def proposals(tuner: Any) -> list[Any]:
    """Values, status and score of each trial, by its id."""
    trials = sorted(tuner.oracle.trials.items())
    return [(id_, t.hyperparameters.values, t.status, t.score) for id_, t in trials]


@pytest.mark.parametrize("name", ["RandomSearch", "GridSearch"])
def test_proposals_do_not_depend_on_how_many_run(name: str, tmp_path: Path) -> None:
    """The same as one after the other in the search's own process, for 1 and for 3 at once."""
    found = []
    for n_jobs in (None, 1, 3):
        tuner = cheap_search.search(cheap(name, tmp_path / str(n_jobs), n_jobs))
        found.append(proposals(tuner))
        assert not tuner.oracle.ongoing_trials
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == cheap_search.EXPECTED[name]


@pytest.mark.parametrize("name", ["Hyperband", "BayesianOptimization"])
def test_a_search_that_looks_at_results_ends_as_it_must(name: str, tmp_path: Path) -> None:
    """Hyperband waits for a round's trials, and the Gaussian process imagines those that run."""
    tuner = cheap_search.search(cheap(name, tmp_path, 3))
    assert len(tuner.oracle.trials) == cheap_search.EXPECTED[name]
    assert {t.status for t in tuner.oracle.trials.values()} == {"COMPLETED"}
    for trial in tuner.oracle.trials.values():
        past = trial.hyperparameters.values.get("tuner/trial_id")
        assert past is None or tuner.oracle.trials[past].status == "COMPLETED"


def test_a_grid_gives_out_cells_without_waiting(tmp_path: Path) -> None:
    """Three trials run at one time, which Keras Tuner's own grid never lets happen."""
    together = tmp_path / "together"
    together.mkdir()

    def meet(trial: Any) -> None:
        """Wait until three have come."""
        (together / trial.trial_id).touch()
        deadline = time.monotonic() + 100
        while len(list(together.iterdir())) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(list(together.iterdir())) >= 3

    tuner = cheap_search.search(cheap("GridSearch", tmp_path / "p", 3, meet))
    assert {t.status for t in tuner.oracle.trials.values()} == {"COMPLETED"}
    assert len(tuner.oracle.trials) == 12


def test_a_trial_that_takes_its_process_down_is_one_failed_trial(tmp_path: Path) -> None:
    """Its neighbours go on, and so does the search."""

    def strike(trial: Any) -> None:
        if trial.trial_id == "1":
            os._exit(7)
        if trial.trial_id == "4":
            os.kill(os.getpid(), signal.SIGKILL)

    tuner = cheap_search.search(cheap("RandomSearch", tmp_path, 2, strike))
    trials = tuner.report().trials.set_index("trial_id")
    assert dict(trials.cause.dropna()) == {"1": "crashed", "4": "crashed"}
    assert (trials.status == "completed").sum() == 6
    assert "exit code 7" in trials.error["1"]


def test_scores_agree_to_rounding_however_many_run(
    tmp_path: Path, regression: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real training, with dropout: each trial has a seed of its own, from the oracle's."""
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.setenv(name, "1")

    def build(hp: Any) -> keras.Model:
        rate = hp.Float("rate", 1e-3, 1e-2)
        model = keras.Sequential([keras.Input((10,)), keras.layers.Dropout(0.3)])
        model.add(keras.layers.Dense(1))
        model.compile(keras.optimizers.Adam(rate), "mse")
        return model

    scores = []
    for n_jobs in (1, 2):
        tuner = robusttune.RandomSearch(
            build,
            "val_loss",
            max_trials=4,
            seed=3,
            executions_per_trial=2,
            policy=Policy(n_jobs=n_jobs),
            directory=str(tmp_path / str(n_jobs)),
        )
        tuner.search(*regression, validation_split=0.2, epochs=2, verbose=0)
        assert (
            len(tuner.report().trials.evidence.map(json.loads).map(lambda e: e["execution_scores"]))
            == 4
        )
        scores.append([t.score for _, t in sorted(tuner.oracle.trials.items())])
        assert len(tuner.get_best_models()) == 1
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5)
    assert len(set(scores[0])) == 4


def test_hyperband_goes_on_from_weights_that_another_child_saved(
    tmp_path: Path, regression: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a project folder that is named relative to the program's own."""
    monkeypatch.chdir(tmp_path)

    def build(hp: Any) -> keras.Model:
        return linear(hp.Float("rate", 1e-3, 1e-2), optimizer="Adam")

    policy = Policy(n_jobs=2)
    options: dict[str, Any] = {"max_epochs": 4, "factor": 2, "seed": 1, "policy": policy}
    tuner = robusttune.Hyperband(build, "loss", directory="searches", **options)
    tuner.search(*regression, verbose=0)
    trials = tuner.oracle.trials.values()
    assert {trial.status for trial in trials} == {"COMPLETED"}
    longer = [t for t in trials if "tuner/trial_id" in t.hyperparameters.values]
    assert longer
    for trial in longer:
        past = tuner.oracle.trials[trial.hyperparameters.values["tuner/trial_id"]]
        assert trial.score < past.score  # it went on from there


class Hooked(keras_tuner.RandomSearch):
    """Notes where its hooks are called."""

    def on_trial_begin(self, trial: Any) -> None:
        super().on_trial_begin(trial)
        self.seen = [*getattr(self, "seen", []), ("begin", trial.trial_id, threading.get_ident())]

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        self.seen.append(("end", trial.trial_id, threading.get_ident()))

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
        print("working")
        return float(trial.hyperparameters.Float("x", 0, 1))


def test_hooks_and_record_callbacks_run_in_the_thread_that_searches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the tuner itself, so that what they keep is there afterwards; a line a trial is shown."""
    handed_out = []
    tuner = robusttune.robust(Hooked)(
        lambda hp: hp.Float("x", 0, 1),
        max_trials=5,
        directory=str(tmp_path),
        policy=Policy(n_jobs=2),
        record_callbacks=[
            lambda trial, record: handed_out.append((trial.trial_id, threading.get_ident()))
        ],
    )
    capsys.readouterr()
    tuner.search()
    assert sorted(id_ for what, id_, _ in tuner.seen if what == "begin") == list("01234")
    assert [id_ for what, id_, _ in tuner.seen if what == "end"] == [id_ for id_, _ in handed_out]
    threads = {thread for _, _, thread in tuner.seen} | {thread for _, thread in handed_out}
    assert threads == {threading.get_ident()}
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line for line in lines if "working" in line) == [
        f"trial {n}: working" for n in range(5)
    ]
    shown = [line for line in lines if line.startswith("Trial ")]
    assert len(shown) == 5
    assert all("default_objective: 0." in line and "running)" in line for line in shown)
    assert len(lines) == 10


def test_each_child_has_a_limit_of_memory(tmp_path: Path) -> None:
    """The one that takes too much is ended, and no other."""

    def greedy(trial: Any) -> None:
        if trial.trial_id == "0":
            taken = np.ones(2_500_000_000, np.uint8)
            time.sleep(600)
            assert taken.all()

    policy = Policy(n_jobs=2, memory_limit=2_000_000_000)
    tuner = cheap("RandomSearch", tmp_path, 2, greedy, policy=policy, max_trials=4)
    trials = cheap_search.search(tuner).report().trials
    assert list(trials.cause.dropna()) == ["out_of_memory"]
    assert (trials.status == "completed").sum() == 3


def test_each_child_has_a_gpu_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By CUDA_VISIBLE_DEVICES; how many there are is asked of the backend, which has none here."""
    from robusttune._isolation import places

    monkeypatch.setattr(places, "visible_gpus", lambda: ["GPU-a", "GPU-b"])
    met = tmp_path / "met"
    met.mkdir()

    def note(trial: Any) -> None:
        """Note the GPU; the first two trials run at one time."""
        (met / f"{trial.trial_id}-{os.environ['CUDA_VISIBLE_DEVICES']}").touch()
        while len(list(met.iterdir())) < 2:
            time.sleep(0.01)

    cheap_search.search(cheap("RandomSearch", tmp_path / "p", "auto", note))
    assert {path.name[2:] for path in met.iterdir()} == {"GPU-a", "GPU-b"}
    tuner = cheap("RandomSearch", tmp_path / "q", 3)
    with pytest.raises(ValueError, match="n_jobs must be at most the number of GPUs, which is 2"):
        cheap_search.search(tuner)


def waits(folder: Path) -> Any:
    """Return what makes a trial wait for a file, once it has noted that it runs.

    The first one waits for the second to run, the others for "go".
    """

    def wait(trial: Any) -> None:
        (folder / f"runs-{trial.trial_id}").touch()
        awaited = folder / ("runs-1" if trial.trial_id == "0" else "go")
        while not awaited.exists():
            time.sleep(0.01)

    return wait


@pytest.mark.parametrize(
    ("error", "same"), [(KeyboardInterrupt, True), (KeyboardInterrupt, False), (StoreError, False)]
)
def test_what_ends_the_search_ends_every_trial_and_blames_none(
    error: Any, same: bool, tmp_path: Path
) -> None:
    """Ctrl-C and a full disk: the trials that run are run again, and have not crashed.

    By the same tuner, which has no new trial left, or by that of the program's next run.
    """
    trials = 2 if same else 4
    base: Any = keras_tuner.RandomSearch
    waiting = waits(tmp_path)

    class Ends(base):  # type: ignore[misc]
        raising = True

        def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
            waiting(trial)
            return {"score": cheap_search.score(trial.hyperparameters.values)}

        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            if self.raising:
                raise error

    def opened() -> Any:
        return robusttune.robust(Ends)(
            cheap_search.build,
            keras_tuner.Objective("score", "min"),
            max_trials=trials,
            seed=1,
            directory=str(tmp_path),
            policy=Policy(n_jobs=2, interruptions=1),
        )

    tuner = opened()
    with pytest.raises(error):
        tuner.search(verbose=0)
    (tmp_path / "go").touch()
    tuner = tuner if same else opened()
    tuner.raising = False
    tuner.search(verbose=0)
    assert list(tuner.report().trials.status) == ["completed"] * trials
    assert sorted(tuner.oracle.end_order) == list("0123")[:trials]


def test_a_hopeless_search_ends_at_once(tmp_path: Path) -> None:
    """With the error that one trial at a time gives."""

    def fail(trial: Any) -> None:
        raise TypeError("no such thing")

    policy = Policy(n_jobs=2, hopeless_after=2)
    tuner = cheap("RandomSearch", tmp_path, 2, fail, policy=policy, max_trials=50)
    with pytest.raises(HopelessSearchError, match="no such thing"):
        cheap_search.search(tuner)
    assert 4 <= len(tuner.oracle.trials) < 10


def test_a_trial_is_tried_again_with_another_seed(tmp_path: Path) -> None:
    """As often as Keras Tuner's max_retries_per_trial says."""

    def fail_once(trial: Any) -> None:
        seen = tmp_path / f"seen-{trial.trial_id}-{np.random.randint(2**31)}"
        seen.touch()
        if len(list(tmp_path.glob(f"seen-{trial.trial_id}-*"))) < 2:
            raise ValueError("not at first")

    tuner = cheap("RandomSearch", tmp_path, 2, fail_once, max_retries_per_trial=2, max_trials=3)
    assert list(cheap_search.search(tuner).report().trials.status) == ["completed"] * 3
    assert len(list(tmp_path.glob("seen-*"))) == 6


_KILLED = """
import sys
from pathlib import Path
from tests.keras_tuner import cheap_search, test_parallel
folder = Path(sys.argv[1])
cheap_search.search(test_parallel.cheap("RandomSearch", folder, 2, test_parallel.waits(folder)))
"""


def test_a_killed_search_runs_what_ran_again_and_nothing_twice(tmp_path: Path) -> None:
    """Kill -9 of the search's process with two trials running, and no child outlives it."""
    parent = subprocess.Popen([sys.executable, "-c", _KILLED, tmp_path], cwd=ROOT)
    while not ((tmp_path / "runs-1").exists() and (tmp_path / "runs-2").exists()):
        assert parent.poll() is None
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    (tmp_path / "go").touch()
    ran = []
    tuner = cheap("RandomSearch", tmp_path, 2)
    tuner.oracle.record_callbacks = [lambda trial, record: ran.append(trial.trial_id)]
    assert tuner.oracle.end_order == ["0"]
    cheap_search.search(tuner)
    assert sorted(tuner.oracle.end_order) == [str(n) for n in range(8)]
    assert list(tuner.report().trials.status) == ["completed"] * 8
    assert sorted(ran) == [str(n) for n in range(8)]  # "0" ended in no session that had callbacks


def test_sklearn_models_are_trained_side_by_side(tmp_path: Path) -> None:
    """SklearnTuner's trials, whose models are loaded afterwards."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 3)), rng.normal(size=60)
    oracle = keras_tuner.oracles.RandomSearchOracle(
        keras_tuner.Objective("score", "max"), max_trials=4, seed=1
    )
    tuner = robusttune.SklearnTuner(
        oracle, build_ridge, directory=str(tmp_path), policy=Policy(n_jobs=2)
    )
    tuner.search(x, y)
    assert list(tuner.report().trials.status) == ["completed"] * 4
    assert len(tuner.get_best_models(2)) == 2


def build_ridge(hp: Any) -> Any:
    """One hyperparameter."""
    from sklearn.linear_model import Ridge

    return Ridge(hp.Float("alpha", 0.1, 10.0))
