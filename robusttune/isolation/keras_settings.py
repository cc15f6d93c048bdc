"""Keras's and TensorFlow's settings, to be the same in another process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any


def keras_settings(*, quiet: bool = False) -> Callable[[], None]:
    """Return a function that makes Keras and TensorFlow in another process work as they do here.

    Args:
        quiet: Whether Keras shows no progress there.
    """
    import keras
    import tensorflow as tf

    from robusttune._compat.tensorflow import op_determinism_is_enabled

    return partial(
        _set_keras,
        floatx=keras.config.floatx(),
        epsilon=keras.config.epsilon(),
        image_data_format=keras.config.image_data_format(),
        dtype_policy=keras.config.dtype_policy().get_config(),
        eager=tf.config.functions_run_eagerly(),
        deterministic=op_determinism_is_enabled(),
        quiet=quiet,
    )


def _set_keras(
    *,
    floatx: str,
    epsilon: float,
    image_data_format: str,
    dtype_policy: dict[str, Any],
    eager: bool,
    deterministic: bool,
    quiet: bool,
) -> None:
    import keras
    import tensorflow as tf

    keras.config.set_floatx(floatx)
    keras.config.set_epsilon(epsilon)
    keras.config.set_image_data_format(image_data_format)
    keras.config.set_dtype_policy(dtype_policy["name"])
    tf.config.run_functions_eagerly(eager)
    if quiet:
        keras.config.disable_interactive_logging()
    if deterministic:
        tf.config.experimental.enable_op_determinism()
