"""TrialRecord: its JSON is strict, small and read back equal, and bad JSON gets a clear error."""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

import robusttune
from robusttune import FailureCause, TrialRecord
from robusttune._records import MAX_BYTES

JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(evidence=st.dictionaries(st.text(), JSON_LIKE), params=st.dictionaries(st.text(), JSON_LIKE))
def test_record_round_trips(evidence: dict[str, Any], params: dict[str, Any]) -> None:
    """Whatever the evidence is, the record reads back equal, from JSON that any parser takes."""
    record = TrialRecord(trial_id="7", status="failed", evidence=evidence, params=params)
    text = record.to_json()
    json.loads(text, parse_constant=lambda token: pytest.fail(f"{token} is not JSON"))
    assert TrialRecord.from_json(text) == record


@given(st.text() | st.binary())
def test_record_from_garbage_is_a_value_error(text: Any) -> None:
    """Nothing but ValueError, whatever is read."""
    try:
        TrialRecord.from_json(text)
    except ValueError as error:
        assert "Not a trial record" in str(error)  # noqa: PT017 - only what raises is looked at


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"trial_id": 7},
        {"trial_id": "7", "status": "odd"},
        {"trial_id": "7", "cause": ["unsafe_loss"]},
        {"trial_id": "7", "confidence": 2},
        {"trial_id": "7", "epoch": "first"},
        {"trial_id": "7", "unstable": 1},
        {"trial_id": "7", "evidence": []},
        {"trial_id": "7", "other_causes": [[]]},
    ],
)
def test_record_from_wrong_json(body: Any) -> None:
    """Valid JSON that is no record gets a clear error."""
    with pytest.raises(ValueError, match="Not a trial record"):
        TrialRecord.from_json(json.dumps(body))


def test_record_of_a_later_version_is_read() -> None:
    """Fields that this version does not know are ignored."""
    assert TrialRecord.from_json('{"trial_id": "7", "colour": "red"}').trial_id == "7"


def test_record_from_the_future_keeps_what_it_says() -> None:
    """A cause or symptom of a later version reads as unknown, its text kept in the evidence."""
    body = {
        "schema": 9,
        "trial_id": "7",
        "unstable": True,
        "symptom": "melted",
        "cause": "cosmic_rays",
        "other_causes": ["unsafe_loss", "sabotage"],
        "evidence": {"flux": 3},
        "spin": [1, 2],
    }
    record = TrialRecord.from_json(json.dumps(body))
    assert (record.cause, record.symptom) == (FailureCause.UNKNOWN, None)
    assert record.other_causes == (FailureCause.UNSAFE_LOSS,)
    later = {"symptom": "melted", "cause": "cosmic_rays", "other_causes": ["sabotage"]}
    assert record.evidence == {"flux": 3, "later_version": later}
    assert TrialRecord.from_json(record.to_json()) == record


@pytest.mark.parametrize(
    ("record", "status"),
    [
        (TrialRecord(trial_id="7", evidence={"pid": 7}), "running"),
        (TrialRecord(trial_id="7", status="completed", value=0.5, seconds=2.0), "completed"),
        (TrialRecord(trial_id="7", status="completed", seconds=2.0), "completed"),
        (TrialRecord(trial_id="7", status="failed", cause="crashed", unstable=True), "failed"),
        (
            TrialRecord(trial_id="7", cause="crashed", unstable=True, value=1.0, seconds=2.0),
            "completed",
        ),
    ],
)
def test_what_is_stored_has_no_status(record: TrialRecord, status: str) -> None:
    """The host's own state is the truth; a record alone shows what it can, in few bytes."""
    text = record.to_stored_json()
    assert not {"status", "error", "other_causes"} & set(json.loads(text))
    assert TrialRecord.from_json(text) == record.replace(status=status)


