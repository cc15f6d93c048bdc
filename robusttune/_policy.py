"""Policy: every threshold and switch of robusttune in one frozen place."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from robusttune._notebook import table
from robusttune._validation import (
    check_bool,
    check_choice,
    check_fraction,
    check_int,
    check_items,
    check_number,
    check_type,
    require,
)

_NO_CLIPPING = "Pass None to turn clipping off."


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Thresholds and switches, all with defaults that suit an ordinary search.

    Args:
        clip: Gradient clipping for an optimizer that has none of its own. "auto" follows the
            history of the gradient norm and clips spikes only, and only if the optimizer does not
            bound its steps by itself (as Adam does); "tune" adds the norm to the search space; a
            float is a global norm (> 0, in units of the gradient); None turns clipping off.
        check_every: Training steps between two checks of the guard's state by the host (>= 1). The
            first non-finite step is recorded in the step itself, whatever the interval.
        history: Steps whose loss and gradient norm are kept (>= 8).
        divergence_factor: Loss above which a trial counts as diverged, as a multiple (> 1) of the
            larger of its initial loss and the loss of the best constant prediction.
        divergence_patience: Consecutive steps above the limit before the trial counts as diverged
            (>= 1); a single spike does not.
        diagnosis: When failing trials are diagnosed. "trial_end": each one when it ends;
            "search_end": all of them when `search` or `optimize` returns or is interrupted, in that
            process, and by their symptoms alone until then; "off": never. An exception, the time
            limit and a crash give their cause in any case. "search_end" keeps the data that it
            needs, up to 1 GiB. Trials beyond that are diagnosed when they end, and so are fits
            that no search waits for: a plain fit, a trial with `isolate`, of a worker, or of ask
            and tell.
        diagnosis_seconds: Limit of the replays of one failing trial (> 0). It is counted in work,
            6e10 multiply-adds a second, so that verdicts do not depend on how busy the machine is;
            the clock stops replays only after 12 times as many seconds. A replay that has begun is
            finished.
        hopeless_after: Finished trials, all failed for one reason that no hyperparameter changes,
            after which the search ends with HopelessSearchError (>= 2). None means never.
        trial_seconds: Time limit of one trial, in seconds (> 0), without its diagnosis. None means
            no limit. The guard ends the fit at the next batch, and epochs that were completed
            before that still count; a trial that hangs is ended only with `isolate`.
        isolate: Whether each Keras Tuner trial runs in a child process, so that a crash (a
            segmentation fault, the kernel's out-of-memory killer, os._exit) ends only the trial.
            Changes that a trial makes to Python's memory stay in the child. On a GPU set
            TF_FORCE_GPU_ALLOW_GROWTH=true, since the search's own process uses it too.
        memory_limit: Memory that the child process of a trial may allocate, in bytes (> 0): its
            resident anonymous pages, of which TensorFlow itself takes about 0.4e9. The data of the
            search do not count until they are copied. Outside Linux, where this is not tested: the
            memory that it shares with no other process. None means no limit. Needs `isolate` or
            `n_jobs`; it is the limit of each child.
        n_jobs: Number of trials at once. Each runs in a child process of its own, as with
            `isolate`, with its share of the threads and, on GPUs, one GPU. (In joblib and Optuna
            n_jobs may mean threads.) -1: one for each GPU, or without GPUs one for each core;
            "auto": one for each GPU, or without GPUs one for every two cores. Cores are those that
            this process may use (affinity, cgroup). With the keyword `executor` of a tuner: number
            of trials that the executor is given at once. None: one after the other, in the search's
            own process unless `isolate` is set.
        interruptions: How often the process may end during the same Keras Tuner trial (kill, crash,
            power cut; Ctrl-C does not count) before the trial counts as crashed and is not run
            again when the search resumes (>= 1). None means no limit.
        worker_silence: Seconds without a heartbeat after which a worker of Keras Tuner's
            chief/worker mode counts as dead (>= 1), and its trial is given to another one.
        sanitize: How ranges of the search space that make trials fail are handled: "fix" corrects
            them and warns, "warn" only warns, "off" does nothing.
        keep: Full names of hyperparameters that are never changed (e.g. {"lr"}).
        probe: Whether a learning-rate range test on the user's own data narrows the learning rates
            before the first trial.
        probe_seconds: Time limit of the range test, in seconds of wall time (> 0).
        avoid_unstable: Whether proposals avoid regions where trials are likely to fail because of
            their hyperparameters.
        prior_searches: Earlier searches whose failures count as evidence until the search's own
            trials contradict them: project folders, URLs of Optuna storages, and CSV files of a
            report. Proposals that failed there are rejected where names, or roles, and choices
            agree; the report lists how many. With Optuna, set it in the policy of
            `CrashAwareSampler`.
        free_share: Fraction of proposals that ignore learned failure regions (0..1), so that wrong
            ones can be corrected.

    Raises:
        ValueError: A field is invalid; the message names the field, the rule and the value.

    Example:
        >>> Policy(clip=1.0).clip
        1.0
    """

    # Guard
    clip: float | Literal["auto", "tune"] | None = "auto"
    check_every: int = 1
    history: int = 64
    divergence_factor: float = 10.0
    divergence_patience: int = 5

    # Diagnosis
    diagnosis: Literal["trial_end", "search_end", "off"] = "trial_end"
    diagnosis_seconds: float = 5.0

    # Search
    hopeless_after: int | None = 5
    trial_seconds: float | None = None
    isolate: bool = False
    memory_limit: int | None = None
    interruptions: int | None = 3
    worker_silence: float = 60.0
    n_jobs: int | Literal["auto"] | None = None

    # Search space
    sanitize: Literal["fix", "warn", "off"] = "fix"
    keep: frozenset[str] = frozenset()
    probe: bool = False
    probe_seconds: float = 60.0
    avoid_unstable: bool = True
    prior_searches: tuple[str, ...] = ()
    free_share: float = 0.05

    def __post_init__(self) -> None:
        if isinstance(self.clip, str):
            rule = "'auto', 'tune', a number > 0 or None"
            require(self.clip in ("auto", "tune"), "clip", rule, self.clip, _NO_CLIPPING)
        elif self.clip is not None:
            check_number("clip", self.clip, above=0.0, way_out=_NO_CLIPPING)
        check_int("check_every", self.check_every, least=1)
        check_int("history", self.history, least=8)
        check_number("divergence_factor", self.divergence_factor, above=1.0)
        check_int("divergence_patience", self.divergence_patience, least=1)
        check_choice("diagnosis", self.diagnosis, ("trial_end", "search_end", "off"))
        check_number("diagnosis_seconds", self.diagnosis_seconds, above=0.0)
        if self.hopeless_after is not None:
            check_int("hopeless_after", self.hopeless_after, least=2, way_out="None means never.")
        if self.trial_seconds is not None:
            check_number(
                "trial_seconds", self.trial_seconds, above=0.0, way_out="None means no limit."
            )
        check_bool("isolate", self.isolate)
        if self.memory_limit is not None:
            check_int("memory_limit", self.memory_limit, least=1, way_out="None means no limit.")
            rule = (
                "None without isolate=True or n_jobs, since only a process of its own can be"
                " limited"
            )
            own_process = self.isolate or self.n_jobs is not None
            require(own_process, "memory_limit", rule, self.memory_limit)
        if self.interruptions is not None:
            check_int("interruptions", self.interruptions, least=1, way_out="None means no limit.")
        check_number("worker_silence", self.worker_silence, above=0.0)
        require(self.worker_silence >= 1, "worker_silence", ">= 1 (seconds)", self.worker_silence)
        if self.n_jobs is not None:
            whole = isinstance(self.n_jobs, int) and not isinstance(self.n_jobs, bool)
            fits = self.n_jobs == "auto" or (whole and (self.n_jobs == -1 or self.n_jobs >= 1))
            rule = "an int >= 1, -1, 'auto' or None"
            require(fits, "n_jobs", rule, self.n_jobs, "None runs one trial after the other.")
        check_choice("sanitize", self.sanitize, ("fix", "warn", "off"))
        rule, way_out = "a set of hyperparameter names", 'For example {"lr"}.'
        keep = check_items("keep", self.keep, str, rule, way_out, error=ValueError)
        object.__setattr__(self, "keep", frozenset(keep))
        check_bool("probe", self.probe)
        check_number("probe_seconds", self.probe_seconds, above=0.0)
        check_bool("avoid_unstable", self.avoid_unstable)
        rule, way_out = "a tuple of texts", 'For example ("first_project",).'
        prior = check_items("prior_searches", self.prior_searches, str, rule, way_out)
        object.__setattr__(self, "prior_searches", prior)
        check_fraction("free_share", self.free_share)

    def _repr_html_(self) -> str:
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        changed = [each.name for each in fields(self) if values[each.name] != each.default]
        caption = "Policy; what is not the default is bold" if changed else "Policy, the default"
        return table(caption, values, frozenset(changed))

    @classmethod
    def given(cls, policy: Policy | None) -> Policy:
        """Return the policy that a caller passed in; None is the default one.

        Raises:
            TypeError: It is neither.
        """
        if policy is None:
            return cls()
        check_type("policy", policy, cls, "a robusttune.Policy or None", "None is the default.")
        return policy
