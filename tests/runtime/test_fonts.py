import os
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from edgecnn_runtime import fonts
from edgecnn_runtime.drawing import draw_lines
from edgecnn_runtime.errors import EdgeCNNError
from edgecnn_runtime.fonts import Typeface, legible
from edgecnn_runtime.tasks.classification import Classification

matplotlib = pytest.importorskip("matplotlib", reason="brings a font of many letters")
DEJAVU = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
NO_LETTER = "\uffff"
PERSIAN = "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627"  # a joiner keeps the two words apart


@pytest.fixture
def no_system_fonts(monkeypatch):
    monkeypatch.setattr(fonts, "fonts_here", list)


@pytest.fixture
def one_system_font(monkeypatch, tmp_path):
    """A system whose only font is DejaVu Sans, and not at the first place that is looked at."""
    (tmp_path / "text.ttf").write_text("no font")
    monkeypatch.setattr(fonts, "fonts_here", lambda: [str(tmp_path / "none.ttf"), str(tmp_path / "text.ttf"), DEJAVU])


def drawn(text, typeface):
    return np.asarray(draw_lines(Image.new("L", (400, 400)), [text], typeface=typeface))


def result(*labels):
    scores = np.linspace(0.75, 0.25, len(labels)).astype(np.float32)
    return Classification(scores, labels=labels, shape=(400, 400))


@pytest.mark.parametrize("make", [Typeface, lambda: Typeface(DEJAVU)], ids=["found", "named"])
@pytest.mark.usefixtures("one_system_font")
@pytest.mark.parametrize("letter", ["é", "ß", "Ж", "я", "Ω", "λ", "ש"])
def test_letters_are_drawn_as_themselves(make, letter):
    typeface = make()
    shapes = {text: drawn(text, typeface).tobytes() for text in (letter, "e", "Д", "Σ")}
    assert typeface.missing == ()
    shapes[NO_LETTER] = drawn(NO_LETTER, Typeface(DEJAVU)).tobytes()
    assert len(set(shapes.values())) == len(shapes)


@pytest.mark.usefixtures("one_system_font")
def test_a_letter_is_missing_where_freetype_has_no_glyph_for_it():
    """The oracle is the font's own table of characters, which the code never reads."""
    held = set(pytest.importorskip("matplotlib.ft2font").FT2Font(DEJAVU).get_charmap())
    random.seed(0)
    codes = random.sample([code for code in range(0x21, 0x3100) if chr(code).isprintable()], 600)
    typeface = Typeface(DEJAVU)
    for code in codes:
        typeface.at(20, chr(code))
    assert set(typeface.missing) == {chr(code) for code in codes if code not in held}
    assert 100 < len(typeface.missing) < 500


def test_ascii_is_drawn_with_pillows_own_font_on_every_machine():
    text = "cat_1 98.0%"
    assert Typeface().at(20, text).getname() == ImageFont.load_default(20).getname()


@pytest.mark.usefixtures("one_system_font")
def test_other_text_takes_a_font_of_the_system_that_has_it():
    typeface = Typeface()
    assert typeface.at(20, "café Ж").getname() == ("DejaVu Sans", "Book")
    assert typeface.at(20, "cat").getname() == ImageFont.load_default(20).getname()
    assert typeface.warning is None


@pytest.mark.usefixtures("no_system_fonts")
def test_without_a_system_font_the_letters_are_named():
    typeface = Typeface()
    typeface.at(20, "Жé cat Ж")
    assert typeface.missing == ("Ж", "é")
    assert "received none for Ж, é, which are drawn as boxes" in typeface.warning
    assert "--font" in typeface.warning


def test_matplotlibs_font_is_found_and_matplotlib_not_imported(run_python):
    code = """
        import sys
        from edgecnn_runtime import fonts
        fonts._WELL_KNOWN = ()
        print(fonts.Typeface().at(20, "Ж").getname()[0], "matplotlib" in sys.modules)
    """
    assert run_python(code).stdout == "DejaVu Sans False\n"


@pytest.mark.usefixtures("one_system_font")
def test_the_warning_of_many_letters_is_short():
    typeface = Typeface()
    typeface.at(20, "".join(map(chr, range(0x4E00, 0x4F00))))
    assert " and 236 more, " in typeface.warning


@pytest.mark.usefixtures("one_system_font")
def test_draw_says_which_letters_are_missing_once_a_call(caplog):
    result("ひまひ", "Ж").draw(Image.new("L", (400, 400)), limit=2)
    (record,) = caplog.records
    assert (record.levelname, record.name) == ("WARNING", "edgecnn_runtime.results")
    assert "received none for ひ, ま, which" in record.getMessage()


def test_draw_leaves_the_letters_to_a_typeface_of_the_callers(caplog):
    typeface = Typeface(DEJAVU)
    for label in ("ひ", "Ж", "ま"):
        result(label).draw(Image.new("L", (400, 400)), font=typeface)
    assert typeface.missing == ("ひ", "ま")
    assert caplog.records == []


def test_draw_takes_a_font_file():
    picture = Image.new("L", (400, 400))
    named, own = (np.asarray(result("cat").draw(picture, font=font)) for font in (DEJAVU, None))
    assert (named != own).any()


@pytest.mark.parametrize("control", ["\x1b[31m", "\x9b", "\u202e", "\x00", "\u2066"])
def test_controls_are_drawn_as_their_escapes(control):
    written = control.encode("unicode_escape").decode()
    assert (drawn(f"a{control}b", Typeface()) == drawn(f"a{written}b", Typeface())).all()


@pytest.mark.parametrize("space", ["\n", "\r\n", "\t", "\u2028", "\xa0", "\x0b"])
def test_a_label_stays_on_one_line(space):
    assert (drawn(f"a{space}b", Typeface()) == drawn("a b", Typeface())).all()


def test_letters_that_join_others_are_neither_escaped_nor_missing():
    typeface = Typeface(DEJAVU)
    assert legible(PERSIAN) == PERSIAN
    typeface.at(20, f"{PERSIAN}\ufe0f")
    assert typeface.missing == ()


def test_a_label_of_a_million_letters_is_cut():
    assert draw_lines(Image.new("L", (400, 400)), ["x" * 2_000_000]).size == (400, 400)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: None, "No such file"),
        (lambda path: path.mkdir(), "it is a directory"),
        (os.mkfifo, "not a regular file"),
        (lambda path: path.write_bytes(b""), "a file of 0 bytes"),
        (lambda path: path.write_bytes(b"text" * 99), "FreeType refuses"),
        (lambda path: path.write_bytes(Path(DEJAVU).read_bytes()[:99_999]), "FreeType refuses"),
    ],
    ids=["missing", "folder", "fifo", "empty", "text", "truncated"],
)
def test_what_is_no_font_is_refused_in_one_line(tmp_path, make, words):
    path = tmp_path / "font.ttf"
    make(path)
    with pytest.raises(ValueError, match=rf"font\.ttf: expected a font.*{words}") as raised:
        Typeface(path)
    assert "\n" not in str(raised.value)


def test_a_damaged_font_is_refused_or_draws(tmp_path):
    """Bits flipped anywhere: no crash, and no error but these."""
    whole = Path(DEJAVU).read_bytes()
    random.seed(1)
    ends = set()
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(random.choice([1, 20, 2000])):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        (tmp_path / "font.ttf").write_bytes(damaged)
        try:
            drawn("Жé cat 98.0%", Typeface(tmp_path / "font.ttf"))
            ends.add("drawn")
        except (ValueError, EdgeCNNError) as error:
            ends.add(type(error).__name__)
    assert ends >= {"drawn", "ValueError"}
