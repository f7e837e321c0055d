import pytest
import typer

from edgecnn.cli.options import read_batch, read_image_size


@pytest.mark.parametrize("text", ["64", "64,", "64,x", "0,64", "-1,64", "64,64,3", "64x64", ""])
def test_read_image_size_refuses_what_is_no_height_and_width(text):
    with pytest.raises(typer.BadParameter, match="H,W"):
        read_image_size(text)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "all", ""])
def test_read_batch_refuses_what_is_no_batch(text):
    with pytest.raises(typer.BadParameter, match="dynamic"):
        read_batch(text)
