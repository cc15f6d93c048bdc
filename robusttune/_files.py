"""Files that a reader never sees half-written."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from pathlib import Path

_SUFFIX = ".robusttune.tmp"
# Older temporary files were left by a process that was killed: writing one takes milliseconds.
_STALE_SECONDS = 3600.0
# Waits before a rename is tried again, in seconds: 1 s in all. Readers hold a file for less.
_WAITS = (0.01, 0.03, 0.1, 0.26, 0.6)


def write_file(path: str | os.PathLike[str], content: bytes, *, durable: bool) -> None:
    """Write a file so that a reader sees the old file or the new one, never a part.

    The file gets the permissions of the one that it replaces, else what the umask gives; while it
    is written nobody else can write to it. A link in its place is replaced, not followed.

    Args:
        path: The file. Its folder exists.
        content: All of it.
        durable: Whether the file must survive a power cut that comes right after. Costs two waits
            for the disk; without, the file may be the old one after a power cut, or damaged.

    Raises:
        OSError: The disk is full or the folder cannot be written to; the old file is as it was.
    """
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
        replace_file(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if durable:
        _sync_directory(directory)


def write_output(path: Path, content: bytes) -> None:
    """Write a file that a user asked for as a whole; its folder is made.

    A link is followed; what is no file (a pipe, /dev/stdout) is written to as it is.

    Raises:
        OSError: It cannot be written; an old file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        path.write_bytes(content)
    else:
        write_file(os.path.realpath(path), content, durable=False)


def remove_stale_files(directory: str) -> None:
    """Remove temporary files that killed processes left in a folder, once they are an hour old."""
    with os.scandir(directory) as entries:
        left = [entry for entry in entries if entry.name.endswith(_SUFFIX)]
    for entry in left:
        with contextlib.suppress(OSError):  # another process may have removed it
            if time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_SECONDS:
                os.unlink(entry.path)


def replace_file(source: str, target: str | os.PathLike[str]) -> None:
    """Rename a file, also over another one.

    On Windows that is refused while a reader or a virus scanner has one of them open, so it is
    tried for a second.

    Raises:
        OSError: It cannot be done.
    """
    for seconds in _WAITS:
        try:
            os.replace(source, target)
        except PermissionError:
            time.sleep(seconds)
        else:
            return
    os.replace(source, target)


def _take_permissions(descriptor: int, path: str | os.PathLike[str]) -> None:
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
