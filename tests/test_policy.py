"""Policy: bad values get one clear error that names argument, rule and value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robusttune import Policy


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clip", 0.0),
        ("clip", -1),
        ("clip", float("inf")),
        ("clip", float("nan")),
        ("clip", "norm"),
        ("clip", True),
        ("check_every", 0),
        ("check_every", 1.5),
        ("check_every", True),
        ("history", 7),
        ("divergence_factor", 1.0),
        ("divergence_patience", 0),
        ("diagnosis_seconds", 0),
        ("diagnosis", "never"),
        ("diagnosis", None),
        ("diagnosis", True),
        ("hopeless_after", 1),
        ("sanitize", "yes"),
        ("keep", "lr"),
        ("keep", {1}),
        ("keep", 5),
        ("keep", b"lr"),
        ("sanitize", []),
        ("sanitize", None),
        ("clip", [1.0]),
        ("divergence_factor", "10"),
        ("divergence_factor", float("nan")),
        ("hopeless_after", "five"),
        ("trial_seconds", 0),
        ("trial_seconds", "1h"),
        ("isolate", 1),
        ("memory_limit", 0),
        ("memory_limit", 1_000_000_000),  # without isolate
        ("worker_silence", 0.5),
        ("worker_silence", None),
        ("interruptions", 0),
        ("interruptions", 1.5),
        ("probe", 1),
        ("probe_seconds", -1),
        ("avoid_unstable", "no"),
        ("free_share", 1.5),
    ],
)
def test_policy_rejects(name: str, value: Any) -> None:
    """The message names the argument and the value."""
    with pytest.raises(ValueError, match=rf"{name} must be .*, got "):
        Policy(**{name: value})


def test_policy_unknown_field() -> None:
    """A misspelt field is an error."""
    with pytest.raises(TypeError, match="clip_norm"):
        Policy(clip_norm=1.0)  # type: ignore[call-arg]


@pytest.mark.parametrize("clip", ["auto", "tune", 0.5, 1, None])
def test_policy_clip(clip: Any) -> None:
    """What clip may be."""
    assert Policy(clip=clip).clip == clip


def test_policy_takes_numpy_numbers() -> None:
    """Numbers that come out of an array are numbers."""
    policy = Policy(clip=np.float32(0.5), history=np.int64(16))  # type: ignore[arg-type]
    assert (policy.clip, policy.history) == (0.5, 16)


def test_policy_is_frozen_and_hashable() -> None:
    """A policy can be shared and compared."""
    assert Policy(clip=1.0) == Policy(clip=1.0)
    assert hash(Policy(keep={"lr"})) == hash(Policy(keep=frozenset({"lr"})))  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        Policy().clip = None  # type: ignore[misc]
