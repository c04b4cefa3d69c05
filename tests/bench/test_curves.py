import re

import numpy as np
import pytest

from optnas.bench.curves import load_curves
from optnas.errors import UsageError


def test_one_dimensional_arrays_are_costs(tmp_path):
    path = tmp_path / "curves.npz"
    np.savez(path, error=np.ones((3, 2), np.float32), macs=np.array([3, 2, 1]), x=np.zeros((3, 6), int))
    curves = load_curves(path)
    assert curves.error.dtype == np.float64
    assert set(curves.costs) == {"macs"}
    assert curves.cost_table(["macs"]).tolist() == [[3.0], [2.0], [1.0]]
    with pytest.raises(UsageError, match="costs: expected some of macs, got 'params'"):
        curves.cost_table(["params"])
    with pytest.raises(UsageError, match="costs: expected some of macs, got none"):
        curves.cost_table([])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"macs": np.ones(3)}, "expected an array `error` (network, epoch)"),
        ({"error": np.ones(3)}, "got (3,)"),
        ({"error": np.ones((0, 3))}, "got (0, 3)"),
        ({"error": np.full((2, 2), "a")}, "expected numbers in error"),
        ({"error": np.ones((2, 3)), "macs": np.ones(3)}, "expected 2 values of macs"),
        ({"error": np.ones((2, 3)), "macs": np.array([1, np.nan])}, "expected finite values of macs"),
        ({"error": np.array([[{}]], dtype=object)}, "expected an npz file of plain arrays"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, arrays, message):
    path = tmp_path / "curves.npz"
    np.savez(path, **arrays)
    with pytest.raises(UsageError, match=re.escape(message)) as raised:
        load_curves(path)
    assert "\n" not in str(raised.value)


def test_files_that_are_no_npz(tmp_path):
    with pytest.raises(UsageError, match="which is not there"):
        load_curves(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("epoch,error")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "single.npy", np.ones(3))
    for name in ("text.npz", "empty.npz", "single.npy"):
        with pytest.raises(UsageError, match="expected an npz file of plain arrays"):
            load_curves(tmp_path / name)
