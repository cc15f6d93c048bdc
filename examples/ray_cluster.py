"""A search on Ray, on one machine; what changes on a cluster is said below.

`python examples/ray_cluster.py` starts a Ray of its own with two cores, and runs two trials at a
time on it. It takes a minute, needs `pip install 'robusttune[ray]'` and prints:

    6 trials completed, on 1 machine
    the best one has a val_loss below 0.9: True

On a cluster:

- `ray.init(address="auto")` instead, on a machine of the cluster, or with the address of its head;
- `directory`: a folder that all machines see under the same path;
- `num_gpus=1`, and `n_jobs`: how many trials Ray is given at once; what does not fit waits;
- `memory=8 * 2**30` of RayExecutor sets memory aside for each trial;
- all machines have the same versions of Python, robusttune, Keras and its backend.
"""

from __future__ import annotations

import tempfile

import keras
import keras_tuner
import ray
from sklearn.datasets import load_diabetes

import robusttune
from robusttune.executors import RayExecutor

x, y = load_diabetes(return_X_y=True, scaled=True)
y = (y - y.mean()) / y.std()


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A small regression model."""
    units = hp.Int("units", 8, 64, step=8)
    rate = hp.Float("rate", 1e-3, 1e-2, sampling="log")
    layers = [keras.layers.Dense(units, activation="relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((10,)), *layers])
    model.compile(keras.optimizers.Adam(rate), "mse")
    return model


def main() -> None:
    """Search, and show where the trials ran."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)  # a cluster: address="auto"
    tuner = robusttune.RandomSearch(
        build,
        "val_loss",
        max_trials=6,
        seed=1,
        directory=tempfile.mkdtemp(),
        policy=robusttune.Policy(n_jobs=2),
        executor=RayExecutor(num_cpus=1),
    )
    tuner.search(x, y, validation_split=0.2, epochs=10, verbose=0)
    records = [tuner.oracle.robusttune_records()[id_] for id_ in tuner.oracle.end_order]
    completed = sum(record.status == "completed" for record in records)
    machines = {record.evidence["worker"]["host"] for record in records}
    print(f"{completed} trials completed, on {len(machines)} machine")
    best = tuner.oracle.get_best_trials()[0]
    print(f"the best one has a val_loss below 0.9: {best.score < 0.9}")
    ray.shutdown()


if __name__ == "__main__":
    main()
