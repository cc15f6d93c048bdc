"""What of a record may be sent to others."""

from __future__ import annotations

import json
import platform
from typing import Any

import numpy as np
import pytest

from robusttune import FailureCause, TrialRecord, diagnose
from robusttune._privacy import EVIDENCE, LEFT_OUT, shareable

SECRET = "swordfish"


def record(**fields: Any) -> TrialRecord:
    """A failed trial."""
    body: dict[str, Any] = {"status": "failed", "unstable": True, "cause": "code_error", **fields}
    return TrialRecord(trial_id="7", **body)


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (f"ValueError: could not convert {SECRET}", "ValueError"),
        (
            f"tensorflow.errors.InvalidArgumentError: {SECRET}",
            "tensorflow.errors.InvalidArgumentError",
        ),
        (f"MyException: /home/{SECRET}/data.csv", "MyException"),
        ("KeyboardInterrupt", "KeyboardInterrupt"),
        (f"{SECRET}: no such customer", None),
        (f"{SECRET}Error of /home", None),
        ("The trial's process: it was killed by SIGKILL.", None),
        (None, None),
    ],
)
def test_of_an_exception_its_class_is_kept(error: str | None, kept: str | None) -> None:
    """What it says may hold anything, also where no class stands before it."""
    assert shareable(record(error=error)).error == kept


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (0.01, 0.01),
        (3, 3),
        (True, True),
        (None, None),
        ("relu", "relu"),
        ("adam_w", "adam_w"),
        ("he-normal", "he-normal"),
        (f"/home/{SECRET}", LEFT_OUT),
        (f"{SECRET}.csv", LEFT_OUT),
        (f"C:\\{SECRET}", LEFT_OUT),
        (f"node.{SECRET}.org", LEFT_OUT),
        ("10.0.0.7", LEFT_OUT),
        ("a text of words", LEFT_OUT),
        ("", LEFT_OUT),
        (("relu", f"x/{SECRET}"), ["relu", LEFT_OUT]),
        ({"a": "elu", f"/{SECRET}": 1}, {"a": "elu", LEFT_OUT: 1}),
    ],
)
def test_of_hyperparameters_numbers_and_words_are_kept(value: Any, kept: Any) -> None:
    """A path, an address or a sentence may be anything."""
    assert shareable(record(params={"p": value})).params == {"p": kept}


def test_a_hyperparameter_that_names_the_machine_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is one word too."""
    from robusttune import _privacy as privacy

    monkeypatch.setattr(platform, "node", lambda: "Render-17.example.org")
    privacy._names_of_this_machine.cache_clear()
    try:
        assert shareable(record(params={"p": "gpu-render-17"})).params == {"p": LEFT_OUT}
    finally:
        privacy._names_of_this_machine.cache_clear()


def test_verdict_and_numbers_stay() -> None:
    """A record without secrets loses nothing but what its advice says of the data."""
    full = record(
        symptom="diverged",
        cause="divergent_learning_rate",
        confidence=0.9,
        epoch=1,
        step=7,
        seconds=2.5,
        fix_verified=True,
        advice="Learning rate 10 diverges; the inputs have a root mean square of 12345.",
        evidence={
            "losses": [1.0, "inf"],
            "fix": {"change": "learning rate / 100", "learning_rate": 0.1},
            "host": SECRET,
            "pid": 7,
            "input_scale": 12345.0,
            "why_not": {"first": f"ValueError: {SECRET}"},
        },
        params={"rate": 10.0},
    )
    shared = shareable(full)
    advice = FailureCause.DIVERGENT_LEARNING_RATE.advice
    assert shared.advice == f"{advice} The same trial learns with: learning rate / 100."
    assert set(shared.evidence) == {"losses", "fix"}
    assert shared.replace(advice=full.advice, evidence=full.evidence) == full
    assert shareable(shared) == shared


def test_a_healthy_record_has_no_advice() -> None:
    """There is nothing to do."""
    healthy = TrialRecord(trial_id="1", status="completed", value=0.5, params={"n": 1})
    assert shareable(healthy) == healthy


@pytest.mark.parametrize("scale", [1.0, 12345.0])
def test_a_real_diagnosis_says_nothing_of_the_data(scale: float) -> None:
    """Of unscaled data and of a rate that is too high: neither scale, column nor shape is told."""
    import keras

    rng = np.random.default_rng(0)
    x = (rng.normal(size=(256, 11)) * scale).astype("float32")
    model = keras.Sequential([keras.Input((11,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.5 if scale > 1 else 500.0), "mse")
    full = diagnose(model, x, x[:, :1] / scale)
    shared = shareable(full)
    assert full.cause is not None
    assert set(shared.evidence) < set(full.evidence)
    assert set(shared.evidence) <= EVIDENCE
    assert {"losses", "optimizer"} & set(full.evidence)
    assert "batch_shapes" in full.evidence
    text = json.dumps(json.loads(shared.to_json()))
    assert "12345" not in text
    assert "1.23e+04" not in text
    assert "batch_shapes" not in text
