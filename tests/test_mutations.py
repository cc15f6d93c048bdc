"""The mutations that tests are tried on still fit the code and the tests."""

from __future__ import annotations

import pytest

from tests import ROOT
from tests.mutations import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: str(mutation.name))
def test_a_mutation_changes_one_place(mutation: Mutation) -> None:
    """Its line is there once, and so are the files of its tests."""
    source = (ROOT / "robusttune" / mutation.file).read_text(encoding="utf-8")
    assert source.count(mutation.before) == 1
    assert all((ROOT / test.partition("::")[0]).exists() for test in mutation.tests)
