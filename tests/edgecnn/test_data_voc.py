import os
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgecnn.data.faults import Faults
from edgecnn.data.load import load_dataset
from edgecnn.data.voc import read_voc
from edgecnn.errors import DatasetError, MissingDependencyError

SHARED = Path(__file__).parents[3] / "shared" / "data"
CAT = (1, 1, 20, 12)  # all of the picture, as VOC counts


def annotation(*objects, size=(20, 12), extra=""):
    """An annotation with its bndbox in lines 6, 10, ..."""
    marks = "".join(
        f"<object>\n<name>{name}</name>\n"
        f"<difficult>{int(name == 'dog')}</difficult>\n"
        f"<bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>\n"
        for name, *box in objects
    )
    width, height = size
    return f"<annotation>\n<size><width>{width}</width><height>{height}</height></size>\n{marks}{extra}</annotation>\n"


@pytest.fixture
def voc(tmp_path):
    """Writes a data set: `voc(a=annotation(...), b=None)`, b without XML file."""

    def write(root=tmp_path, annotations="Annotations", images="JPEGImages", **texts):
        (root / annotations).mkdir(parents=True, exist_ok=True)
        (root / images).mkdir(exist_ok=True)
        for index, (name, text) in enumerate(texts.items()):
            Image.new("RGB", (20, 12), (index, 0, 0)).save(root / images / f"{name}.png")
            if text is not None:
                (root / annotations / f"{name}.xml").write_text(text)
        return root

    return write


def parts_of(root, **names):
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for part, listed in names.items():
        (root / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(listed))


def test_a_box_from_1_to_the_width_is_the_whole_picture(voc):
    (objects,) = read_voc(voc(a=annotation(("cat", *CAT)))).select("all").targets.images
    assert objects.boxes.tolist() == [[0, 0, 20, 12]]
    assert objects.boxes.dtype == np.float32


def test_flags_and_sorted_labels(voc):
    dataset = read_voc(voc(a=annotation(("dog", *CAT), ("cat", 2, 3, 9.5, 10))))
    (objects,) = dataset.select("all").targets.images
    assert dataset.labels == ("cat", "dog")
    assert (objects.class_ids.tolist(), objects.difficult.tolist()) == ([1, 0], [True, False])
    assert objects.boxes[1].tolist() == [1, 2, 9.5, 10]


@pytest.mark.parametrize("name", ["labels.txt", "classes.txt"])
def test_a_labels_file_gives_the_order(voc, name):
    root = voc(a=annotation(("cat", *CAT)))
    (root / name).write_text("owl\ncat\n\n")
    assert read_voc(root).labels == ("owl", "cat")


@pytest.mark.parametrize("folders", [("annotations", "images"), (".", "."), ("Annotations", "JPEGImages")])
def test_read_voc_takes_the_usual_folders(voc, folders, tmp_path):
    root = voc(tmp_path / "set", *folders, a=annotation(("cat", *CAT)), b=annotation(("cat", *CAT)))
    assert len(load_dataset(str(root)).select("all")) == 2


def test_read_voc_takes_a_folder_a_part(voc, tmp_path):
    for count, part in enumerate(("train", "valid", "test"), start=1):
        voc(tmp_path / part, ".", ".", **{f"{part}{i}": annotation(("cat", *CAT)) for i in range(count)})
    assert [(part.part, len(part)) for part in load_dataset(str(tmp_path)).parts] == [
        ("train", 1),
        ("val", 2),
        ("test", 3),
    ]


def test_read_voc_takes_parts_from_lists_in_their_order(voc):
    root = voc(**{name: annotation(("cat", *CAT)) for name in "abcd"})
    parts_of(root, train=["c", "a"], val=["b"])
    dataset = read_voc(root, faults := Faults())
    assert [path.stem for path in dataset.train.sources] == ["c", "a"]
    assert [path.stem for path in dataset.val.sources] == ["b"]
    assert [fault.message for fault in faults.notes] == [f"{root}/ImageSets/Main: 1 labelled images are in no list"]


def test_images_without_labels_are_counted_and_have_no_objects(voc):
    dataset = read_voc(voc(a=annotation(("cat", *CAT)), b=None, c=annotation()), faults := Faults())
    assert [len(image) for image in dataset.select("all").targets.images] == [1, 0, 0]
    assert [fault.message.rpartition("/")[2] for fault in faults.notes] == [
        "b.png: has no XML file, so it shows no objects"
    ]


