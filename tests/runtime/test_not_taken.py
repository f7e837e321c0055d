import io

import pytest
from PIL import Image

from edgecnn_runtime.errors import ImageError
from edgecnn_runtime.images import open_image
from edgecnn_runtime.sources import iter_sources

URLS = ["http://h/a.png", "https://h/a.jpg?size=3&x=[1]", "s3://b/k.png", "gs://b/k.png", "ftp://h/a.png"]
STREAMS = ["rtsp://user:pw@camera/1", "RTMP://h/live", "udp://@:1234", "https://h/film.mp4?x=*"]


def message_of(source):
    """What a source is answered with: a failure of its own, or what opening it raises."""
    (found,) = iter_sources([source])
    if hasattr(found, "message"):
        return found.message
    with pytest.raises(ImageError) as raised:
        open_image(found.image)
    return str(raised.value)


@pytest.fixture
def picture_bytes():
    stream = io.BytesIO()
    Image.new("L", (4, 3)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("source", URLS)
def test_a_url_is_not_fetched_and_the_message_says_so(source):
    message = message_of(source)
    assert message.startswith(f"{source}: expected")
    assert "received a URL, and nothing is fetched" in message


@pytest.mark.parametrize("source", [*STREAMS, "0", "12", "/dev/video7"])
def test_a_stream_or_a_camera_is_answered_with_how_to_save_frames(source):
    assert "which is not read. Save frames of it, for example with `ffmpeg -i" in message_of(source)


def test_a_file_url_and_a_data_url_say_what_to_give():
    assert "Give the path alone" in message_of("file:///home/a.png")
    assert "received a data URL" in message_of("data:image/png;base64,iVBORw0KGgo" + "A" * 5000)


@pytest.mark.parametrize("name", ["0", "http:", "a.mp4"])
def test_a_picture_is_answered_whatever_its_name(folder, picture_bytes, name):
    (folder / name).write_bytes(picture_bytes)
    assert open_image(name).size == (4, 3)


@pytest.mark.parametrize("suffix", ["mp4", "avi", "mov", "mkv", "webm", "ts"])
def test_a_file_that_is_called_a_video_is_one_unless_it_is_a_picture(folder, suffix):
    (folder / f"a.{suffix}").write_bytes(b"what video files hold")
    assert "received a video, which is not read. Save frames of it" in message_of(f"a.{suffix}")


@pytest.mark.parametrize(
    "head", [b"\0\0\0\x20ftypisom", b"RIFF\x10\0\0\0AVI LIST", b"\x1a\x45\xdf\xa3\x9f", b"\0\0\0\x08wide", b"FLV\x01"]
)
def test_a_video_is_known_by_its_first_bytes_too(head):
    with pytest.raises(ImageError, match="received a video"):
        open_image(head)


def test_a_missing_file_stays_a_missing_file():
    assert message_of("missing.mp4") == "missing.mp4: expected a readable image file: No such file or directory"
    assert message_of("1234567.png").endswith("No such file or directory")


def test_a_folder_of_videos_says_how_to_save_frames(folder):
    (folder / "d").mkdir()
    (folder / "d/a.MP4").touch()
    assert "received 1 others: 1 .mp4. Save frames" in message_of("d")
