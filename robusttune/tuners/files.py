"""Files that a reader never sees half-written, and damaged ones out of the way."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time

from keras_tuner.src.backend import io as keras_tuner_io

from robusttune.errors import StoreError

_SUFFIX = ".robusttune.tmp"
# Older temporary files were left by a process that was killed: writing one takes milliseconds.
_STALE_SECONDS = 3600.0


def is_remote(path: str) -> bool:
    """Whether only TensorFlow's file systems know the place (gs://...), and not the machine's."""
    return "://" in path


def write_atomically(path: str, text: str, *, durable: bool = True) -> None:
    """Write a text file so that a reader sees the old file or the new one, never a part.

    The file gets the permissions of the one that it replaces, else what the umask gives; while it
    is written nobody else can write to it. A link in its place is replaced, not followed.

    Args:
        path: The file. Its folder exists.
        text: Written as UTF-8.
        durable: Whether the file must survive a power cut that comes right after. Costs two waits
            for the disk; without, the file may be the old one after a power cut, or damaged.

    Raises:
        StoreError: The disk is full or the folder cannot be written to; the old file is as it was.
    """
    try:
        if is_remote(path):  # an object store shows an object when it is whole
            with keras_tuner_io.File(path, "w") as remote:
                remote.write(text)
        else:
            _write_and_rename(path, text.encode("utf-8"), durable)
    except OSError as error:
        raise StoreError(
            error.errno,
            f"{error.strerror}. The search's state cannot be written, so the search ends here."
            " What was stored before is safe: make room, or the folder writable, and run the same"
            " program again to go on",
            path,
        ) from error


def _write_and_rename(path: str, content: bytes, durable: bool) -> None:
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{secrets.token_hex(8)}{_SUFFIX}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o664)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _take_permissions(descriptor, path)
            file.write(content)
            file.flush()
            if durable:
                os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if durable:
        _sync_directory(directory)


def _take_permissions(descriptor: int, path: str) -> None:
    try:
        old = os.lstat(path)
    except FileNotFoundError:
        return
    if stat.S_ISREG(old.st_mode) and hasattr(os, "fchmod"):
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode) & 0o775)


def _sync_directory(directory: str) -> None:
    """Make a rename survive a power cut, where folders can be synchronized (POSIX)."""
    if os.name != "posix":
        return
    descriptor = os.open(directory or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
        os.rename(path, aside)
    except OSError as error:
        raise StoreError(
            error.errno, f"{error.strerror}. A damaged file cannot be set aside", path
        ) from error
    return aside


def remove_stale_files(directory: str) -> None:
    """Remove temporary files that killed processes left in a folder, once they are an hour old."""
    with os.scandir(directory) as entries:
        left = [entry for entry in entries if entry.name.endswith(_SUFFIX)]
    for entry in left:
        with contextlib.suppress(OSError):  # another process may have removed it
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_SECONDS:
                os.unlink(entry.path)