def test_the_part_of_a_person_is_no_object(voc):
    part = "<part><name>head</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></part>"
    text = annotation(("cat", *CAT)).replace("</object>", f"{part}</object>")
    assert read_voc(voc(a=text)).labels == ("cat",)


@pytest.mark.parametrize("box", [(0, 0, 21, 13), (0, 1, 20, 12)])
def test_a_box_up_to_a_pixel_outside_is_cut(voc, box):
    (objects,) = read_voc(voc(a=annotation(("cat", *box)))).select("all").targets.images
    assert objects.boxes.tolist() == [[0, 0, 20, 12]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (annotation(("cat", 5, 5, 5, 9)), r"a\.xml:6: box of 'cat': expected xmin < xmax .*, received xmin 5"),
        (annotation(("cat", *CAT), ("cat", 9, 5, 4, 9)), r"a\.xml:10: box of 'cat': expected xmin < xmax"),
        (annotation(("cat", 1, 1, 22, 12)), r"a\.xml:6: box of 'cat': expected a box inside the image of 20 x 12"),
        (annotation(("cat", -1, 1, 9, 9)), r"a\.xml:6: .* received xyxy -2 0 9 9"),
        (annotation(("cat", 1, 1, "1e999", 9)), r"a\.xml:6: expected a number as xmax, received '1e999'"),
        (annotation(("cat", "nan", 1, 9, 9)), r"a\.xml:6: expected a number as xmin, received 'nan'"),
        (annotation(("cat", "", 1, 9, 9)), r"a\.xml:6: expected a number as xmin, received ''"),
        (annotation(("", *CAT)), r"a\.xml:3: expected an object with a name"),
        (annotation(extra="<object>\n<name>cat</name></object>"), r"a\.xml:3: expected a bndbox in the object"),
        (annotation(("cat", *CAT), size=(12, 20)), r"a\.xml:2: expected the size of a\.png, 20 x 12 .* stored"),
        (annotation(("cat", *CAT), size=(40, 24)), r"a\.xml:2: expected the size of a\.png, .* received 40 x 24$"),
        ("", r"a\.xml:1: expected XML of Pascal VOC, received no element found"),
        ("<annotation>\n<object>", r"a\.xml:2: expected XML"),
        ("<html></html>", r"a\.xml:1: expected the element 'annotation', received 'html'"),
        ("<annotation>" + "<a>" * 500_000, r"a\.xml:1: expected XML .*, received elements more than 20 deep"),
        ('<!DOCTYPE a [<!ENTITY b "x">]>\n<annotation>&b;</annotation>', r"a\.xml:1: expected XML without entities"),
        (
            '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>\n<annotation>&b;</annotation>',
            r"a\.xml:1: expected XML without entities",
        ),
    ],
)  # fmt: skip
def test_read_voc_refuses_with_file_and_line(voc, text, said):
    with pytest.raises(DatasetError, match=said) as caught:
        read_voc(voc(a=text))
    assert "\n" not in str(caught.value)


def test_read_voc_expands_no_bomb(voc):
    levels = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 30))
    root = voc(a=f'<!DOCTYPE a [<!ENTITY l0 "lol">{levels}]><annotation>&l29;</annotation>')
    with pytest.raises(DatasetError, match="EntitiesForbidden"):
        read_voc(root)


def test_read_voc_names_the_line_that_is_not_utf8(voc):
    root = voc(a=annotation(("cat", *CAT)))
    path = root / "Annotations" / "a.xml"
    path.write_bytes(path.read_bytes().replace(b"cat", b"c\xffat"))
    with pytest.raises(DatasetError, match=r"a\.xml:4: expected UTF-8, received the byte 0xff"):
        read_voc(root)


def test_read_voc_reads_much_text_in_little_pieces(voc):
    dataset = read_voc(voc(a=annotation(("cat", *CAT), extra="x<!-- -->" * 300_000)))  # minutes, if quadratic
    assert len(dataset.select("all")) == 1


def test_read_voc_refuses_a_list_that_names_a_missing_image(voc):
    root = voc(a=annotation(("cat", *CAT)))
    parts_of(root, train=["a", "", "b"])
    with pytest.raises(DatasetError, match=r"Main/train\.txt:3: no image 'b' in .*JPEGImages"):
        read_voc(root)


def test_read_voc_refuses_an_image_twice_in_a_list(voc):
    root = voc(a=annotation(("cat", *CAT)))
    parts_of(root, train=["a", "a"])
    with pytest.raises(DatasetError, match=r"train\.txt:2: expected each image once, received 'a' again"):
        read_voc(root)


