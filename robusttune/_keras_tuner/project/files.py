"""A search's files: written whole, also where only TensorFlow knows the place; damaged ones."""

from __future__ import annotations

import errno
import os

from robusttune._files import replace_file, write_file
from robusttune.errors import StoreError


def is_remote(path: str) -> bool:
    """Whether only TensorFlow's file systems know the place (gs://...), and not the machine's."""
    return "://" in path


def write_atomically(path: str, text: str, *, durable: bool = True) -> None:
    """Write a text file of a search so that a reader sees the old file or the new one.

    Args:
        path: The file. Its folder exists.
        text: Written as UTF-8.
        durable: See robusttune._files.write_file.

    Raises:
        StoreError: The disk is full or the folder cannot be written to; the old file is as it was.
    """
    try:
        if is_remote(path):  # an object store shows an object when it is whole
            _write_remote(path, text)
        else:
            write_file(path, text.encode("utf-8"), durable=durable)
    except OSError as error:
        raise StoreError(
            error.errno,
            f"{error.strerror}. The search's state cannot be written, so the search stops."
            " All that was stored before is safe: free disk space or make the folder writable, and"
            " run the same program again to resume",
            path,
        ) from error


def _write_remote(path: str, text: str) -> None:
    import keras

    if keras.backend.backend() != "tensorflow":  # Keras Tuner makes a local folder of that name
        raise StoreError(
            errno.ENOTSUP,
            "This path needs TensorFlow's file systems, which Keras Tuner uses with"
            " KERAS_BACKEND=tensorflow only: pass a local folder as `directory`",
            path,
        )
    import tensorflow as tf

    with tf.io.gfile.GFile(path, "w") as remote:
        remote.write(text)


def set_aside(path: str) -> str:
    """Rename a damaged file to <path>.damaged (or .damaged-2, ...) and return the new path.

    Raises:
        StoreError: The folder cannot be written to.
    """
    number, aside = 1, f"{path}.damaged"
    while os.path.lexists(aside):
        number += 1
        aside = f"{path}.damaged-{number}"
    try:
        replace_file(path, aside)
    except OSError as error:
        raise StoreError(
            error.errno, f"{error.strerror}. A damaged file cannot be set aside", path
        ) from error
    return aside
