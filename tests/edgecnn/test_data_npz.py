import zipfile

import numpy as np
import pytest

from edgecnn.data.npz import read_npz
from edgecnn.errors import DatasetError


def test_read_npz_gives_both_parts_and_labels(npz, arrays):
    dataset = read_npz(npz)
    assert dataset.labels == ("cat", "dog", "owl")
    assert (dataset.train.sources == arrays["x_train"]).all()
    assert (dataset.test.targets.ids == arrays["y_test"]).all()


def test_read_npz_numbers_classes_when_there_are_no_labels(write_npz, arrays):
    assert read_npz(write_npz(**arrays)).labels == ("0", "1", "2")


def test_read_npz_splits_a_fifth_off_when_there_is_no_test_part(write_npz, arrays):
    dataset = read_npz(write_npz(x_train=arrays["x_train"], y_train=arrays["y_train"]))
    assert (len(dataset.train), len(dataset.test)) == (18, 6)


@pytest.mark.parametrize("shape", [(24, 1), (24,)], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint64", ">i2"])
def test_read_npz_takes_class_ids_of_every_integer_dtype(write_npz, arrays, shape, dtype):
    y_train = arrays["y_train"].astype(dtype).reshape(shape)
    assert (read_npz(write_npz(**{**arrays, "y_train": y_train})).train.targets.ids == arrays["y_train"]).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_read_npz_takes_channels(write_npz, arrays, channels):
    colored = {key: np.stack([value] * channels, -1) if key[0] == "x" else value for key, value in arrays.items()}
    assert read_npz(write_npz(**colored)).train.sources.shape == (24, 8, 8, channels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.zeros((24, 8, 8))}, r"x_train: expected uint8 .* received float64 \(24, 8, 8\)"),
        ({"x_train": np.zeros((24, 8, 8), np.uint16)}, "received uint16"),
        ({"x_train": np.zeros((24, 64), np.uint8)}, r"received uint8 \(24, 64\)"),
        ({"x_train": np.zeros((24, 8, 8, 4), np.uint8)}, r"received uint8 \(24, 8, 8, 4\)"),
        ({"x_train": np.zeros((24, 0, 8), np.uint8)}, "at least one image"),
        ({"x_train": np.zeros((0, 8, 8), np.uint8), "y_train": np.zeros(0, int)}, "at least one image"),
        ({"y_train": np.zeros(24)}, r"y_train: expected integer class ids.* received float64"),
        ({"y_train": np.eye(24, 3, dtype=int)}, r"received int64 \(24, 3\)"),
        ({"y_train": np.zeros(24, bool)}, "received bool"),
        ({"y_train": np.zeros(23, int)}, "received 24 x_train and 23 y_train"),
        ({"y_train": np.tile([0, 1, -1], 8)}, "expected class ids from 0, received -1"),
        ({"y_train": np.tile([0, 1, 3], 8)}, "expected an image of each of the 4 classes, received none of '2'"),
        ({"y_train": np.full(24, 2**63, np.uint64)}, "without gaps, received 9223372036854775808"),
        ({"y_train": np.zeros(24, int)}, "at least 2 classes, received 1"),
        ({"y_test": np.full(9, 3)}, "y_test: expected the 3 classes of y_train, received class 3"),
        ({"x_test": np.zeros((9, 8, 9), np.uint8)}, r"x_test: expected images of \(8, 8\), received \(8, 9\)"),
        ({"labels": np.array(["cat", "dog"])}, "expected class ids below 2, the labels, received 2"),
        ({"labels": np.array(["cat", "dog", "owl", "emu"])}, "received none of 'emu'"),
        ({"labels": np.array(["cat", "dog", "cat"])}, "unique and not empty"),
        ({"labels": np.array(["cat", "dog", ""])}, "unique and not empty"),
        ({"labels": np.array([1, 2, 3])}, r"labels: expected text, one name a class, received int64 \(3,\)"),
    ],
)
def test_read_npz_names_what_is_wrong(write_npz, arrays, change, message):
    with pytest.raises(DatasetError, match=rf"set\.npz: .*{message}") as caught:
        read_npz(write_npz(**{**arrays, **change}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["x_train", "y_train", "x_test", "y_test"])
def test_read_npz_names_a_missing_array(write_npz, arrays, missing):
    del arrays[missing]
    with pytest.raises(DatasetError, match=rf"set\.npz: .*{missing} missing"):
        read_npz(write_npz(**arrays))


@pytest.mark.filterwarnings("ignore:zipfile")
@pytest.mark.parametrize("key", ["x_train", "labels"])
def test_read_npz_runs_no_pickle(write_npz, arrays, key):
    with pytest.raises(DatasetError, match=r"set\.npz: expected an \.npz file of plain arrays"):
        read_npz(write_npz(**{**arrays, key: np.array([print, None, {}], object)}))


@pytest.mark.parametrize("kept", [0, 1, 4, 100, 0.5, 0.99])
def test_read_npz_refuses_a_truncated_file(npz, kept):
    whole = npz.read_bytes()
    npz.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(DatasetError, match=r"set\.npz: expected an \.npz file") as caught:
        read_npz(npz)
    assert "\n" not in str(caught.value)


def test_read_npz_refuses_flipped_bits(npz):
    data = bytearray(npz.read_bytes())
    data[500] ^= 1  # in x_train, whose checksum the archive holds
    npz.write_bytes(data)
    with pytest.raises(DatasetError, match=r"set\.npz: .*CRC"):
        read_npz(npz)


def test_read_npz_refuses_an_array_that_is_larger_than_the_memory(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("x_train.npy", "w") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": (2**22, 2**12, 2**12)}
        )
    with pytest.raises(DatasetError, match=r"bomb\.npz: "):
        read_npz(path)


@pytest.mark.parametrize("name", ["missing.npz", "."])
def test_read_npz_refuses_what_is_no_file(tmp_path, name):
    with pytest.raises(DatasetError, match=r"expected an \.npz file, received (no file|a folder)"):
        read_npz(tmp_path / name)


def test_read_npz_refuses_a_single_array(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    with pytest.raises(DatasetError, match="received a single array"):
        read_npz(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "header", [b"{'descr': (((\n", b"{'descr': '|u1', 'shape': (2, , 1)\n", b"\xff" * 9, b"[" * 9000]
)
def test_read_npz_refuses_an_array_whose_header_cannot_be_read(tmp_path, header):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x_train.npy", b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(DatasetError, match=r"a\.npz: expected an \.npz file of plain arrays"):
        read_npz(tmp_path / "a.npz")
