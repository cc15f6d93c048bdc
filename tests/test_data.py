"""check_data: what it finds in arrays, frames, nested data and datasets."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from robusttune import DataError, FailureCause, check_data

RNG = np.random.default_rng(0)
CLEAN = RNG.normal(size=(50, 3))


def _with(value: float, row: int = 7, column: int = 1) -> np.ndarray:
    array = CLEAN.copy()
    array[row, column] = value
    return array


def test_clean_data_has_no_findings():
    """Standardized inputs and labels from 0 are left alone."""
    assert check_data(CLEAN, RNG.integers(0, 3, 50)) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_non_finite_cell_is_named(value):
    """The column and the row of a non-finite cell are in the finding."""
    (finding,) = check_data(_with(value))
    assert (finding.kind, finding.where, finding.columns) == ("non_finite", "x", (1,))
    assert (finding.rows, finding.first_rows) == (1, (7,))
    assert finding.cause is FailureCause.NON_FINITE_DATA


@pytest.mark.parametrize(
    ("x", "y", "kind", "where"),
    [
        (CLEAN * [1, 1, 500], None, "unscaled", "x"),
        (CLEAN * [1, 0, 1], None, "constant", "x"),
        (_with(1e39), None, "out_of_range", "x"),
        (np.array(["a", "b"]), None, "not_numeric", "x"),
        (np.empty((0, 3)), None, "empty", "x"),
        (pd.DataFrame(), None, "empty", "x"),
        (CLEAN, np.arange(49) % 2, "lengths_differ", "x and y"),
        (CLEAN, 1 + np.arange(50) % 3, "labels_not_from_zero", "y"),
        (CLEAN, np.where(np.arange(50) == 3, 0.0, 1.5 + CLEAN[:, 0] / 9), "zeros_in_targets", "y"),
        (CLEAN, np.where(np.arange(50) == 3, np.nan, CLEAN[:, 0]), "non_finite", "y"),
        (CLEAN, 300 + 50 * CLEAN[:, 0], "unscaled", "y"),
    ],
)
def test_each_kind_of_finding(x, y, kind, where):
    """Each fault gives its finding at its place, first in the list."""
    found = check_data(x, y)
    assert (found[0].kind, found[0].where) == (kind, where)
    assert str(found[0]).startswith(where)


def test_unscaled_columns_are_told_with_their_ratio():
    """Columns that differ by orders of magnitude are told so."""
    (finding,) = check_data(CLEAN * [1, 1, 1e5])
    assert finding.columns == (2,)
    assert "differ by a factor" in finding.message


@pytest.mark.parametrize(
    ("column", "dtype", "told"),
    [
        ([300, 280], "float16", "up to 290 where"),
        ([1e38, 1e38], "float32", "up to 1e+38 where"),
        ([1e38, 1e38], "float32", "by a factor of 1e+38"),
        ([1e200, 1e200], "float64", "by a factor of 1e+200"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_the_scale_of_large_values_is_told_as_a_number(column, dtype, told):
    """The square of such a value is beyond its type; the root mean square is not."""
    found = check_data(np.array([column, [1, -1]], dtype).T)
    (unscaled,) = [finding for finding in found if finding.kind == "unscaled"]
    assert told in unscaled.message


def test_a_frame_is_read_by_column_names():
    """Findings in a DataFrame name its columns; text columns are told apart."""
    frame = pd.DataFrame({"age": [30.0, np.nan, 50.0], "city": ["a", "b", "c"], "ok": [0.1, 1, -1]})
    found = {finding.kind: finding for finding in check_data(frame)}
    assert found["non_finite"].columns == ("age",)
    assert found["unscaled"].columns == ("age",)
    assert found["not_numeric"].where == "x['city']"


@pytest.mark.parametrize("names", [("a", "a"), (1, 0), (("a", 1), None)])
def test_any_names_of_columns_will_do(names):
    """Text columns are found by what they hold: names may come twice, and need be no strings."""
    found = check_data(pd.DataFrame([["x", 200.0], ["y", 400.0]], columns=list(names)))
    assert [finding.kind for finding in found] == ["not_numeric", "unscaled"]
    assert found[0].where == f"x[{names[0]!r}]"


def test_nested_inputs_are_named_by_their_paths():
    """Each array of a dict or tuple is checked under its own path."""
    (finding,) = check_data({"a": CLEAN, "b": (CLEAN, _with(np.nan))})
    assert finding.where == "x['b'][1]"


def test_a_list_of_rows_is_one_array():
    """Plain Python lists of rows are read as one array."""
    (finding,) = check_data([[1.0, 2.0], [float("nan"), 1.0]])
    assert (finding.where, finding.columns) == ("x", (0,))


def test_constant_border_pixels_are_no_finding():
    """Images have pixels that never change; only a wholly constant image set is told."""
    images = RNG.uniform(size=(20, 12, 12))
    images[:, 0, :] = 0
    assert check_data(images.reshape(20, -1)) == []


def test_batches_of_a_generator_are_sampled():
    """Batches of (x, y) are joined, and the bad row is found in the sample."""
    batches = ((_with(np.nan, row=1)[:10], np.zeros(10)) for _ in range(3))
    kinds = {finding.kind: finding for finding in check_data(batches)}
    assert kinds["non_finite"].rows == 3
    assert kinds["non_finite"].first_rows == (1, 11, 21)


def test_a_tf_dataset_is_sampled():
    """A tf.data.Dataset is read like a generator of batches."""
    tf = pytest.importorskip("tensorflow")
    data = tf.data.Dataset.from_tensor_slices((_with(np.inf), np.zeros(50))).batch(10)
    assert check_data(data)[0].first_rows == (7,)


def test_a_dataset_by_index_is_sampled():
    """What has items and a length is read like a dataset, as Keras's older sequences."""

    class Sequence:
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return _with(np.nan)[25 * index :][:25], np.zeros(25)

    assert check_data(Sequence())[0].first_rows == (7,)


def test_batches_of_sequences_have_a_length_each():
    """A batch is as long as its longest sequence, and its rows are counted all the same."""
    batches = [RNG.normal(size=(4, length, 2)) for length in (3, 7, 5)]
    batches[2][1, 0, 1] = np.nan
    (finding,) = check_data(batch for batch in batches)
    assert (finding.kind, finding.columns, finding.first_rows) == ("non_finite", (1,), (9,))


def test_a_dataset_that_is_not_in_batches_is_refused():
    """Rows and labels one by one would be taken for batches."""
    with pytest.raises(DataError, match="batches") as caught:
        check_data((row, row.sum()) for row in CLEAN)
    assert isinstance(caught.value, ValueError)  # as NumPy has it, for who catches that


def test_numbers_in_an_array_of_objects_are_told_from_words():
    """TensorFlow takes neither, and what helps is not the same."""
    advice = [check_data(np.array(x, dtype=object))[0].advice for x in ([1.0, 2.0], ["a", "b"])]
    assert ["astype" in text for text in advice] == [True, False]


def test_checking_arrays_loads_no_tensorflow():
    """check_data is NumPy only."""
    code = (
        "import numpy as np, sys; from robusttune import check_data;"
        "check_data(np.ones((4, 2)), np.ones(4)); sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
