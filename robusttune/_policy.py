"""Policy: every threshold and switch of robusttune in one frozen place."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from robusttune._notebook import table
from robusttune._validation import (
    boolean,
    collection,
    instance,
    integer,
    number,
    one_of,
    require,
    share,
)

_NO_CLIPPING = "Pass None to turn clipping off."


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Thresholds and switches, all with defaults that suit an ordinary search.

    Args:
        clip: Gradient clipping where the user's optimizer has none of its own. "auto" follows the
            history of the gradient norm and clips spikes only, and only where the optimizer does
            not bound its steps by itself (as Adam does); "tune" adds the norm to the search
            space, a float is a global norm (> 0, in units of the gradient), None is off.
        check_every: Training steps between two looks of the host at the state of the step
            (>= 1). The first non-finite step is latched in the step itself, whatever the interval.
        history: Steps whose loss and gradient norm are kept (>= 8).
        divergence_factor: A loss this many times worse than the larger of the trial's own start
            and the best constant prediction's loss counts as diverged (> 1).
        divergence_patience: Steps in a row for which that must hold (>= 1): one spike is none.
        diagnosis: When failing trials are diagnosed. "trial_end": each when it ends; "search_end":
            all when `search` or `optimize` returns or is interrupted, in that process, and until
            then by their symptoms alone; "off": not at all. What ends a trial by itself (an
            exception, the time limit, a crash) says its cause in any case. "search_end" keeps what
            it needs, up to 1 GiB: what does not fit is diagnosed when its trial ends, and so is
            what no search waits for: a plain fit, a trial with `isolate`, of a worker, of ask and
            tell.
        diagnosis_seconds: Bound on the replays of one failing trial (> 0), counted in work, 6e10
            multiply-adds a second, so that a busy machine says the same; on the clock, only 12
            times as many seconds end them. A replay that has begun is finished.
        hopeless_after: Finished trials, all failed for one reason that no hyperparameter changes,
            after which the search ends with HopelessSearchError (>= 2); None never ends it.
        trial_seconds: Time limit of one trial, in seconds (> 0), without what its diagnosis takes;
            None is none. The guard ends the fit at the next batch, and an epoch that was completed
            before that still counts; what hangs is ended only with `isolate`.
        isolate: Whether each Keras Tuner trial runs in a child process, so that a crash (a
            segmentation fault, the kernel's out-of-memory killer, os._exit) ends the trial and not
            the search. What a trial changes in Python's memory stays in the child. On a GPU set
            TF_FORCE_GPU_ALLOW_GROWTH=true, since the search's own process holds it too.
        memory_limit: Memory that the child process of a trial may have of its own, in bytes (> 0):
            its resident anonymous pages, of which TensorFlow itself takes about 0.4e9. The data of
            the search do not count until they are copied. Off Linux, where this is not tested: what
            it shares with no other process. None is no limit. Needs `isolate` or `n_jobs`, with
            which it is the limit of each child.
        n_jobs: Trials at once. Each runs in a child process of its own, as with `isolate` (joblib
            and Optuna have the word; there it may mean threads), with its share of the threads and,
            on GPUs, one GPU. -1: one a GPU, or else one a core; "auto": one a GPU, or else one for
            every two cores. Cores are those that this process may use (affinity, cgroup). With the
            keyword `executor` of a tuner: trials that the executor is given at once. None: one
            after the other, in the search's own process unless `isolate` says otherwise.
        interruptions: Times that the process may end in one and the same Keras Tuner trial (kill,
            crash, power cut; Ctrl-C does not count) before that trial counts as crashed and is not
            given out again when the search goes on (>= 1); None: without limit.
        worker_silence: Seconds without a sign of life after which a worker of Keras Tuner's
            chief/worker mode counts as dead (>= 1), and its trial goes to another one.
        sanitize: What is done about a search space that asks for failing trials: "fix" changes it
            and warns, "warn" only warns, "off" does nothing.
        keep: Full names of hyperparameters that are never changed (e.g. {"lr"}).
        probe: Whether a learning-rate range test on the user's own data narrows the learning rates
            before the first trial.
        probe_seconds: Wall time that the range test may take, in seconds (> 0).
        avoid_unstable: Whether proposals turn away from places where trials are likely to fail
            because of their hyperparameters.
        prior_searches: Earlier searches whose failures are evidence for this one until its own
            trials know better: project folders, URLs of Optuna storages, and CSV files of a report.
            Proposals that failed there are turned away where names, or roles, and choices agree;
            the report lists how many. With Optuna, of the policy of `CrashAwareSampler`.
        free_share: Share of the proposals that never turn away (0..1), so that the map of
            unstable regions stays honest and a wrong lesson can be unlearned.

    Raises:
        ValueError: A field is not as it must be; the message names it, the rule and the value.

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
            number("clip", self.clip, above=0.0, way_out=_NO_CLIPPING)
        integer("check_every", self.check_every, least=1)
        integer("history", self.history, least=8)
        number("divergence_factor", self.divergence_factor, above=1.0)
        integer("divergence_patience", self.divergence_patience, least=1)
        one_of("diagnosis", self.diagnosis, ("trial_end", "search_end", "off"))
        number("diagnosis_seconds", self.diagnosis_seconds, above=0.0)
        if self.hopeless_after is not None:
            integer("hopeless_after", self.hopeless_after, least=2, way_out="None never ends it.")
        if self.trial_seconds is not None:
            number("trial_seconds", self.trial_seconds, above=0.0, way_out="None is no limit.")
        boolean("isolate", self.isolate)
        if self.memory_limit is not None:
            integer("memory_limit", self.memory_limit, least=1, way_out="None is no limit.")
            rule = (
                "None without isolate=True or n_jobs, since only a process of its own can be"
                " limited"
            )
            own_process = self.isolate or self.n_jobs is not None
            require(own_process, "memory_limit", rule, self.memory_limit)
        if self.interruptions is not None:
            integer("interruptions", self.interruptions, least=1, way_out="None is no limit.")
        number("worker_silence", self.worker_silence, above=0.0)
        require(self.worker_silence >= 1, "worker_silence", ">= 1 (seconds)", self.worker_silence)
        if self.n_jobs is not None:
            whole = isinstance(self.n_jobs, int) and not isinstance(self.n_jobs, bool)
            fits = self.n_jobs == "auto" or (whole and (self.n_jobs == -1 or self.n_jobs >= 1))
            rule = "an int >= 1, -1, 'auto' or None"
            require(fits, "n_jobs", rule, self.n_jobs, "None runs one trial after the other.")
        one_of("sanitize", self.sanitize, ("fix", "warn", "off"))
        rule, way_out = "a set of hyperparameter names", 'For example {"lr"}.'
        keep = collection("keep", self.keep, str, rule, way_out, error=ValueError)
        object.__setattr__(self, "keep", frozenset(keep))
        boolean("probe", self.probe)
        number("probe_seconds", self.probe_seconds, above=0.0)
        boolean("avoid_unstable", self.avoid_unstable)
        rule, way_out = "a tuple of texts", 'For example ("first_project",).'
        prior = collection("prior_searches", self.prior_searches, str, rule, way_out)
        object.__setattr__(self, "prior_searches", prior)
        share("free_share", self.free_share)

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
        instance("policy", policy, cls, "a robusttune.Policy or None", "None is the default.")
        return policy
