"""Faults 15 to 18, 20 and 23: images that are none, that are bombs, or that come in every form there is."""

import io
import json
import os
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

# EXIF orientation -> what a camera held that way stores of the upright picture
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}

# Started from a small process: a child's peak is never below that of the process that started it.
PEAK_MEMORY = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print("peak kilobytes:", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def png_of_zeros(width, height):
    """A 1-bit PNG of any size, whose pixels are never held in memory."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(bytes(height * (1 + (width + 7) // 8)), 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def encoded(image, format, **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


@pytest.fixture
def digit(digits):
    """An upright digit with dark and bright parts, without symmetry."""
    return Image.open(digits / "7.png").convert("L").resize((28, 28), Image.Resampling.BILINEAR)


@pytest.fixture
def answers(edgecnn, model_file):
    """Runs on sources and returns the exit code and the answers by file name."""

    def run(*sources, **options):
        done = edgecnn("run", model_file, *sources, "--format", "json", "--top-k", "10", **options)
        entries = json.loads(done.stdout)
        return done.returncode, {os.path.basename(entry["source"]): entry for entry in entries}  # noqa: PTH119

    return run


def scores(entry):
    return {prediction["class"]: prediction["confidence"] for prediction in entry["predictions"]}


def test_run_reports_each_file_that_is_no_image_and_answers_the_others(answers, tmp_path, digit):
    png, jpeg = encoded(digit, "PNG"), encoded(digit, "JPEG")
    bad = {
        "empty.png": b"",
        "text.jpg": b"hello",
        "page.png": b"<html><body>404</body></html>",
        "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "document.jpg": b"%PDF-1.7\n",
        "script.bmp": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "phone.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        **{f"cut-{at}.png": png[:at] for at in range(1, len(png) - 12, len(png) // 12)},
        **{f"cut-{at}.jpg": jpeg[:at] for at in range(1, int(len(jpeg) * 0.95), len(jpeg) // 12)},
    }
    for name, content in {**bad, "good.png": png}.items():
        (tmp_path / name).write_bytes(content)
    code, entries = answers(tmp_path)
    assert code == 1
    assert {name for name, entry in entries.items() if "error" in entry} == set(bad)
    assert {entries[name]["error"]["kind"] for name in bad} == {"image"}
    assert entries["good.png"]["predictions"]


def test_run_takes_each_format_it_promises(answers, tmp_path, digit):
    for name, format, options in (
        ("a.png", "PNG", {}),
        ("b.bmp", "BMP", {}),
        ("c.webp", "WEBP", {"lossless": True}),
        ("d.jpg", "JPEG", {"quality": 95}),
        ("e.jfif", "JPEG", {"quality": 95}),
        ("f.jpe", "JPEG", {"quality": 95}),
        ("g.gif", "GIF", {}),
        ("h.tif", "TIFF", {}),
        ("i.avif", "AVIF", {"quality": 95}),
    ):
        (tmp_path / name).write_bytes(encoded(digit, format, **options))
    code, entries = answers(tmp_path)
    assert code == 0
    expected = scores(entries["a.png"])
    assert scores(entries["b.bmp"]) == expected
    assert scores(entries["c.webp"]) == expected
    assert scores(entries["g.gif"]) == expected
    assert scores(entries["h.tif"]) == expected
    for name in ("d.jpg", "e.jfif", "f.jpe", "i.avif"):
        assert scores(entries[name]) == pytest.approx(expected, abs=0.05)


def test_run_counts_what_it_leaves_out_of_a_folder_in_one_line(edgecnn, model_file, tmp_path, digit):
    for name in ("a.png", "@eaDir/b.png", ".git/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encoded(digit, "PNG"))
    for name in ("a.txt", "b.TXT", "c.mp4"):
        (tmp_path / name).touch()
    done = edgecnn("run", model_file, tmp_path, "--format", "json", "--save", tmp_path.parent / "saved")
    assert (done.returncode, len(json.loads(done.stdout))) == (0, 1)
    lines = [line for line in done.stderr.splitlines() if "left out" in line]
    assert lines == ["edgecnn: left out 2 .txt, 2 hidden or of the system, 1 .mp4"]


def test_run_goes_on_after_a_name_that_is_too_long_to_save(edgecnn, model_file, tmp_path, digit):
    long = tmp_path / ("x" * 255)
    for path in (long, tmp_path / "b.png"):
        path.write_bytes(encoded(digit, "PNG"))
    done = edgecnn("run", model_file, long, tmp_path / "b.png", "--format", "json", "--save", tmp_path / "saved")
    first, second = json.loads(done.stdout)
    assert done.returncode == 1
    assert (first["source"], first["error"]["kind"]) == (str(long), "write")
    assert second["predictions"]
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["b.png"]


def test_run_refuses_a_decompression_bomb_before_decoding_it(edgecnn, model_file, tmp_path):
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(png_of_zeros(13_000, 13_000))
    done = edgecnn("run", model_file, bomb, "--format", "json", wrapper=[sys.executable, "-c", PEAK_MEMORY])
    answers, peak = done.stdout.split("peak kilobytes: ")
    assert "megapixels" in json.loads(answers)[0]["error"]["message"]
    assert int(peak) < 160_000  # the decoded picture alone would take 169,000


def test_run_gives_every_form_of_a_picture_the_answer_of_its_upright_rgb_form(answers, tmp_path, digit):
    pixels = np.asarray(digit)
    rgb = Image.merge("RGB", (digit, digit, digit))
    opaque = Image.new("L", digit.size, 255)
    forms = {
        "rgb.png": encoded(rgb, "PNG"),
        "gray.png": encoded(digit, "PNG"),
        "16-bit.png": encoded(Image.fromarray(pixels.astype(np.uint16) * 257), "PNG"),
        "la.png": encoded(Image.merge("LA", (digit, opaque)), "PNG"),
        "rgba.png": encoded(Image.merge("RGBA", (digit, digit, digit, opaque)), "PNG"),
        "palette.png": encoded(digit.convert("P"), "PNG", transparency=255),
        "animated.webp": encoded(
            rgb, "WEBP", lossless=True, save_all=True, append_images=[Image.new("RGB", digit.size, "white")]
        ),
    }
    for orientation, turn in STORED.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = rgb if turn is None else rgb.transpose(turn)
        forms[f"exif-{orientation}.png"] = encoded(stored, "PNG", exif=exif)
    for name, content in forms.items():
        (tmp_path / name).write_bytes(content)
    code, entries = answers(tmp_path)
    assert code == 0
    expected = scores(entries["rgb.png"])
    assert {name: scores(entries[name]) for name in forms} == {
        name: pytest.approx(expected, abs=1e-5) for name in forms
    }


def test_run_gives_a_transparent_picture_the_answer_of_the_same_on_white(answers, tmp_path, digit):
    alpha = Image.fromarray(np.tri(28, dtype=np.uint8) * 255)
    on_white = Image.composite(digit, Image.new("L", digit.size, 255), alpha)
    Image.merge("LA", (digit, alpha)).save(tmp_path / "transparent.png")
    on_white.save(tmp_path / "white.png")
    _, entries = answers(tmp_path)
    assert scores(entries["transparent.png"]) == pytest.approx(scores(entries["white.png"]), abs=1e-3)


def test_run_gives_cmyk_and_1_bit_pictures_the_answer_of_their_rgb_form(answers, tmp_path, digit):
    bits = digit.point(lambda level: 255 * (level > 127), "1")
    bits.save(tmp_path / "bits.png")
    bits.convert("RGB").save(tmp_path / "bits-rgb.png")
    cmyk = Image.open(io.BytesIO(encoded(digit.convert("CMYK"), "JPEG", quality=100)))
    (tmp_path / "cmyk.jpg").write_bytes(encoded(digit.convert("CMYK"), "JPEG", quality=100))
    cmyk.convert("RGB").save(tmp_path / "cmyk-rgb.png")
    _, entries = answers(tmp_path)
    assert scores(entries["bits.png"]) == scores(entries["bits-rgb.png"])
    assert scores(entries["cmyk.jpg"]) == scores(entries["cmyk-rgb.png"])


def test_run_answers_or_reports_pictures_of_extreme_sizes(answers, tmp_path):
    sizes = {
        "one.png": (1, 1),
        "long.png": (65_500, 1),
        "tall.png": (1, 65_500),
        "none.png": (0, 0),
        "flat.png": (0, 9),
    }
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(png_of_zeros(*size))
    code, entries = answers(tmp_path)
    assert code == 1
    assert {name for name, entry in entries.items() if "error" in entry} == {"none.png", "flat.png"}
    assert entries["long.png"]["shape"] == [1, 65_500]


@pytest.fixture
def mixed_directory(tmp_path, digits):
    """A directory with everything that people have in directories, and the names to be answered, in order."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    content = (digits / "3.png").read_bytes()
    names = [b"10.png", b"2.PNG", b"a b.png", b"new\nline.png", "\U0001f600.png".encode(), b"not-\xff-utf8.png"]
    for name in [*names, b".hidden.png"]:
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:  # noqa: PTH123  (a name of bytes)
            file.write(content)
    (folder / "notes.txt").write_text("not an image")
    os.mkfifo(folder / "pipe.png")
    (folder / "gone.png").symlink_to(folder / "nothing.png")
    (folder / "sub").mkdir()
    (folder / "sub" / "loop").symlink_to(folder)
    (folder / "sub" / "z.png").write_bytes(content)
    return folder, sorted([*(os.fsdecode(name) for name in names), "sub/z.png"])


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_run_answers_the_images_of_a_mixed_directory_in_order(edgecnn, model_file, mixed_directory, format):
    folder, names = mixed_directory
    done = edgecnn("run", model_file, folder, "--format", format, text=False, errors=None)
    assert done.returncode == 0
    text = done.stdout.decode("utf-8")
    entries = json.loads(text) if format == "json" else [json.loads(line) for line in text.splitlines()]
    sources = [os.path.relpath(entry["source"], folder) for entry in entries]
    assert sources == [os.fsencode(name).decode("utf-8", "backslashreplace") for name in names]


def test_run_writes_one_line_an_image_in_text_whatever_its_name(edgecnn, model_file, mixed_directory):
    folder, names = mixed_directory
    done = edgecnn("run", model_file, folder)
    assert len(done.stdout.splitlines()) == len(names)


def test_run_names_an_unreadable_file_by_its_bytes(edgecnn, model_file, tmp_path):
    name = os.fsdecode(b"\xff.png")
    done = edgecnn("run", model_file, tmp_path / name, "--format", "json")
    assert done.returncode == 1
    assert json.loads(done.stdout)[0]["source"] == f"{tmp_path}/\\xff.png"


def test_run_reports_an_empty_directory_as_an_error(answers, tmp_path):
    code, entries = answers(tmp_path)
    assert code == 1
    assert entries[tmp_path.name]["error"]["kind"] == "image"


def test_run_never_reads_a_class_out_of_nan(tmp_path, model_file, restamp, edgecnn, digits):
    def damage(graph):
        bias = next(tensor for tensor in graph.graph.initializer if list(tensor.dims) == [10])
        values = np.frombuffer(bias.raw_data, np.float32).copy()
        values[3] = np.nan
        bias.raw_data = values.tobytes()

    done = edgecnn("run", restamp(model_file, tmp_path / "nan.onnx", graph=damage), digits, "--format", "json")
    assert done.returncode == 1
    entries = json.loads(done.stdout)
    assert [entry["error"]["kind"] for entry in entries] == ["invalid_output"] * 10
