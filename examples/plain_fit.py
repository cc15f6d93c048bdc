"""Guard without any tuner: a callback for model.fit that ends the fit and says why.

Run it with `python examples/plain_fit.py`; it takes a few seconds and prints:

    diverged in epoch 0 at step 5: divergent_learning_rate
    Learning rate 3 diverges; the same trial learns with learning rate 0.03 (300 steps, 3 seeds).
    weights finite: True
"""

from __future__ import annotations

import keras
import numpy as np

from robusttune import Guard


def main() -> None:
    """Fit a model at a learning rate that is far too high."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 8)).astype("float32")
    y = x @ rng.normal(size=(8, 1))
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(32, activation="relu"), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(3.0), "mse")
    guard = Guard()
    model.fit(x, y, epochs=20, verbose=0, callbacks=[guard])
    record = guard.record
    assert record is not None
    print(f"{record.symptom} in epoch {record.epoch} at step {record.step}: {record.cause}")
    print(record.advice)
    print("weights finite:", all(np.isfinite(w).all() for w in model.get_weights()))


if __name__ == "__main__":
    main()
