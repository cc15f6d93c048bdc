"""Keras's and its backend's settings, to be the same in another process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any


def keras_settings(*, quiet: bool = False) -> Callable[[], None]:
    """Return a function that makes Keras in another process work as it does here.

    Args:
        quiet: Whether Keras shows no progress there.
    """
    import keras

    tensorflow: dict[str, bool] = {}
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        from robusttune._compat.tensorflow import op_determinism_is_enabled

        tensorflow = {
            "eager": tf.config.functions_run_eagerly(),
            "deterministic": op_determinism_is_enabled(),
        }
    return partial(
        _set_keras,
        floatx=keras.config.floatx(),
        epsilon=keras.config.epsilon(),
        image_data_format=keras.config.image_data_format(),
        dtype_policy=keras.config.dtype_policy().get_config(),
        tensorflow=tensorflow,
        quiet=quiet,
    )


def _set_keras(
    *,
    floatx: str,
    epsilon: float,
    image_data_format: str,
    dtype_policy: dict[str, Any],
    tensorflow: dict[str, bool],
    quiet: bool,
) -> None:
    import keras

    keras.config.set_floatx(floatx)
    keras.config.set_epsilon(epsilon)
    keras.config.set_image_data_format(image_data_format)
    keras.config.set_dtype_policy(dtype_policy["name"])
    if quiet:
        keras.config.disable_interactive_logging()
    if tensorflow:
        import tensorflow as tf

        tf.config.run_functions_eagerly(tensorflow["eager"])
        if tensorflow["deterministic"]:
            tf.config.experimental.enable_op_determinism()
