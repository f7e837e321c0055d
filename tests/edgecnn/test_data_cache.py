import multiprocessing
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from edgecnn.data.cache import cached_pixels
from edgecnn.data.folders import read_folders
from edgecnn.data.npz import read_npz
from edgecnn.errors import DatasetError, WriteError
from edgecnn_runtime.manifest import ImageInput
from edgecnn_runtime.preprocessing import Preprocessor

INPUT = ImageInput(name="image", height=12, width=10, color="gray")


@pytest.fixture
def cache(tmp_path):
    """Makes or reads the cache of a data set's train part."""

    def make(dataset, image_input=INPUT, **options):
        (part,) = cached_pixels(
            [dataset.train], image_input, tmp_path / "cache", fingerprint=dataset.fingerprint, **options
        )
        return part.pixels

    return make


def test_cached_pixels_are_what_the_preprocessor_gives(npz, cache):
    dataset = read_npz(npz)
    pixels = cache(dataset)
    assert pixels.shape == (24, 12, 10, 1)
    for row, (source, _) in zip(pixels, dataset.train, strict=True):
        assert (row == Preprocessor(INPUT)(source)[0][0]).all()


def test_cached_pixels_are_read_only(npz, cache):
    assert not cache(read_npz(npz)).flags.writeable


def test_cached_pixels_are_made_once(npz, cache, tmp_path):
    cache(read_npz(npz))
    (path,) = (tmp_path / "cache").iterdir()
    made = path.stat().st_mtime_ns, path.stat().st_ino
    cache(read_npz(npz))
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == made


def test_cached_pixels_are_made_anew_for_another_input(npz, cache):
    dataset = read_npz(npz)
    assert cache(dataset).shape[3] == 1
    assert cache(dataset, replace(INPUT, color="rgb")).shape[3] == 3


def test_cached_pixels_are_made_anew_when_the_file_is_damaged(npz, cache, tmp_path):
    pixels = np.array(cache(read_npz(npz)))
    (path,) = (tmp_path / "cache").iterdir()
    path.write_bytes(path.read_bytes()[:200])
    assert (cache(read_npz(npz)) == pixels).all()


def test_cached_pixels_tell_how_many_images_are_done(npz, cache):
    seen = []
    cache(read_npz(npz), on_image=lambda *numbers: seen.append(numbers))
    assert seen == [(24, 24)]


