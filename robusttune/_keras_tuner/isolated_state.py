"""Isolated state: builds that leave no trace in the search that follows."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator

from robusttune._compat.keras import global_state_apart
from robusttune._random_states import untouched_randomness


@contextlib.contextmanager
def isolated_state() -> Iterator[None]:
    """Run a block without a trace in the random states or in Keras's global state.

    That holds also where the block sets seeds or clears the session. What it prints and warns is
    dropped.
    """
    with (
        untouched_randomness(),
        global_state_apart(),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
