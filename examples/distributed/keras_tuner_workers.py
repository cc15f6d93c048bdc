"""Keras Tuner's chief and workers on one machine, with one command; one worker is killed.

`python examples/distributed/keras_tuner_workers.py` starts a chief and two workers, kills one of
them in the middle of the search, and prints the chief's report. It takes half a minute:

    worker-0 was killed; its trial goes to the other one
    3 of 6 trials failed: divergent learning rate. Lower the upper bound of the learning rate, ...
    every trial has ended: True

On a cluster, start `python keras_tuner_workers.py --role` once for each process, with these
environment variables, which are Keras Tuner's own:

- KERASTUNER_TUNER_ID: "chief" for the one chief, another name for each worker.
- KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT: where the chief listens. Workers need a name or
  address that they can reach; the chief may listen on 0.0.0.0.
- FOLDER, below: one folder that all of them see (NFS, a shared volume). The reasons for failures
  and the models lie there.

Kubernetes: a Job with one pod for the chief and a Service in front of it, and an indexed Job for
the workers, whose KERASTUNER_TUNER_ID is the pod's name and whose restartPolicy is OnFailure; a
shared ReadWriteMany volume. A pod that is evicted loses its run of a trial, and nothing else.

Slurm: one job for the chief, and an array for the workers (`--array=0-9`, `--requeue`), with
KERASTUNER_TUNER_ID=worker-$SLURM_ARRAY_TASK_ID and KERASTUNER_ORACLE_IP set to the host on which
the chief runs (`scontrol show job`); the folder on the cluster's file system.

The chief may be killed too: start it again, and the search resumes with the waiting workers.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORKERS = 2
TRIALS = 6
HOST = "127.0.0.1"


def search(folder: str) -> None:
    """What the chief and each worker run: an ordinary search. Who is who, the environment says."""
    import keras
    import keras_tuner
    from sklearn.datasets import load_diabetes

    import robusttune

    x, y = load_diabetes(return_X_y=True, scaled=True)
    y = (y - y.mean()) / y.std()

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        model = keras.Sequential(
            [
                keras.Input((10,)),
                keras.layers.Dense(hp.Int("units", 8, 64, step=8), activation="relu"),
                keras.layers.Dense(1),
            ]
        )
        rate = hp.Float("rate", 1e-3, 1e3, sampling="log")  # the upper third diverges
        model.compile(keras.optimizers.SGD(rate), "mse")
        return model

    tuner = robusttune.RandomSearch(
        build,
        objective="val_loss",
        max_trials=TRIALS,
        seed=1,
        directory=folder,
        project_name="diabetes",
        # 60 s on a cluster: the default. The space is left as it is, so that some trials fail.
        policy=robusttune.Policy(worker_silence=5, sanitize="off", diagnosis_seconds=1),
    )
    tuner.search(x, y, validation_split=0.2, epochs=3, verbose=0)


def main() -> None:
    """Start all on this machine, kill one worker, and show what the chief knows."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    folder = tempfile.mkdtemp()

    def start(name: str) -> subprocess.Popen[bytes]:
        variables = {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": HOST,
            "KERASTUNER_ORACLE_PORT": str(port),
            "FOLDER": folder,
        }
        return subprocess.Popen(
            [sys.executable, __file__, "--role"],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **variables},
            stdout=subprocess.DEVNULL,
        )

    chief = start("chief")
    workers = [start(f"worker-{n}") for n in range(WORKERS)]
    project = Path(folder, "diabetes")
    while chief.poll() is None and len(list(project.glob("trial_*"))) < TRIALS // 2:
        time.sleep(0.1)
    workers[0].kill()
    print("worker-0 was killed; its trial goes to the other one")
    for process in (chief, *workers[1:]):
        if process.wait() != 0:
            sys.exit(f"a process ended with {process.returncode}")

    from robusttune import Report

    report = Report.from_directory(project)
    print(report.summary())
    print("every trial has ended:", (report.trials.status != "running").all())


if __name__ == "__main__":
    if "--role" in sys.argv:
        search(os.environ["FOLDER"])
    else:
        main()
