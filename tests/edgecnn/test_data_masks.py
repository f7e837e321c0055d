import logging
import re
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.cli.pictures import MaskFolder
from edgecnn.data.faults import Faults
from edgecnn.data.load import load_dataset, read_dataset
from edgecnn.data.mask_files import read_levels
from edgecnn.data.masks import read_masks
from edgecnn.data.targets import Masks
from edgecnn.errors import DatasetError
from edgecnn_runtime.images import open_image
from edgecnn_runtime.tasks.segmentation import Segmentation

SHARED = Path(__file__).parents[3] / "shared" / "data"
HEIGHT, WIDTH = 6, 8
VOC = {"images": "JPEGImages", "masks": "SegmentationClass"}


def checks(*values):
    """A mask of so many values in turn."""
    return np.resize(np.array(values, np.uint8), (HEIGHT, WIDTH))


@pytest.fixture
def write(tmp_path):
    """Writes pictures and masks: `write({"a": checks(0, 1)})`; a mask is an array, a Pillow image, or None for none."""

    def write(masks, *, images="images", folder="masks", root=None):
        root = root or tmp_path / "set"
        for index, (name, mask) in enumerate(masks.items()):
            image, path = root / images / f"{name}.png", root / folder / f"{name}.png"
            for place in (image, path):
                place.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (WIDTH, HEIGHT), (index, len(str(image)), 0)).save(image)
            if mask is not None:
                (mask if isinstance(mask, Image.Image) else Image.fromarray(mask)).save(path)
        return root

    return write


def palette_mask(values, colors):
    mask = Image.fromarray(values).convert("P")
    mask.putdata(values.ravel().tolist())
    mask.putpalette([level for color in colors for level in color])
    return mask


def truths(dataset):
    """The class maps of all parts, in the order of their pictures' names."""
    samples = dataset.select("all")
    order = sorted(range(len(samples)), key=lambda index: samples.sources[index])
    return [samples[index][1] for index in order]


def stems(dataset):
    return sorted(source.stem for source in dataset.select("all").sources)


def refused(root, *, skip_bad=False):
    with pytest.raises(DatasetError) as caught:
        load_dataset(str(root), skip_bad=skip_bad)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_black_and_white_masks_are_two_classes(write):
    dataset = load_dataset(str(write({"a": checks(0, 255), "b": checks(255)})))
    assert dataset.labels == ("class 0", "class 1")
    assert [truth.tolist() for truth in truths(dataset)] == [checks(0, 1).tolist(), checks(1).tolist()]
    assert dataset.select("all").targets.counts(2).tolist() == [1, 2]


def test_the_values_of_a_mask_are_its_classes(write):
    dataset = load_dataset(str(write({"a": checks(0, 3), "b": checks(1)})))
    assert dataset.labels == ("class 0", "class 1", "class 2", "class 3")
    assert (truths(dataset)[0] == checks(0, 3)).all()


def test_the_numbers_of_a_palette_are_classes_and_its_colours_are_told(write):
    colors = [(0, 0, 0), (128, 0, 0), (0, 128, 0)]
    root = write({"a": palette_mask(checks(0, 2), colors), "b": palette_mask(checks(1), colors)})
    (root / "classes.txt").write_text("ground\ncat\ndog\n")
    faults = Faults()
    dataset = read_dataset(str(root), faults).dataset
    assert dataset.labels == ("ground", "cat", "dog")
    assert [np.unique(truth).tolist() for truth in truths(dataset)] == [[0, 2], [1]]
    (note,) = faults.notes
    assert note.message.endswith("ground is (0, 0, 0), cat is (128, 0, 0), dog is (0, 128, 0)")


def test_another_palette_is_told_and_its_numbers_count(write):
    root = write(
        {"a": palette_mask(checks(0, 1), [(0, 0, 0), (9, 0, 0)]), "b": palette_mask(checks(1), [(1, 1, 1)] * 2)}
    )
    faults = Faults()
    assert (truths(read_masks(root, faults))[1] == 1).all()
    assert [note.kind for note in faults.notes] == ["masks with another palette", "palettes"]


