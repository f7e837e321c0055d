import pytest

from edgecnn.models import CATALOG
from edgecnn.models.published import build_reckoning, published_reckoning

SMALL = [name for name, spec in CATALOG.items() if spec.parameters < 2_000_000]


def test_published_holds_every_row_of_the_catalogue_and_its_parameters():
    for name, spec in CATALOG.items():
        tree = published_reckoning(name)
        assert (tree["parameters"], tree["trainable_parameters"]) == (spec.parameters, spec.trainable_parameters), name
        assert sum(layer["parameters"] for layer in tree["layers"]) == spec.parameters, name


@pytest.mark.parametrize(
    "name", [name if name in SMALL else pytest.param(name, marks=pytest.mark.slow) for name in CATALOG]
)
def test_published_is_what_the_network_gives(name):
    assert published_reckoning(name) == build_reckoning(name)
