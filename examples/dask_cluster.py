"""A search on Dask, on one machine; what changes on a cluster is said below.

`python examples/dask_cluster.py` starts a LocalCluster of two workers, and runs two trials at a
time on it. It takes a minute, needs `pip install 'robusttune[dask]'` and prints:

    6 trials completed, on 1 machine
    the best one has a val_loss below 0.9: True

On a cluster:

- `Client("scheduler:8786")` instead, or the client of a dask-jobqueue or dask-kubernetes cluster;
- `directory`: a folder that all machines see under the same path;
- `n_jobs`: how many trials Dask is given at once; what does not fit waits;
- workers are processes with one thread each (`dask worker --nworkers 8 --nthreads 1`), with the
  resources that a trial asks for: `client.get_executor(resources={"GPU": 1})`;
- `dask worker --memory-limit 8GiB` ends a trial that takes too much;
- all machines have the same versions of Python, robusttune, Keras and its backend.
"""

from __future__ import annotations

import tempfile

import keras
import keras_tuner
from dask.distributed import Client, LocalCluster
from sklearn.datasets import load_diabetes

import robusttune

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


def search(client: Client) -> None:
    """Search, and show where the trials ran."""
    tuner = robusttune.RandomSearch(
        build,
        "val_loss",
        max_trials=6,
        seed=1,
        directory=tempfile.mkdtemp(),
        policy=robusttune.Policy(n_jobs=2),
        executor=client.get_executor(),
    )
    tuner.search(x, y, validation_split=0.2, epochs=10, verbose=0)
    records = [tuner.oracle.robusttune_records()[id_] for id_ in tuner.oracle.end_order]
    completed = sum(record.status == "completed" for record in records)
    machines = {record.evidence["worker"]["host"] for record in records}
    print(f"{completed} trials completed, on {len(machines)} machine")
    best = tuner.oracle.get_best_trials()[0]
    print(f"the best one has a val_loss below 0.9: {best.score < 0.9}")


if __name__ == "__main__":
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster) as client:  # on a cluster: Client("scheduler:8786")
        search(client)