@pytest.mark.parametrize("name", ["classes.txt", "labels.txt"])
def test_a_text_file_names_classes_of_both_kinds_of_masks(write, name):
    root = write({"a": checks(0, 255), "b": checks(0)})
    (root / name).write_text("cell\nmembrane\n")
    dataset = load_dataset(str(root))
    assert dataset.labels == ("cell", "membrane")
    assert (truths(dataset)[0] == checks(0, 1)).all()


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("names: [a, b]\nignore: 255\n", ("a", "b"), [0, 1, 255]),
        ("classes: {0: a, 1: b}\nignore: [255]\n", ("a", "b"), [0, 1, 255]),
        ("names: {1: b}\nignore: [0, 255]\n", ("b",), [255, 0, 255]),
        ("names:\n  255: c\n  0: a\n  1: b\n", ("a", "b", "c"), [0, 1, 2]),
    ],
)
def test_a_yaml_file_names_values_and_says_which_say_nothing(write, text, labels, expected):
    root = write({"a": checks(0, 1, 255), "b": checks(1)})
    (root / "names.yaml").write_text(text)
    dataset = load_dataset(str(root))
    assert dataset.labels == labels
    assert (truths(dataset)[0] == checks(*expected)).all()


@pytest.mark.parametrize("names", [None, "cell\nwall\n"])
@pytest.mark.parametrize("values", [(0, 90, 255), (0, 90, 200)])
def test_a_smoothed_mask_among_black_and_white_ones_is_the_one_that_is_refused(write, names, values):
    masks = {"a": checks(0, 255), "b": checks(*values), "c": checks(255), "d": checks(0)}
    root = write(masks)
    if names:
        (root / "classes.txt").write_text(names)
    said = refused(root)
    assert said.startswith(f"{root}/masks/b.png: expected the values 0, 255")
    assert f"received {', '.join(map(str, values))}" in said
    assert "ignore" not in said
    dataset = load_dataset(str(root), skip_bad=True)
    assert stems(dataset) == ["a", "c", "d"]
    assert dataset.labels == (("cell", "wall") if names else ("class 0", "class 1"))


@pytest.mark.parametrize("names", [None, "a\nb\n"])
def test_255_beside_other_classes_is_refused_where_nobody_says_what_it_is(write, names):
    root = write({"a": checks(0, 1), "b": checks(0, 1, 255)})
    if names:
        (root / "classes.txt").write_text(names)
    said = refused(root)
    assert said.startswith(f"{root / 'masks' / 'b.png'}: expected the values 0, 1")
    assert "received 0, 1, 255. If nothing is said where 255 stands, write `ignore: 255` in a YAML file" in said


def test_values_that_no_class_has_are_refused_and_left_out_by_skip_bad(write, caplog):
    root = write({"a": checks(0, 1), "b": checks(0, 7), "c": checks(1)})
    (root / "classes.txt").write_text("a\nb\n")
    assert refused(root) == (f"{root}/masks/b.png: expected the values 0, 1 ({root}/classes.txt), received 0, 7")
    dataset = load_dataset(str(root), skip_bad=True)
    assert stems(dataset) == ["a", "c"]
    assert "left out 1 masks with values of no class" in caplog.text


def turned(size):
    exif = Image.Exif()
    exif[0x0112] = 6
    return Image.new("RGB", size), exif


def test_a_mask_has_the_size_of_the_displayed_picture(write):
    root = write({"a": Image.fromarray(checks(0, 255).reshape(WIDTH, HEIGHT)), "b": checks(0)})
    image, exif = turned((WIDTH, HEIGHT))
    image.save(root / "images" / "a.png", exif=exif)
    assert truths(load_dataset(str(root)))[0].shape == (WIDTH, HEIGHT)
    Image.fromarray(checks(0, 255)).save(root / "masks" / "a.png")
    said = refused(root)
    assert said.startswith(f"{root}/masks/a.png: expected the size of a.png, 6 x 8 (width x height) as it is displayed")
    assert "received 8 x 6. If it is turned by EXIF, its mask is that of the picture as it is stored" in said