def test_read_voc_refuses_labels_without_an_image(voc):
    root = voc(a=annotation(("cat", *CAT)))
    (root / "Annotations" / "b.xml").write_text(annotation())
    with pytest.raises(DatasetError, match=r"b\.xml:1: no image 'b' in"):
        read_voc(root)


def test_read_voc_refuses_a_class_that_train_does_not_have(voc):
    root = voc(a=annotation(("cat", *CAT)), b=annotation(("cat", *CAT), ("cart", *CAT)))
    parts_of(root, train=["a"], val=["b"])
    with pytest.raises(
        DatasetError, match=r"b\.xml:10: expected one of cat \(the classes of train in .*received 'cart'"
    ):
        read_voc(root)


def test_read_voc_refuses_a_photo_that_exif_turns_and_its_labels_do_not(voc):
    root = voc(a=annotation(("cat", *CAT)))
    turn = Image.Exif()
    turn[0x0112] = 6
    Image.new("RGB", (20, 12)).save(root / "JPEGImages" / "a.png", exif=turn)
    with pytest.raises(
        DatasetError, match=r"a\.xml:2: expected the size of a\.png, 12 x 20 .* remove the EXIF orientation"
    ):
        read_voc(root)
    (root / "Annotations" / "a.xml").write_text(annotation(("cat", 1, 1, 12, 20), size=(12, 20)))
    assert read_voc(root).select("all").targets.images[0].boxes.tolist() == [[0, 0, 12, 20]]


def test_faults_are_all_kept_and_left_out_on_demand(voc):
    good, empty, outside = ("cat", *CAT), ("cat", 5, 5, 5, 5), ("cat", 1, 1, 99, 12)
    root = voc(
        a=annotation(good, empty, outside), b="<annotation>", c=annotation(good, size=(9, 9)), d=annotation(good)
    )
    dataset = read_voc(root, faults := Faults(keep=True))
    assert [len(image) for image in dataset.select("all").targets.images] == [1, 1]
    assert Counter(fault.kind for fault in faults.errors) == {
        "boxes without area": 1,
        "boxes outside their image": 1,
        "annotations that cannot be read": 1,
        "images of another size than their labels say": 1,
    }


def test_skip_bad_says_what_is_left_out(voc, caplog):
    root = voc(a=annotation(("cat", *CAT), ("cat", 5, 5, 5, 5)), b=annotation(("cat", *CAT)))
    dataset = load_dataset(str(root), skip_bad=True)
    assert dataset.select("all").targets.counts(1).tolist() == [2]
    assert "left out 1 boxes without area: " in caplog.text


def test_a_picture_that_cannot_be_read_is_left_to_those_who_decode(voc):
    root = voc(a=annotation(("cat", *CAT)), b=annotation(("cat", *CAT)))
    (root / "JPEGImages" / "a.png").write_bytes(b"no picture")
    dataset = read_voc(root, faults := Faults())
    assert len(dataset.select("all")) == 2
    assert [fault.kind for fault in faults.notes] == ["pictures that cannot be read"]


def test_read_voc_says_what_to_install(voc, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "defusedxml", None)
    with pytest.raises(MissingDependencyError, match=r"defusedxml is not installed.*edgecnn\[evaluate\]"):
        read_voc(voc(a=annotation(("cat", *CAT))))


def test_read_voc_does_not_block_on_a_pipe(voc):
    root = voc(a=annotation(("cat", *CAT)))
    os.mkfifo(root / "Annotations" / "b.xml")
    assert len(read_voc(root).select("all")) == 1


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the data sets in ../shared/data")
@pytest.mark.parametrize(("name", "faulty"), [("raccoon", 0), ("bccd", 2)])
def test_read_voc_counts_what_element_tree_counts(name, faulty):
    dataset = read_voc(SHARED / name, faults := Faults(keep=True))
    assert len(faults.errors) == faulty
    expected, seen = Counter(), Counter()
    for file in (SHARED / name / "Annotations").glob("*.xml"):
        for found in ET.parse(file).getroot().iter("object"):
            box = [int(found.find("bndbox").findtext(corner)) for corner in ("xmin", "ymin", "xmax", "ymax")]
            if box[2] > box[0]:
                expected[file.stem, found.findtext("name"), box[0] - 1, box[1] - 1, box[2], box[3]] += 1
    for path, objects in (sample for part in dataset.parts for sample in part):
        for box, class_id in zip(objects.boxes.tolist(), objects.class_ids, strict=True):
            seen[path.stem, dataset.labels[class_id], *map(int, box)] += 1
    assert seen == expected
