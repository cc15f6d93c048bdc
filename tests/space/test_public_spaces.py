"""Spaces that people published: sound ones stay as they are, and what is changed is known."""

from __future__ import annotations

import pytest

from benchmarks.public_spaces import SPACES
from benchmarks.sanitize import sanitized


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.source.replace("/", " "))
def test_public_space(space):
    """A published space is changed exactly as the table says, which is mostly not at all."""
    assert sanitized(space) == dict(space.changes)


def test_the_table_is_large_enough_to_mean_something():
    """Most published spaces are sound; these are what must never be touched."""
    assert len(SPACES) >= 60
    assert sum(not space.changes for space in SPACES) >= 30
    assert len({space.source for space in SPACES}) == len(SPACES)


@pytest.mark.parametrize("name", ["HyperResNet", "HyperXception"])
def test_keras_tuners_own_applications_are_left_alone(name):
    """The hypermodels that Keras Tuner ships come out untouched."""
    import keras_tuner
    from keras_tuner import applications

    from robusttune import Policy
    from robusttune._keras_tuner.space.sanitizer import SpaceSanitizer

    hypermodel = getattr(applications, name)(input_shape=(32, 32, 3), classes=2)
    hps = keras_tuner.HyperParameters()
    hypermodel.build(hps)
    before = hps.get_config()
    assert SpaceSanitizer(hypermodel.build, Policy()).sanitize(hps) == []
    assert hps.get_config() == before