def test_a_mask_that_exif_turns_is_turned(write):
    root = write({"a": checks(0, 255).reshape(WIDTH, HEIGHT), "b": checks(0)})
    image, exif = turned((WIDTH, HEIGHT))
    image.save(root / "images" / "a.png", exif=exif)
    upright = np.zeros((WIDTH, HEIGHT), np.uint8)
    upright[0, 1:] = 255
    stored = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)  # what the turn undoes
    stored.save(root / "masks" / "a.png", exif=exif)
    assert (truths(load_dataset(str(root)))[0] == upright // 255).all()


def test_a_turn_that_cannot_be_read_turns_nothing_as_in_pictures(write):
    root = write({"a": checks(0, 255), "b": checks(0)})
    path = root / "masks" / "a.png"
    content, chunk = path.read_bytes(), b"eXIfrubbish"
    place = content.index(b"IDAT") - 4
    said = struct.pack(">I", 7) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(content[:place] + said + content[place:])
    assert open_image(path).size == (WIDTH, HEIGHT)
    assert (truths(load_dataset(str(root)))[0] == checks(0, 1)).all()


@pytest.mark.parametrize("classes", [2, 3, 86, 255])
def test_what_edgecnn_run_writes_as_masks_is_read_again(write, tmp_path, classes):
    root = write({"a": None, "b": None})
    labels = ("first\nline", *(f"name {number}" for number in range(1, classes)))
    folder = MaskFolder(root / "masks", [str(tmp_path / "x.png")], 1)
    maps = [np.resize(np.arange(classes, dtype=np.uint8), (HEIGHT, WIDTH)), checks(1)]
    for name, class_map in zip("ab", maps, strict=True):
        result = Segmentation(class_map, labels=labels, shape=class_map.shape, source=f"{name}.png")
        assert folder.saved(result, root / "images" / f"{name}.png") is result
    dataset = load_dataset(str(root))
    assert dataset.labels == ("first line", *labels[1:])
    assert all((truth == class_map).all() for truth, class_map in zip(truths(dataset), maps, strict=True))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_every_turn_of_a_mask_is_that_of_a_picture(write, orientation, mode):
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[:2, :3] = values[4, 1:] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    mask = Image.fromarray(values).convert(mode)
    if mode == "P":
        mask = palette_mask(values // 255, [(0, 0, 0), (255, 255, 255)])
    path = write({"a": mask}) / "masks" / "a.png"
    mask.save(path, exif=exif)
    assert ((read_levels(path).values > 0) == (np.asarray(open_image(path).convert("L")) > 0)).all()


def test_a_mask_of_another_size_is_refused(write):
    said = refused(write({"a": checks(0, 255), "b": checks(0)[:4]}))
    assert said.endswith("b.png: expected the size of b.png, 8 x 6 (width x height) as it is displayed, received 8 x 4")


def test_a_picture_without_mask_is_refused_and_left_out_by_skip_bad(write, caplog):
    root = write({"a": checks(0, 255), "b": None, "c": checks(0)})
    assert refused(root) == f"{root}/images/b.png: expected a mask b.png in {root}/masks, received none"
    assert len(load_dataset(str(root), skip_bad=True).select("all")) == 2
    assert "left out 1 pictures without masks" in caplog.text


def test_a_mask_without_picture_is_refused(write):
    root = write({"a": checks(0, 255), "b": checks(0)})
    (root / "images" / "b.png").unlink()
    assert refused(root) == f"{root}/masks/b.png: expected a picture 'b' in {root}/images, received none"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "CMYK"])
def test_a_mask_in_colour_without_a_palette_is_refused(write, mode):
    root = write({"a": checks(0, 255), "b": checks(0)})
    Image.new(mode, (WIDTH, HEIGHT)).save(root / "masks" / "b.png", format="TIFF")
    said = refused(root)
    assert said.startswith(f"{root}/masks/b.png: expected classes as gray levels or as numbers of a palette")
    assert f"mode {mode}" in said


