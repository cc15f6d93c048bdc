"""A search in a file: the tuner and its data, or the objective, for processes that run its trials.

Functions and classes of scripts and notebooks travel by value (cloudpickle), arrays beside the
rest, so that a child maps them and each new child starts without a copy. The file lies in a folder
that only this user can open, and is gone with the search: nothing is unpickled from a project
folder.
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
import sys
from collections.abc import Mapping
from typing import Any, TypeAlias

import cloudpickle

from robusttune._records import one_line

_ALIGNMENT = 64  # bytes; TensorFlow takes arrays without a copy where they are aligned so
_LENGTH = struct.Struct("<Q")
# What stays in its process, and the class of what stands for it in the other one.
Stays: TypeAlias = tuple[Any, type] | None


class _Packer(cloudpickle.Pickler):  # type: ignore[misc,unused-ignore]
    """Sends something else in the place of what must stay, and what pickle does not know how to."""

    def __init__(self, file: Any, stays: Stays, **kwargs: Any) -> None:
        super().__init__(file, protocol=5, **kwargs)
        self._stays = stays

    def reducer_override(self, obj: Any) -> Any:
        if self._stays is not None and obj is self._stays[0]:
            return self._stays[1], ()
        if isinstance(obj, type) and "robust_made_by" in vars(obj):
            return vars(obj)["robust_made_by"]
        tensorflow = sys.modules.get("tensorflow")
        if tensorflow is not None and isinstance(obj, tensorflow.data.Dataset):
            return _dataset_from, _graph_of(obj)
        return super().reducer_override(obj)


def pack(
    path: str, parts: Mapping[str, Any], stays: Stays = None, *, who: str = "policy.isolate"
) -> None:
    """Write a search into a new file.

    Args:
        path: The file, in a folder that only this user can open.
        parts: What the other process needs, by the names under which people know it.
        stays: What is not sent, wherever it is met, and the class of what stands for it there.
        who: The argument that asks for it.

    Raises:
        TypeError: A part cannot be sent; the message names it.
    """
    buffers: list[pickle.PickleBuffer] = []
    try:
        with open(path, "wb") as file:
            file.write(_LENGTH.pack(0))
            _Packer(file, stays, buffer_callback=buffers.append).dump(dict(parts))
            places = []
            for buffer in buffers:
                raw = buffer.raw()
                file.write(bytes(-file.tell() % _ALIGNMENT))
                places.append((file.tell(), raw.nbytes))
                file.write(raw)
            end = file.tell()
            pickle.dump(places, file)
            file.seek(0)
            file.write(_LENGTH.pack(end))
    except OSError:
        raise
    except Exception as error:
        name, why = _culprit(parts, stays) or ("the search", error)
        raise TypeError(
            f"{who} sends {name} to another process, so it must be picklable, got"
            f" {type(why).__name__}: {one_line(str(why), 300)}. Create what holds a lock, a"
            " connection or a Python generator in the code that runs there: the hypermodel's fit,"
            " run_trial, the objective."
        ) from error


def unpack(path: str) -> dict[str, Any]:
    """Return the parts in a file that `pack` wrote; arrays are mapped and can be written to."""
    with open(path, "rb") as file:
        return unpack_bytes(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)))


def unpack_bytes(view: memoryview) -> dict[str, Any]:
    """Return the parts in what `pack` wrote; arrays lie in that memory."""
    (end,) = _LENGTH.unpack_from(view)
    buffers = [view[start : start + size] for start, size in pickle.loads(view[end:])]
    parts: dict[str, Any] = pickle.loads(view[_LENGTH.size :], buffers=buffers)
    return parts


def _culprit(parts: Mapping[str, Any], stays: Stays) -> tuple[str, Exception] | None:
    for name, part in parts.items():
        pieces = [(name, part)]
        if name == "the tuner":
            pieces = [(f"the tuner's {key}", value) for key, value in vars(part).items()]
        elif isinstance(part, Mapping):
            pieces = [(f"the argument {key!r}", value) for key, value in part.items()]
        for title, piece in pieces:
            try:
                with open(os.devnull, "wb") as nowhere:
                    _Packer(nowhere, stays, buffer_callback=lambda buffer: None).dump(piece)
            except Exception as error:
                return title, error
    return None


def _graph_of(dataset: Any) -> tuple[bytes, Any]:
    """Return a tf.data pipeline as a graph; raises where it calls Python code."""
    import tensorflow as tf

    try:
        graph = tf.raw_ops.DatasetToGraphV2(
            input_dataset=tf.data.experimental.to_variant(dataset),
            external_state_policy=tf.data.experimental.ExternalStatePolicy.FAIL.value,
            strip_device_assignment=True,
        )
    except Exception as error:
        raise TypeError(
            "this tf.data pipeline calls Python (from_generator, py_function), which stays in its"
            f" process ({type(error).__name__})"
        ) from error
    return graph.numpy(), dataset.element_spec


def _dataset_from(graph: bytes, element_spec: Any) -> Any:
    import tensorflow as tf

    variant = tf.raw_ops.DatasetFromGraph(graph_def=graph)
    return tf.data.experimental.from_variant(variant, element_spec)
