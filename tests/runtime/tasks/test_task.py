import numpy as np
import pytest

from edgecnn_runtime.errors import OutputError
from edgecnn_runtime.tasks.task import check_finite


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("place", [0, 70_000, 99_999])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_check_finite_finds_one_number_among_many(value, place, dtype):
    values = np.full((10, 100, 100), -9, dtype)
    values.reshape(-1)[place] = value
    if np.isfinite(value):  # whose square is not
        check_finite("map", values)
        return
    with pytest.raises(OutputError, match="output 'map': expected finite numbers, received 1 NaN or infinite of 10000"):
        check_finite("map", values)


def test_check_finite_reads_a_column_as_it_lies():
    values = np.full((100_000, 7), np.nan, np.float32)
    values[:, 4] = 0
    check_finite("column", values[:, 4])
    with pytest.raises(OutputError, match="received 100000 NaN or infinite of 100000"):
        check_finite("column", values[:, 5])
