"""`edgecnn feature-maps`: what a layer of a trained network sees in an image."""

import os
from pathlib import Path
from typing import Annotated

import typer

from edgecnn.cli.options import CheckpointOption, Imports
from edgecnn.cli.streams import stdout_for_results
from edgecnn.cli.tensorflow import load_tensorflow


def feature_maps(
    source: Annotated[
        Path,
        typer.Argument(metavar="RUN_DIR|MODEL.keras", help="What 'train' wrote; a .keras needs manifest.json beside."),
    ],
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Any image; it is prepared as on the device.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="MAPS.png", help="Picture to make or to replace.")],
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of 'edgecnn models NAME'. [default: the first convolution]")
    ] = None,
    channels: Annotated[int, typer.Option(min=1, metavar="N", help="Most maps that are drawn.")] = 64,
    checkpoint: CheckpointOption = None,
    imports: Imports = None,
) -> None:
    """Draw the activations of one layer for one image, a map a channel, each scaled on its own."""
    if output.suffix.lower() != ".png":
        raise typer.BadParameter(f"expected a name that ends in .png, received {output}.", param_hint="--output")
    with stdout_for_results() as results:
        from edgecnn.outputs import RUN_MANIFEST, Input, Output, check_outputs  # loads ONNX Runtime

        read = [Input("the source", source), Input("IMAGE", image)]
        read += [Input("the source", source.with_name(RUN_MANIFEST))] if os.path.isfile(source) else []  # noqa: PTH113
        check_outputs([Output("--output", output)], read)
        from edgecnn.trained import open_trained
        from edgecnn_runtime.images import open_image

        trained = open_trained(source, checkpoint=checkpoint)
        trained.check_imports(imports or ())
        open_image(str(image))
        load_tensorflow()
        from edgecnn.evaluation.feature_maps import feature_maps  # these load Keras and matplotlib
        from edgecnn.evaluation.map_grid import draw_feature_maps

        maps = feature_maps(trained.load(imports or ()), trained.manifest, str(image), layer=layer)
        draw_feature_maps(maps, output, channels=channels)
        height, width, count = maps.activations.shape
        shown = f"{min(count, channels)} of {count} channels of {height} x {width}"
        results.report([f"{output}: {maps.layer}, {shown}"])
