"""optuna-dashboard: notes and the graph of the regions."""

from __future__ import annotations

import json

import numpy as np
import optuna
import pytest

from robusttune.optuna import publish_to_dashboard, robust

dashboard = pytest.importorskip("optuna_dashboard")


@pytest.fixture(autouse=True)
def _quiet():
    """Keep Optuna from logging every trial."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


@pytest.fixture
def storage(tmp_path):
    """A database, whose attributes are short."""
    return f"sqlite:///{tmp_path}/study.db"


def objective(trial):
    """Fail above a rate of 0.01."""
    rate = trial.suggest_float("rate", 1e-5, 1.0, log=True)
    trial.suggest_float("x", 0, 1)
    if rate > 0.01:
        raise MemoryError("Unable to allocate <b>8 GiB</b> `here`")
    return rate


def test_a_failing_trial_has_a_note(storage):
    """Cause and advice; text from an exception is shown as it is."""
    study = optuna.create_study(storage=storage)
    study.enqueue_trial({"rate": 0.9, "x": 0.5})
    trial = study.ask()
    robust(objective)(trial)
    note = dashboard.get_note(trial)
    assert note.startswith("### robusttune: out_of_memory")
    assert "<b>" not in note
    assert r"\`here\`" in note


def test_notes_of_others_are_left_alone(storage):
    """What a user wrote on a trial or a study stays."""
    study = optuna.create_study(storage=storage)
    study.enqueue_trial({"rate": 0.9, "x": 0.5})
    trial = study.ask()
    dashboard.save_note(trial, "mine")
    dashboard.save_note(study, "mine too")
    robust(objective)(trial)
    assert publish_to_dashboard(study)
    assert dashboard.get_note(trial) == "mine"
    assert dashboard.get_note(study) == "mine too"


def test_the_study_has_a_note_and_a_graph(storage):
    """What fails, where, and a picture of it; a second call replaces both."""
    study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(robust(objective), n_trials=60)
    for _ in range(2):
        assert publish_to_dashboard(study)
    failed = np.sum([trial.state is optuna.trial.TrialState.FAIL for trial in study.trials])
    note = dashboard.get_note(study)
    assert note.startswith(f"### robusttune: {failed} of 60 trials")
    assert r"**out_of_memory**" in note
    assert "failed where rate" in note
    pytest.importorskip("plotly")
    attrs = study._storage.get_study_system_attrs(study._study_id)
    parts = {key: value for key, value in attrs.items() if "plot_data" in key}
    order = sorted(parts, key=lambda key: int(key.rpartition(":")[2]))
    figure = json.loads("".join(parts[key] for key in order))
    assert [len(trace["x"]) for trace in figure["data"]] == [60 - failed, failed]
    assert figure["layout"]["xaxis"]["type"] == "log"
    assert len(figure["layout"]["shapes"]) == 1


def test_a_study_of_one_parameter_has_a_note_without_a_graph():
    """There is no plane to draw."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(robust(lambda t: 1.0 / (t.suggest_int("n", 0, 9) > 3)), n_trials=40)
    assert publish_to_dashboard(study)
    assert "trials failed where n" in dashboard.get_note(study)


def test_a_healthy_study_has_a_note_without_a_graph():
    """Nothing failed, and the note says so."""
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert publish_to_dashboard(study)
    assert dashboard.get_note(study) == "### robusttune: 0 of 3 trials failed or were unstable"
