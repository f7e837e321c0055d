"""The documented models: the catalogue, and building one by name."""

from edgecnn.models.build import build_manifest, build_model, get_spec
from edgecnn.models.catalog import CATALOG
from edgecnn.models.spec import ModelSpec

__all__ = ["CATALOG", "ModelSpec", "build_manifest", "build_model", "get_spec"]