@pytest.mark.parametrize("cut", [0, 30, 60])
def test_a_damaged_mask_is_refused_and_left_out_by_skip_bad(write, cut):
    root = write({"a": checks(0, 255), "b": np.random.default_rng(0).integers(0, 2, (HEIGHT, WIDTH), np.uint8)})
    damaged = root / "masks" / "b.png"
    damaged.write_bytes(damaged.read_bytes()[:cut])
    assert refused(root).startswith(f"{damaged}: ")
    assert len(load_dataset(str(root), skip_bad=True).select("all")) == 1


def test_where_nothing_is_left_the_folder_is_named(write):
    assert "expected pictures with masks, received none" in refused(write({"a": None}), skip_bad=True)


def test_masks_of_one_value_are_refused_unless_names_say_that_it_is_right(write):
    root = write({"a": checks(0), "b": checks(0)})
    assert "at least 2 classes, received the values 0 alone" in refused(root)
    (root / "classes.txt").write_text("a\nb\n")
    assert load_dataset(str(root)).select("all").targets.counts(2).tolist() == [2, 0]


def test_one_bit_and_sixteen_bits_are_levels_too(write):
    one_bit = Image.fromarray(checks(0, 255)).convert("1")
    wide = Image.fromarray(checks(0, 255).astype(np.uint16))
    dataset = load_dataset(str(write({"a": one_bit, "b": wide, "c": checks(0, 255)})))
    assert all((truth == checks(0, 1)).all() for truth in truths(dataset))


def test_sixteen_bits_above_255_are_refused(write):
    root = write({"a": checks(0, 255), "b": Image.fromarray(checks(0, 1).astype(np.uint16) * 4000)})
    assert refused(root) == f"{root}/masks/b.png: expected values from 0 to 255, received 4000"


def test_parts_lie_in_folders_above_or_below(write, tmp_path):
    for number, (images, folder) in enumerate([("{}/images", "{}/masks"), ("images/{}", "masks/{}")]):
        root = tmp_path / str(number)
        for part, count in (("train", 3), ("Valid", 2)):
            masks = {f"{part}{index}": checks(0, 255) for index in range(count)}
            write(masks, images=images.format(part), folder=folder.format(part), root=root)
        dataset = load_dataset(str(root))
        assert [(part.part, len(part)) for part in dataset.parts] == [("train", 3), ("val", 2)]
        assert not dataset.is_split


def test_a_part_without_masks_is_left_out_and_said_unless_it_is_the_one_to_learn_from(write, caplog):
    root = write({"a": checks(0, 255), "b": checks(0)}, images="val/images", folder="val/masks")
    for part in ("train", "test"):
        (root / part / "images").mkdir(parents=True)
        Image.new("L", (WIDTH, HEIGHT)).save(root / part / "images" / "c.png")
    expected = "expected masks/ beside the pictures of the {0} part, received none"
    assert refused(root) == f"{root}/train: {expected.format('train')}"
    (root / "train").rename(root / "other")
    faults = Faults()
    assert [part.part for part in read_dataset(str(root), faults).dataset.parts] == ["val"]
    assert faults.notes[0].message == f"{root}/test: {expected.format('test')}"
    assert f"{root}/test: {expected.format('test')}, so it is left out" in caplog.text


def test_without_parts_a_fifth_becomes_the_test_part(write):
    dataset = load_dataset(str(write({str(index): checks(0, 255) for index in range(10)})))
    assert [(part.part, len(part)) for part in dataset.parts] == [("train", 8), ("test", 2)]
    assert dataset.is_split


def test_pictures_beside_parts_are_refused(write):
    root = write({"a": checks(0, 255)})
    write({"b": checks(0, 255)}, images="images/train", folder="masks/train")
    assert "expected pictures, or folders train, val and test of them, received both" in refused(root)