def test_one_place_makes_records() -> None:
    """All but the records that are read back come from TrialRecord.of."""
    made = []
    for path in Path(robusttune.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "TrialRecord":
                made.append((path.name, node.lineno))
    assert made == []


@pytest.mark.parametrize("field", ["value", "seconds", "seconds_saved"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_record_has_no_unusable_value(field: str, value: float | None) -> None:
    """The objective and the times are finite or absent, and the record reads back."""
    record = TrialRecord(trial_id="7", **{field: value})  # type: ignore[arg-type]
    assert getattr(record, field) is None
    assert TrialRecord.from_json(record.to_json()) == record


def test_record_json_has_a_limit() -> None:
    """What does not fit is left out, the largest first, and named."""
    evidence = {"losses": list(range(64)), "huge": "x" * 200_000, "large": ["y" * 100] * 500}
    text = TrialRecord(trial_id="7", evidence=evidence).to_json()
    assert len(text.encode()) <= MAX_BYTES
    kept = TrialRecord.from_json(text).evidence
    assert "losses" in kept
    assert "huge" in kept["left_out"] or len(kept["huge"]) < 200_000


def test_record_takes_what_numpy_gives() -> None:
    """NumPy scalars and arrays become plain numbers and lists."""
    record = TrialRecord(
        trial_id="7",
        evidence={"a": np.float32(0.5), "b": np.arange(3), "c": np.array([np.nan]), "d": {1, 2}},
    )
    assert record.evidence == {"a": 0.5, "b": [0, 1, 2], "c": ["nan"], "d": [1, 2]}


def test_record_takes_lone_surrogates() -> None:
    """File names may hold what UTF-8 does not have."""
    text = TrialRecord(trial_id="7", error="no such file \udcff").to_json()
    assert TrialRecord.from_json(text.encode()).error == "no such file ?"
    assert TrialRecord(trial_id="7", params={"\udcff": 1}).to_json().encode()


@pytest.mark.parametrize("field", ["error", "advice"])
def test_record_texts_are_one_short_line(field: str) -> None:
    """An exception or advice of several lines is folded, and cut where it would not fit."""
    record = TrialRecord(trial_id="7", **{field: "a\n  b\tc"})  # type: ignore[arg-type]
    assert getattr(record, field) == "a b c"
    assert len(TrialRecord(trial_id="7", **{field: "x" * 100_000}).to_json()) < 4_000  # type: ignore[arg-type]


def test_record_error_has_no_colours() -> None:
    """Keras prints the exceptions of layers in bold."""
    assert TrialRecord(trial_id="7", error="\x1b[1mInput 0\x1b[0m is bad").error == "Input 0 is bad"


def test_record_error_has_no_control_characters() -> None:
    """A NUL would end a cell of the CSV, and is not allowed in HTML."""
    record = TrialRecord(trial_id="7", error="ValueError: a\0b\x07 \x1b c\x7f\x9b")
    assert record.error == "ValueError: ab c"


@pytest.mark.parametrize(
    "text",
    [
        "\n" * 2_000_000,
        "a" + " " * 2_000_000 + "b",
        "[[{{node " * 200_000,
        "Detected at node 'x' defined at (most recent call last): File \"" * 40_000,
        "\x1b[0" * 500_000,
    ],
    ids=["newlines", "spaces", "nodes", "stacks", "colours"],
)
def test_record_takes_an_error_of_megabytes(text: str) -> None:
    """The time that a long text takes grows with its length, not with the square of it."""
    assert len(TrialRecord(trial_id="7", error=text).error or "") <= 2_000


def test_record_is_frozen() -> None:
    """A record does not change; `replace` makes another."""
    record = TrialRecord(trial_id="7")
    with pytest.raises(AttributeError):
        record.status = "failed"  # type: ignore[misc]
    assert record.replace(status="failed").status == "failed"


def test_record_keeps_what_happened_and_not_tensorflows_stack() -> None:
    """The stack in the message would be longer than what is kept, and the point comes last."""
    stack = "".join(f'  File "/some/where/{n}.py", line {n}, in call\n\n' for n in range(100))
    text = (
        "InvalidArgumentError: Graph execution error:\n\nDetected at node loss/Xent defined at"
        f" (most recent call last):\n{stack}Received a label value of 9.\n"
        "\t [[{{node loss/Xent}}]] [Op:__inference_538]"
    )
    record = TrialRecord(trial_id="0", error=text)
    expected = "InvalidArgumentError: Graph execution error: Received a label value of 9."
    assert record.error == expected
    assert TrialRecord(trial_id="0", error=expected).error == expected
