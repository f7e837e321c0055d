"""What people name as a picture and is none: URLs, cameras, videos; each with what to do instead."""

import os
import re

# Bytes that begin a video, and at which place.
_VIDEO_STARTS = (
    *((4, kind) for kind in (b"ftyp", b"moov", b"mdat", b"wide", b"skip", b"free")),  # MP4, QuickTime
    (8, b"AVI "),
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska, WebM
    (0, b"FLV\x01"),
    (0, b"OggS"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # WMV
    (0, b"\0\0\x01\xba"),  # MPEG program stream
    (0, b"\0\0\x01\xb3"),  # MPEG video
)
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".asf", ".flv", ".mpg", ".mpeg", ".ogv", ".3gp"),
    *(".ts", ".mts", ".m2ts", ".h264", ".h265", ".mjpeg"),
)
_URL = re.compile("([a-z][a-z0-9+.-]+)://", re.IGNORECASE)  # of two letters at least: one is a drive
_STREAMS = frozenset(("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "udp", "tcp", "mms", "mmsh", "mmst"))
_CAMERA = re.compile("/dev/video[0-9]+|[0-9]{1,3}")


def why_not_taken(name: str) -> str | None:
    """Returns what was received in place of a path, and the cure; None for what may be a path.

    >>> why_not_taken("s3://photos/a.png")
    'received a URL, and nothing is fetched. Copy it to this machine and give its path.'

    Args:
        name: of which there is no regular file.
    """
    if _CAMERA.fullmatch(name):
        device = name if name.startswith("/") else f"/dev/video{name}"
        return f"received a camera, which is not read. {frames_cure(device)}"
    if name[:5].lower() == "data:":
        return "received a data URL. Decode it, and give its bytes on standard input, as the source -."
    found = _URL.match(name)
    if found is None:
        return None
    scheme = found[1].lower()
    if scheme in _STREAMS:
        return f"received a video stream, which is not read. {frames_cure(name)}"
    if scheme == "file":
        return "received a URL. Give the path alone, without file:// and with its characters unescaped."
    if is_video(b"", name.partition("?")[0]):
        return f"received the URL of a video, which is not read. {frames_cure(name)}"
    fetch = "Download it, for example with `curl -O`," if scheme in ("http", "https") else "Copy it to this machine"
    return f"received a URL, and nothing is fetched. {fetch} and give its path."


def is_video(head: bytes, name: str) -> bool:
    """Says whether a file that is no image is a video, by its first bytes or by its name."""
    starts = any(head[at:].startswith(start) for at, start in _VIDEO_STARTS)
    return starts or os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES  # noqa: PTH122  (a name of any length)


def frames_cure(name: str = "VIDEO") -> str:
    """Returns what to do with a video or a camera."""
    shown = name if len(name) <= 200 and name.isprintable() else "VIDEO"
    return (
        f"Save frames of it, for example with `ffmpeg -i {shown} -vf fps=1 frames/%06d.png`, and name their folder; or "
        "give Predictor.predict each frame as a uint8 array (H, W, 3) in RGB order."
    )