def test_voc_takes_its_lists_and_ignores_255(write):
    colors = [(index, 0, 0) for index in range(255)] + [(224, 224, 192)]
    root = write(
        {name: palette_mask(checks(0, 2, 255), colors) for name in "abcd"}, images=VOC["images"], folder=VOC["masks"]
    )
    write({"e": None}, images=VOC["images"], folder=VOC["masks"])
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("b\na\n")
    (lists / "val.txt").write_text("c\n")
    faults = Faults()
    dataset = read_dataset(str(root), faults).dataset
    assert [(part.part, [source.stem for source in part.sources]) for part in dataset.parts] == [
        ("train", ["b", "a"]),
        ("val", ["c"]),
    ]
    assert (truths(dataset)[0] == checks(0, 2, 255)).all()
    assert dataset.train.targets.shown.tolist() == [[True, False, True]] * 2
    assert [note.kind for note in faults.notes] == ["labelled images in no part", "palettes"]
    assert "ignored is (224, 224, 192)" in faults.notes[-1].message
    (lists / "val.txt").write_text("e\n")
    assert "e.png: expected a mask e.png in" in refused(root)


def test_voc_without_lists_takes_what_has_a_mask(write):
    root = write({"a": checks(0, 1, 255), "b": None, "c": checks(0)}, images=VOC["images"], folder=VOC["masks"])
    dataset = load_dataset(str(root))
    assert stems(dataset) == ["a", "c"]


def test_voc_with_boxes_and_masks_gives_boxes_unless_masks_are_forced(write):
    root = write({"a": checks(0, 1), "b": checks(0)}, images=VOC["images"], folder=VOC["masks"])
    (root / "Annotations").mkdir()
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox>"
    (root / "Annotations" / "a.xml").write_text(f"<annotation><object><name>cat</name>{box}</object></annotation>")
    assert load_dataset(str(root)).labels == ("cat",)
    assert isinstance(load_dataset(f"masks:{root}").train.targets, Masks)


YAML = "train:\n  images: ../images/a\n  masks: masks/a\nval: {{images: images/b, masks: masks/b}}\n{names}\n"


def test_a_yaml_file_gives_the_folders_of_parts(write, caplog):
    root = write({"x": checks(0, 2), "y": checks(0)}, images="images/a", folder="masks/a")
    file = root / "masks.yaml"
    file.write_text(YAML.format(names="classes: {0: ground, 2: cat}"))
    for name in (root, file, f"masks:{root}", f"masks:{file}"):
        dataset = load_dataset(str(name))
        assert dataset.labels == ("ground", "cat")
        assert (truths(dataset)[0] == checks(0, 1)).all()
    assert f"{file}:4: left the val part out: there is no {root}/images/b" in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("names: [a, b]\ntrain: {images: x, masks: y}\n", ":2: expected a folder as images of train, received 'x'"),
        ("names: [a, b]\ntrain: {images: images}\nval: {masks: m}\n", ":2: expected the folders `images` and `masks`"),
        ("names: [a, a]\ntrain: {images: images, masks: masks}\n", ":1: expected names that are unique"),
        ("names: {0: a, 256: b}\ntrain: {images: images, masks: masks}", ":1: expected a value from 0 to 255"),
        ("names: {0: a, x: b}\ntrain: {images: images, masks: masks}", ":1: expected a value from 0 to 255"),
        ("names: [a]\nignore: 0\ntrain: {images: images, masks: masks}", ":2: expected values that no class has"),
        ("names: [a, b]\nclasses: [a]\ntrain: {images: images, masks: masks}", ":1: expected names or classes"),
        ("names: [a, b]\ntrain: {images: images, masks: masks}\n  x", ":3: expected YAML"),
    ],
)
def test_a_faulty_yaml_file_is_refused_with_its_line(write, text, said):
    root = write({"a": checks(0, 1), "b": checks(0)})
    (root / "data.yaml").write_text(text)
    assert f"data.yaml{said}" in refused(f"masks:{root / 'data.yaml'}")


def test_two_yaml_files_are_refused(write):
    root = write({"a": checks(0, 1), "b": checks(0)})
    for name in ("a.yaml", "b.yaml"):
        (root / name).write_text("names: [a, b]\n")
    assert "expected one YAML file with names, received a.yaml and b.yaml" in refused(root)


