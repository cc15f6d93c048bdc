"""Where the modules of 0.1 are now: each old name imports, warns, and goes in 0.3."""

from __future__ import annotations

# Got an underscore in front, and so did all that is in them.
_PRIVATE = [
    "causes",
    "data",
    "demo",
    "diagnosis",
    "error_kinds",
    "exception_causes",
    "files",
    "findings",
    "guard",
    "hopeless",
    "host",
    "isolation",
    "jobs",
    "learning",
    "machine",
    "notebook",
    "plain_fit",
    "policy",
    "prior_searches",
    "privacy",
    "processes",
    "random_states",
    "records",
    "regions",
    "report",
    "space",
    "trial_run",
]

# Modules of public packages that got one.
_PRIVATE_IN = {
    "executors": "dask handed_out interface loky places ray slurm worker",
    "optuna": (
        "callback dashboard distributions guard host objective optimize records results sampler"
        " search_end space space_code stored_names study_reader study_runner"
    ),
    "trackers": "contents mlflow wandb",
}

# Moved or renamed.
_RENAMED = {
    "arguments": "_validation",
    "diagnosis.bad_data": "_diagnosis.data.bad_data",
    "diagnosis.baseline": "_diagnosis.reference.baseline",
    "diagnosis.constants": "_diagnosis.reference.constants",
    "diagnosis.end_state": "_diagnosis.stalls.end_state",
    "diagnosis.facts": "_diagnosis.model.info",
    "diagnosis.forward": "_diagnosis.model.forward",
    "diagnosis.judge": "_diagnosis.diagnose_failure",
    "diagnosis.labels": "_diagnosis.data.labels",
    "diagnosis.limits": "_diagnosis.stalls.limits",
    "diagnosis.observe": "_diagnosis.model.observe",
    "diagnosis.quiet": "_diagnosis.stalls.detection",
    "diagnosis.reference_loss": "_diagnosis.reference.loss",
    "diagnosis.reference_net": "_diagnosis.reference.net",
    "diagnosis.siblings": "_diagnosis.related_trials",
    "diagnosis.signs": "_diagnosis.stalls.signs",
    "diagnosis.skill": "_diagnosis.reference.skill",
    "diagnosis.stalls": "_diagnosis.stalls.causes",
    "diagnosis.structure": "_diagnosis.model.structure",
    "diagnosis.unpaired": "_diagnosis.data.unpaired",
    "diagnosis.validation": "_diagnosis.data.validation",
    "diagnosis.weight_init": "_diagnosis.model.weight_init",
    "diagnosis.without_cure": "_diagnosis.stalls.without_cure",
    "guard.trace": "_diagnosis.trace",
    "learning.evidence": "_learning.permutation_test",
    "learning.lesson": "_learning.failure_model",
    "learning.model": "_learning.logistic",
    "optuna.lessons": "optuna._failure_model",
    "report.draw": "_report.svg",
    "report.locate": "_report.failure_regions",
    "report.search": "_report.search_data",
    "space.evidence": "_space.observed_roles",
    "stored": "_untrusted_json",
    "tuners": "_keras_tuner",
    "tuners.aside": "_keras_tuner.isolated_state",
    "tuners.at_once": "_keras_tuner.parallel.checks",
    "tuners.child": "_keras_tuner.isolation.child",
    "tuners.declarations": "_keras_tuner.hp_hooks",
    "tuners.distributed": "_keras_tuner.distributed.chief",
    "tuners.files": "_keras_tuner.project.files",
    "tuners.isolation": "_keras_tuner.isolation.process",
    "tuners.line_display": "_keras_tuner.parallel.line_display",
    "tuners.objective_reader": "_keras_tuner.project.objective_reader",
    "tuners.outcome": "_keras_tuner.isolation.run_result",
    "tuners.parallel": "_keras_tuner.parallel.search",
    "tuners.placed": "_keras_tuner.parallel.placement",
    "tuners.probe": "_keras_tuner.space.range_test",
    "tuners.project_reader": "_keras_tuner.project.reader",
    "tuners.resume": "_keras_tuner.project.resume",
    "tuners.runs": "_keras_tuner.project.run_markers",
    "tuners.search_space": "_keras_tuner.space.search_space",
    "tuners.snapshot": "_keras_tuner.parallel.snapshot",
    "tuners.space": "_keras_tuner.space.sanitizer",
    "tuners.space_code": "_keras_tuner.space.code",
    "tuners.stored_names": "_keras_tuner.project.stored_names",
    "tuners.stored_state": "_keras_tuner.project.stored_state",
    "tuners.stored_trials": "_keras_tuner.project.stored_trials",
    "tuners.witness": "_keras_tuner.space.build_probe",
    "tuners.worker": "_keras_tuner.distributed.worker",
}

# Old module -> new one, both without `robusttune.`. The longest name that fits counts.
MOVED_MODULES: dict[str, str] = {
    **{name: f"_{name}" for name in _PRIVATE},
    **{
        f"{package}.{name}": f"{package}._{name}"
        for package, names in _PRIVATE_IN.items()
        for name in names.split()
    },
    **_RENAMED,
}

# Names that are found elsewhere than in their module: old module -> name -> full new name.
MOVED_NAMES: dict[str, dict[str, str]] = {
    "diagnosis": {
        "Verdict": "robusttune._diagnosis.verdict.Verdict",
        "diagnose": "robusttune.diagnose",
        "diagnose_failure": "robusttune._diagnosis.diagnose_failure.diagnose_failure",
        "diagnose_stall": "robusttune._diagnosis.diagnose_failure.diagnose_stall",
    },
    "guard": {"Guard": "robusttune.Guard"},
    "privacy": {"shareable": "robusttune.trackers.shareable"},
    **{
        module: {name: f"robusttune.hosts.{name}" for name in names.split()}
        for module, names in {
            "host": "TrialHost",
            "trial_run": "NoObjectiveError RecordCallback TrialRun",
            "report.sources": "Host register",
            "report.search": "Search",
            "report.space_change": "Narrowing ProductBound SpaceChange",
        }.items()
    },
}
