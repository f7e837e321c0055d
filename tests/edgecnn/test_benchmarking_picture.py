import io

from PIL import Image

from edgecnn.benchmarking.picture import IMAGE_SIZE, make_picture


def test_make_picture_gives_the_same_jpeg_every_time():
    with Image.open(io.BytesIO(make_picture())) as picture:
        assert (picture.height, picture.width, picture.format) == (*IMAGE_SIZE, "JPEG")
    assert make_picture() == make_picture()


def test_make_picture_gives_another_one_for_another_seed():
    assert make_picture(1) != make_picture(2)
