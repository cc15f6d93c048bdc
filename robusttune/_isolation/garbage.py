"""Garbage collection between trials, without the objects that existed before the search."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def collecting_only_what_is_new() -> Iterator[None]:
    """Let the collections inside the block look only at what was made since it began.

    Keras Tuner collects twice before every trial, and each time Python walks through all of
    TensorFlow's own objects: 0.2 s that free nothing. What was there before and is dropped inside
    the block is freed at its end, if it takes a collection to free it. Where the user has frozen
    objects already, everything stays as the user has it.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