def test_equal_pictures_with_other_masks_are_told(write, caplog):
    root = write({"a": checks(0, 255), "b": checks(255, 0), "c": checks(0, 255)})
    for name in "bc":
        (root / "images" / f"{name}.png").write_bytes((root / "images" / "a.png").read_bytes())
    load_dataset(str(root))
    assert "1 with another mask (" in caplog.text
    assert "With another mask they teach a contradiction" in caplog.text


def test_the_fingerprint_is_of_pixels_and_classes_and_not_of_the_files_form(write, tmp_path):
    def fingerprint(name, masks, names="a\nb\n"):
        root = write(masks, root=tmp_path / name)
        for index, image in enumerate(sorted((root / "images").iterdir())):
            Image.new("RGB", (WIDTH, HEIGHT), (index, 0, 0)).save(image)
        (root / "classes.txt").write_text(names)
        dataset = load_dataset(str(root))
        assert load_dataset(dataset.location).fingerprint == dataset.fingerprint
        return dataset.fingerprint

    white = fingerprint("white", {"a": checks(0, 255), "b": checks(0)})
    colors = [(0, 0, 0), (5, 6, 7)]
    assert fingerprint("gray", {"a": checks(0, 1), "b": checks(0)}) == white
    assert fingerprint("colour", {"a": palette_mask(checks(0, 1), colors), "b": checks(0)}) == white
    assert fingerprint("other", {"a": checks(1, 0), "b": checks(0)}) != white
    assert fingerprint("all", {"a": checks(0, 1), "b": checks(1)}) != white
    assert fingerprint("names", {"a": checks(0, 1), "b": checks(0)}, "a\nc\n") != white


def test_a_mask_that_is_another_one_by_now_is_refused(write):
    dataset = load_dataset(str(write({"a": checks(0, 255), "b": checks(0)})))
    (source,) = dataset.train.sources
    Image.fromarray(checks(0, 3)).save(source.parents[1] / "masks" / source.name)
    with pytest.raises(DatasetError, match=rf"{source.name}: expected a mask as it was when the data were read"):
        dataset.train[0]


def test_masks_are_not_held_in_memory(write):
    side = 500
    mask = np.random.default_rng(0).integers(0, 2, (side, side), np.uint8)
    root = write({str(index): mask for index in range(12)})
    for image in (root / "images").iterdir():
        Image.new("L", (side, side)).save(image)
    load_dataset(str(root))  # whatever is imported
    tracemalloc.start()
    dataset = load_dataset(str(root))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < side * side  # one mask
    assert peak < 12 * side * side
    assert len(dataset.select("all")) == 12


needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not here")


@needs_shared
def test_membrane_is_two_classes():
    dataset = load_dataset(str(SHARED / "membrane"))
    assert dataset.labels == ("class 0", "class 1")
    share = np.mean([truth.mean() for truth in truths(dataset)])
    assert 0.75 < share < 0.80  # docs: a pixel accuracy of .78 is the majority class


@needs_shared
def test_coco128_has_masks_of_100_pictures(caplog):
    caplog.set_level(logging.ERROR)
    path = SHARED / "coco128" / "semantic_segmentation.yaml"
    assert "000000000540.jpg: expected a mask 000000000540.png in" in refused(path)
    dataset = load_dataset(str(path), skip_bad=True)
    samples = dataset.select("all")
    assert len(samples) == 100
    assert (len(dataset.labels), dataset.labels[:2], dataset.labels[-1]) == (130, ("unlabeled", "person"), "rug-merged")
    names = dict(re.findall(r"^  (\d+): (.+)$", path.read_text(), re.MULTILINE))
    for source, truth in (samples[index] for index in range(0, 100, 9)):
        with Image.open(path.parent / "masks" / "train2017" / f"{source.stem}.png") as mask:
            values = np.asarray(mask)
        for value in np.unique(values):
            assert {dataset.labels[class_id] for class_id in truth[values == value]} == {names[str(value)]}