def test_cached_pixels_name_a_broken_image(tmp_path, write_classes, cache):
    write_classes(tmp_path / "set", cat=5, dog=5)
    (tmp_path / "set" / "dog" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    with pytest.raises(DatasetError, match=r"^\S*/dog/3\.png: [^\n]*$"):
        cache(read_folders(tmp_path / "set"))


def spoil(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"\x89PNG\r\n\x1a\nhalf")


def test_cached_pixels_name_all_bad_pictures_of_all_parts_at_once(tmp_path, write_classes, caplog):
    for part in ("train", "val"):
        write_classes(tmp_path / "set" / part, cat=5, dog=25)
    spoil(tmp_path / "set", "train/cat/3.png", "val/dog/0.png", *(f"val/dog/{number}.png" for number in range(1, 24)))
    dataset = read_folders(tmp_path / "set")
    with pytest.raises(
        DatasetError, match=r"^25 of 60 pictures cannot be decoded, .*; and 22 more\. .*--skip-bad"
    ) as info:
        cached_pixels([dataset.train, dataset.val], INPUT, tmp_path / "cache", fingerprint=dataset.fingerprint)
    assert "train/cat/3.png: " in str(info.value)
    assert len([line for line in caplog.messages if ".png: the image is damaged" in line]) == 25
    assert {f"val/dog/{number}.png" for number in range(24)} < {
        line.partition("set/")[2].partition(": ")[0] for line in caplog.messages
    }


@pytest.mark.parametrize("again", [False, True], ids=["made", "read"])
def test_cached_pixels_leave_bad_pictures_black_and_keep_the_others_in_their_rows(tmp_path, write_classes, again):
    write_classes(tmp_path / "set", cat=5, dog=5)
    dataset = read_folders(tmp_path / "set")
    options = {"fingerprint": dataset.fingerprint, "skip_bad": True}
    good = cached_pixels([dataset.train], INPUT, tmp_path / "good", **options)[0].pixels
    spoil(tmp_path / "set", dataset.train.sources[2])
    for _ in range(1 + again):
        (part,) = cached_pixels([dataset.train], INPUT, tmp_path / "cache", **options)
    assert [(one.part, one.index, one.label) for one in part.bad] == [("train", 2, "cat")]
    assert part.pixels[2].max() == 0 < good[2].max()
    assert (np.delete(part.pixels, 2, axis=0) == np.delete(good, 2, axis=0)).all()
    with pytest.raises(DatasetError, match=part.bad[0].name):
        cached_pixels([dataset.train], INPUT, tmp_path / "cache", fingerprint=dataset.fingerprint)


def test_cached_pixels_name_the_file_when_the_disk_is_full(npz, cache, tmp_path, disk_with_room_for):
    with (
        disk_with_room_for(1000),
        pytest.raises(WriteError, match=r"cannot write \S*/cache/train-[0-9a-f]{16}\.npy: File too large"),
    ):
        cache(read_npz(npz))
    assert not any((tmp_path / "cache").iterdir())


def _make(npz, folder):
    dataset = read_npz(npz)
    cached_pixels([dataset.train], INPUT, folder, fingerprint=dataset.fingerprint)


def test_cached_pixels_are_whole_when_two_processes_make_them(npz, tmp_path, cache):
    context = multiprocessing.get_context("spawn")
    makers = [context.Process(target=_make, args=(npz, tmp_path / "cache")) for _ in range(2)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert [maker.exitcode for maker in makers] == [0, 0]
    assert [path.stat().st_size for path in (tmp_path / "cache").iterdir()] == [192 + 24 * (7 * 8 + 12 * 10)]
    assert cache(read_npz(npz)).max() > 200


def _npy(header):
    return b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header


DAMAGED = {
    "empty": b"",
    "header of half a tuple": _npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (24, 12, , 1), }\n"),
    "header of other text": _npy(b"{'descr': (((\n"),
    "of floats": _npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (24, 12, 10, 1), }\n") + bytes(8 * 24 * 120),
    "2^62 pictures": _npy(b"{'descr': '|u1', 'fortran_order': False, 'shape': (4611686018427387904, 12, 10, 1), }\n"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_cached_pixels_are_made_anew_where_their_file_is_damaged(npz, cache, tmp_path, damage):
    whole = np.array(cache(read_npz(npz)))
    (path,) = (tmp_path / "cache").glob("*.npy")
    path.write_bytes(DAMAGED[damage])
    again = cache(read_npz(npz))
    assert again.dtype == np.uint8
    assert (again == whole).all()


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "center_crop"])
def test_cached_parts_keep_where_each_image_lies(tmp_path, write_classes, resize):
    root = write_classes(tmp_path / "set", cat=2, dog=2)
    Image.new("RGB", (30, 17)).save(root / "dog" / "1.png")
    frames = [Image.new("RGB", (21, 40), (0, i, 0)) for i in range(3)]
    frames[0].save(root / "cat" / "2.gif", save_all=True, append_images=frames[1:])
    dataset = read_folders(root)
    image_input = replace(INPUT, resize=resize, pad_value=114 if resize == "letterbox" else None)
    if resize == "center_crop":
        image_input = replace(image_input, crop_fraction=0.875)
    for _ in range(2):  # made, and read again
        samples = dataset.select("all")
        (part,) = cached_pixels([samples], image_input, tmp_path / "cache", fingerprint=dataset.fingerprint)
        expected = [Preprocessor(image_input)(source)[1] for source, _ in samples]
        assert list(part.placements) == expected
    assert len(set(expected)) > 1
