"""How often a training that does not learn is named, and how often a healthy one is left alone.

    python -m evaluation.stall --out open.jsonl            # the open half
    python -m evaluation.stall --only xor                  # programs whose name has that text
    python -m evaluation.stall --diagnose                  # also what robusttune.diagnose says
    python -m evaluation.stall --sealed --out sealed.jsonl # the other half: once, at the end
    python -m evaluation.stall --show open.jsonl           # the table of an earlier run

A program that fails is right where the cause is one of its labels; `top-1` counts the cause alone,
silence counts as wrong. A healthy program is right where nothing is said.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SEED = 1


def main() -> None:
    """Run what is asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="programs whose name has this text")
    parser.add_argument("--misses", type=Path, help="only what was not right in this file")
    parser.add_argument("--sealed", action="store_true", help="the sealed half")
    parser.add_argument("--healthy", action="store_true", help="healthy programs only")
    parser.add_argument("--failing", action="store_true", help="failing programs only")
    parser.add_argument("--diagnose", action="store_true", help="also robusttune.diagnose")
    parser.add_argument("--out", type=Path, help="a JSON line a program; those in it are skipped")
    parser.add_argument("--show", type=Path, help="only print the table of this file")
    arguments = parser.parse_args()
    rows = _read(arguments.show) if arguments.show else _run(arguments)
    print(_table(rows))


def _read(path: Path | None) -> list[dict[str, Any]]:
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def _run(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    from evaluation.stall_corpus import is_sealed, programs

    rows = _read(arguments.out)
    misses = {row["name"] for row in _read(arguments.misses) if not _is_right(row)}
    done = {row["name"] for row in rows}
    for program in programs():
        wanted = arguments.only in program.name and is_sealed(program.name) == arguments.sealed
        kind = arguments.failing if not program.truth else arguments.healthy
        if arguments.misses is not None and program.name not in misses:
            continue
        if not wanted or kind or program.name in done:
            continue
        row = _tried(program, diagnose=arguments.diagnose)
        rows.append(row)
        if arguments.out:
            with arguments.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
        print(
            f"{row['name']}: {row['truth']} -> {row['cause']} ({row['seconds']:.1f} s)", flush=True
        )
    return rows


def _tried(program: Any, *, diagnose: bool) -> dict[str, Any]:
    """Train a program under Guard, and say what that says."""
    import keras

    import robusttune

    policy = keras.config.dtype_policy()
    keras.utils.clear_session()
    keras.utils.set_random_seed(SEED)
    guard, error, record = robusttune.Guard(), None, None
    try:
        setup = program.make(False)
        fit = dict(setup.fit)
        callbacks = [guard, *fit.pop("callbacks", [])]
        setup.model.fit(setup.x, setup.y, **{"verbose": 0, **fit}, callbacks=callbacks)
        record = guard.record
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"[:200]
        guard.release()
    finally:
        keras.config.set_dtype_policy(policy)
    row: dict[str, Any] = {
        "name": program.name,
        "truth": list(program.truth),
        "cause": None if record is None or record.cause is None else str(record.cause),
        "others": [] if record is None else [str(cause) for cause in record.other_causes],
        "symptom": None if record is None or record.symptom is None else str(record.symptom),
        "grounds": None if record is None else record.evidence.get("grounds"),
        "advice": None if record is None else record.advice,
        "skill": getattr(record, "skill", None),
        "seconds": 0.0 if record is None else record.evidence.get("diagnosis_seconds", 0.0),
        "error": error,
    }
    if diagnose and error is None:
        row["diagnose"] = _diagnosed(program)
    return row


def _diagnosed(program: Any) -> str | None:
    import keras

    import robusttune

    keras.utils.clear_session()
    keras.utils.set_random_seed(SEED)
    setup = program.make(False)
    try:
        record = robusttune.diagnose(setup.model, setup.x, setup.y)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:100]
    return None if record.cause is None else str(record.cause)


def _is_right(row: Mapping[str, Any]) -> bool:
    return row["cause"] in (row["truth"] or (None,))


def _table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the counts, and each program that is not right."""
    rows = list(rows)
    failing = [row for row in rows if row["truth"]]
    healthy = [row for row in rows if not row["truth"]]
    right = [row for row in failing if row["cause"] in row["truth"]]
    silent = [row for row in failing if row["cause"] in (None, "unknown")]
    alarms = [row for row in healthy if row["cause"] is not None]
    wrong = [row for row in failing if row not in right and row not in silent]
    lines = [
        f"failing {len(failing)}: right {len(right)}, silent {len(silent)}, wrong {len(wrong)}"
        f" (top-1 {len(right) / max(len(failing), 1):.1%})",
        f"healthy {len(healthy)}: false alarms {len(alarms)}",
    ]
    seconds = sorted(row["seconds"] for row in rows if row["cause"] is not None)
    if seconds:
        median, most = seconds[len(seconds) // 2], seconds[int(0.95 * (len(seconds) - 1))]
        lines.append(f"seconds a diagnosis: median {median:.2f}, 95 % {most:.2f}")
    by_cause = collections.Counter(row["truth"][0] for row in failing)
    for cause, count in by_cause.most_common():
        hits = sum(row["truth"][0] == cause for row in right)
        lines.append(f"  {cause}: {hits} of {count}")
    for title, some in (("silent", silent), ("wrong", wrong), ("false alarm", alarms)):
        lines += [f"{title}: {row['name']} {row['truth']} -> {row['cause']}" for row in some]
    agreed = [row for row in rows if "diagnose" in row]
    if agreed:
        same = sum(row["diagnose"] == row["cause"] for row in agreed)
        lines.append(f"diagnose agrees with Guard in {same} of {len(agreed)}")
    lines += [f"raised: {row['name']} {row['error']}" for row in rows if row["error"]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
