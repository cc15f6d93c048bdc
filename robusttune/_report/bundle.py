"""A bundle for a bug report: records, versions and policy, without what is private."""

from __future__ import annotations

import io
import json
import platform
import zipfile
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from robusttune._privacy import outline
from robusttune._records import plain
from robusttune._version import __version__

if TYPE_CHECKING:
    from robusttune._report.contents import Contents

_PACKAGES = (
    "keras",
    "keras-tuner",
    "optuna",
    "tensorflow",
    "jax",
    "torch",
    "numpy",
    "pandas",
    "scikit-learn",
)
# Fields of a policy that name things of the user's.
_NAMES = frozenset({"keep", "prior_searches"})
# As in zip files of no date: the same search gives the same file.
_NO_DATE = (1980, 1, 1, 0, 0, 0)


def contents_of(report: Contents) -> dict[str, str]:
    """Return the files of a bundle, each as JSON, by name.

    Args:
        report: The report. Its names, values, texts and paths are left out.
    """
    kinds = {
        f"hyperparameter {place}": {"kind": axis.kind, "log": axis.log}
        for place, axis in enumerate(report.axes.values())
    }
    search = {
        "host": report.host,
        "trials": len(report.records),
        "problems": len(report.problems),
        "adjustments": len(report.adjustments),
        "regions": [
            {"trials": region.trials, "failures": region.failures, "p_value": region.p_value}
            for region in report.find_regions()
        ],
        "space": kinds,
    }
    bodies = {
        "records.json": [outline(record) for record in report.records],
        "search.json": search,
        "policy.json": _policy(report.search.policy),
        "versions.json": _versions(),
    }
    return {name: json.dumps(plain(body), indent=1) for name, body in bodies.items()}


def listed(files: Mapping[str, str]) -> str:
    """Return what is in a bundle, one line a file."""
    told = {
        "records.json": "of each trial: status, symptom, cause, confidence, epoch, step, seconds;"
        " which evidence there is",
        "search.json": "host, number of trials, kinds of hyperparameters, counts of the regions",
        "policy.json": "the numbers and switches of the policy",
        "versions.json": "versions of Python, the system and the packages",
    }
    lines = [f"  {name} ({len(body):,} bytes): {told[name]}" for name, body in files.items()]
    left = "  Not in it: data, values, names, errors, advice, paths, names of machines."
    return "\n".join([*lines, left])


def zipped(files: Mapping[str, str]) -> bytes:
    """Return files as a zip file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(zipfile.ZipInfo(name, _NO_DATE), body, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _policy(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers and switches of a policy; of a list how long it is."""
    simple = (bool, int, float, type(None))
    words = {"auto", "tune", "fix", "warn", "off", "trial_end", "search_end"}
    kept: dict[str, Any] = {}
    for name, value in policy.items():
        if name in _NAMES or isinstance(value, (list, tuple)):
            kept[name] = f"{len(value)} names" if isinstance(value, (list, tuple)) else "a name"
        elif isinstance(value, simple) or value in words:
            kept[name] = value
    return kept


def _versions() -> dict[str, Any]:
    found = {"robusttune": __version__, "python": platform.python_version()}
    found |= {"system": platform.system(), "machine": platform.machine()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
