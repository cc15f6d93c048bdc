"""Keras Tuner's hyperparameters in neutral terms, from JSON and from objects."""

from __future__ import annotations

import subprocess
import sys

import keras_tuner
import pytest

from robusttune._keras_tuner.parameters import (
    parameters_of,
    stored_parameter,
    stored_parameters,
    without_bookkeeping,
)
from robusttune._space import Choice, Float, Int, ParentCondition


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (
            {
                "class_name": "Float",
                "config": {"name": "p", "min_value": 0.1, "max_value": 1.0, "sampling": "log"},
            },
            Float("p", 0.1, 1.0, log=True),
        ),
        (
            {
                "class_name": "Float",
                "config": {
                    "name": "p",
                    "min_value": 0.1,
                    "max_value": 1.0,
                    "sampling": "reverse_log",
                },
            },
            Float("p", 0.1, 1.0, log=True, reverse=True),
        ),
        (
            {
                "class_name": "Int",
                "config": {
                    "name": "p",
                    "min_value": 8,
                    "max_value": 64,
                    "step": 8,
                    "default": 16,
                    "sampling": None,
                },
            },
            Int("p", 8, 64, step=8, default=16),
        ),
        ({"class_name": "Boolean", "config": {"name": "p"}}, Choice("p", (False, True))),
        (
            {"class_name": "Choice", "config": {"name": "p", "values": ["a", "b"]}},
            Choice("p", ("a", "b")),
        ),
        ({"class_name": "Fixed", "config": {"name": "p", "value": 3}}, Choice("p", (3,))),
        ({"class_name": "Choice", "config": {"name": "p", "values": []}}, None),
        ({"class_name": "Float", "config": {"name": "p", "min_value": "0", "max_value": 1}}, None),
        ({"class_name": "Float", "config": {"name": 3}}, None),
        ({"class_name": ["Float"], "config": {"name": "p"}}, None),
        ({"class_name": "Text", "config": {"name": "p"}}, None),
        ({"class_name": "Float"}, None),
        ("Float", None),
    ],
)
def test_entries_of_a_stored_space_are_read(item, expected):
    """Each kind of entry is understood, and a broken one ignored."""
    assert stored_parameter(item) == expected


def _space():
    hps = keras_tuner.HyperParameters()
    hps.Float("rate", 1e-5, 1.0, sampling="log", default=1e-3)
    hps.Int("units", 8, 64, step=8)
    hps.Boolean("norm", default=True)
    hps.Fixed("batch_size", 32)
    hps.Fixed("tuner/epochs", 3)
    hps.Choice("optimizer", ["sgd", "adam"], default="adam")
    with hps.conditional_scope("optimizer", ["sgd"]):
        hps.Float("momentum", 0.0, 0.9)
    with hps.conditional_scope("optimizer", ["adam"]):
        hps.Float("momentum", 0.0, 0.99)
    return hps


def test_objects_and_their_json_are_read_alike():
    """The space of a tuner and the one that it stored are the same, by the first declarations."""
    hps = _space()
    expected = {
        "rate": Float("rate", 1e-5, 1.0, log=True, default=1e-3),
        "units": Int("units", 8, 64, step=8),
        "norm": Choice("norm", (False, True), default=True),
        "batch_size": Choice("batch_size", (32,)),
        "optimizer": Choice("optimizer", ("sgd", "adam"), default="adam"),
        "momentum": Float(
            "momentum", 0.0, 0.9, conditions=(ParentCondition("optimizer", ("sgd",)),)
        ),
    }
    assert parameters_of(hps.space) == expected
    assert stored_parameters(hps.get_config()["space"]) == expected


def test_bookkeeping_is_no_hyperparameter():
    """What Hyperband keeps among the values is left out, and nothing else is."""
    values = {"rate": 0.1, "tuner/epochs": 3, "tuner_rate": 1, "robusttune/clip_norm": 1.0}
    assert without_bookkeeping(values) == {
        "rate": 0.1,
        "tuner_rate": 1,
        "robusttune/clip_norm": 1.0,
    }


@pytest.mark.parametrize(
    "module",
    [
        "robusttune._keras_tuner.parameters",
        "robusttune._keras_tuner.project.reader",
        "robusttune._keras_tuner.space.code",
    ],
)
def test_stored_searches_are_read_without_keras_tuner(module):
    """Neither the host's package nor its reader loads Keras Tuner or TensorFlow."""
    code = (
        f"import sys, {module};"
        "sys.exit(any(n in sys.modules for n in ('keras_tuner', 'keras', 'tensorflow', 'optuna')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
