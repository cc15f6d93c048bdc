"""The messages that the documentation explains are those that the packages print."""

from __future__ import annotations

import importlib.util
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

import robusttune
from tests import ROOT

PAGE = ROOT / "docs" / "start" / "error-messages.md"
# What a heading of the page has of a message, and the module that prints it.
MESSAGES = [
    ("Invalid loss, terminating training", "keras.src.callbacks.terminate_on_nan"),
    ("`target` and `output` must have the same shape", "keras.src.backend.tensorflow.nn"),
    ("Computed output size would be", "keras.src.ops.operation_utils"),
    ("Received an invalid value for `units`, expected a positive", "keras.src.layers.core.dense"),
    ("Number of consecutive failures exceeded the limit", "keras_tuner.src.engine.oracle"),
    ("retries left.", "keras_tuner.src.engine.oracle"),
    ("Oversized model:", "keras_tuner.src.engine.tuner"),
    ("Expected the returned dictionary from", "keras_tuner.src.engine.tuner_utils"),
    ("Could not infer optimization direction", "keras_tuner.src.engine.objective"),
    ("Error reloading `Oracle` from existing project", "keras_tuner.src.engine.oracle"),
    ("failed with value", "optuna.study._optimize"),
    ("because of the following error:", "optuna.study._optimize"),
    ("No trials are completed yet.", "optuna.storages._base"),
]
# What the oldest supported version of a package does not say yet.
SINCE = {"Received an invalid value for `units`, expected a positive": "3.13"}


@pytest.mark.parametrize(("message", "module"), MESSAGES, ids=[row[0] for row in MESSAGES])
def test_message_is_the_package_s(message: str, module: str) -> None:
    """The page has it as a heading, so that it is found, and the package's source has it."""
    package, _, rest = module.partition(".")
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    source = Path(found.origin).parent.joinpath(*rest.split(".")).with_suffix(".py")
    if not source.exists():
        pytest.skip(f"{module} is elsewhere in this version of {package}")
    since = SINCE.get(message, "0")
    if Version(version(package)) < Version(since):
        pytest.skip(f"{package} says so since {since}")
    printed = re.sub(r'"\s*f?"', "", source.read_text(encoding="utf-8"))
    assert message in printed
    headings = re.findall(r"^### (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert any(message in heading for heading in headings)


def test_own_errors_are_explained() -> None:
    """What a search of ours raises or warns of."""
    text = PAGE.read_text(encoding="utf-8")
    for name in ("HopelessSearchError", "SearchSpaceWarning", "InstabilityWarning"):
        assert hasattr(robusttune, name)
        assert f"\n### {name}\n" in text
