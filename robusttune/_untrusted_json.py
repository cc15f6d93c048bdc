"""Read files of a project folder that may be anybody's: JSON only, links are not followed."""

from __future__ import annotations

import json
import os
import stat
from typing import Any

# Nothing that Keras Tuner or robusttune writes for a trial comes near this many bytes.
_MAX_BYTES = 32_000_000


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a regular file of a bearable size.

    Raises:
        OSError: It cannot be read.
        ValueError: It is a link, a pipe or a device, or larger than 32 MB.
    """
    if os.path.islink(path):
        raise ValueError("a symbolic link, not followed")
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):  # not every system has them all
        flags |= getattr(os, name, 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("not a regular file")
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"larger than {_MAX_BYTES} bytes")
    return content


def read_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not a regular file with a JSON object.
    """
    content = read_bytes(path)
    try:
        body = json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(body, dict):
        raise ValueError("not a JSON object")
    return body
