"""DurableTuner: a tuner that goes on where its project stopped, however that came about."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Iterator
from typing import Any

from keras_tuner.engine import base_tuner

from robusttune._keras_tuner.oracle import RobustOracle
from robusttune._keras_tuner.project.files import is_remote, set_aside, write_atomically
from robusttune._keras_tuner.project.run_markers import BEGUN, times_begun
from robusttune._keras_tuner.project.stored_trials import check_trial_id
from robusttune._trial_run import TrialRun
from robusttune._untrusted_json import read_object
from robusttune.errors import InstabilityWarning


class DurableTuner(base_tuner.BaseTuner):  # type: ignore[misc,unused-ignore]
    """Saves whole files only, and resumes from whatever of them is left.

    It comes after the tuner's own class, whose overrides stay in force.
    """

    _robust_opened = False
    _robust_saved: str | None = None

    def search(self, *fit_args: Any, **fit_kwargs: Any) -> None:
        """Search, and leave the project's files complete, however the search ends."""
        try:
            super().search(*fit_args, **fit_kwargs)
        finally:
            if isinstance(self.oracle, RobustOracle):
                self.oracle.save_now()

    def save(self) -> None:
        """Save the oracle's state and the tuner's."""
        if not self._is_worker():
            self.oracle.save()
        state = json.dumps(self.get_state())
        if state != self._robust_saved:
            write_atomically(self._get_tuner_fname(), state, durable=False)
            self._robust_saved = state

    def reload(self) -> None:
        """Go on with what the project folder holds; damaged files are set aside with a warning."""
        self._robust_opened = True
        if not self._is_worker():
            self.oracle.reload()
            if isinstance(self.oracle, RobustOracle) and not self.oracle.resumed:
                self._populate_initial_space()
        path = self._get_tuner_fname()
        if is_remote(path):
            super(base_tuner.BaseTuner, self).reload(path)
        elif os.path.lexists(path):
            self._restore(path)

    def get_trial_dir(self, trial_id: str) -> str:
        """Return the folder of a trial; it is made if need be."""
        return str(super().get_trial_dir(check_trial_id(trial_id)))

    def resumes_without_tuner_file(self) -> bool:
        """Resume a project whose first trial did not end, or whose tuner file is gone.

        Keras Tuner would begin anew there, over the trials that are left.

        Returns:
            Whether there was anything to resume.
        """
        if self._robust_opened or self._is_worker():
            return False
        self._robust_opened = True
        if not isinstance(self.oracle, RobustOracle) or not self.oracle.has_stored_state():
            return False
        self.oracle.reload()
        return self.oracle.resumed

    @contextlib.contextmanager
    def _run_noted(self, run: TrialRun) -> Iterator[None]:
        """Note that a run of a trial begins, and where it ends by the user's will."""
        if is_remote(self.project_dir):
            yield
            return
        begun = times_begun(run.host.read())
        run.begin(**{BEGUN: begun + 1})
        try:
            yield
        except Exception:
            raise
        except BaseException:  # Ctrl-C, sys.exit: nothing is wrong with the trial
            run.begin(**{BEGUN: begun})
            raise

    def _restore(self, path: str) -> None:
        try:
            state = read_object(path)
        except (OSError, ValueError) as error:
            aside = os.path.basename(set_aside(path))
            warnings.warn(
                f"{os.path.basename(path)} is damaged ({error}) and was set aside as {aside};"
                " the search continues without it.",
                InstabilityWarning,
                stacklevel=2,
            )
            return
        self.set_state(state)
