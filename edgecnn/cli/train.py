"""`edgecnn train`: train a documented model into a run folder."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from edgecnn.cli.options import DataOption, ImageSize, Width
from edgecnn.cli.streams import stdout_for_results
from edgecnn.cli.tensorflow import load_tensorflow
from edgecnn.models import get_spec


def train(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model of 'edgecnn models'.")],
    data: DataOption,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="RUN_DIR", help="Run folder to make.")],
    epochs: Annotated[int, typer.Option(metavar="N", help="How often the train part is seen.")] = 10,
    batch_size: Annotated[int, typer.Option(metavar="N", help="Images a step.")] = 64,
    learning_rate: Annotated[float | None, typer.Option(metavar="F", help="[default: the optimizer's]")] = None,
    optimizer: Annotated[Literal["sgd", "rmsprop", "adam"], typer.Option(help="sgd has momentum 0.9.")] = "adam",
    image_size: ImageSize = None,
    width: Width = None,
    validation: Annotated[
        float | None, typer.Option(metavar="F", help="Hold this part of the train part out, score it each epoch.")
    ] = None,
    early_stopping: Annotated[
        int | None, typer.Option(metavar="N", help="End after N epochs without a better validation loss.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of weights, order, dropout and the held-out part.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run that is in RUN_DIR.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run that is in RUN_DIR.")] = False,
) -> None:
    """Train a documented model. Interrupted or killed, it goes on with --resume."""
    with stdout_for_results() as results:
        get_spec(name)  # an unknown name is said before TensorFlow's seconds
        load_tensorflow()
        from edgecnn.cli.training_progress import format_epoch, training_progress
        from edgecnn.training import TrainConfig, train

        config = TrainConfig(
            model=name,
            data=data,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            learning_rate=learning_rate,
            image_size=image_size,
            width=1.0 if width is None else width,
            validation=validation,
            early_stopping=early_stopping,
            seed=seed,
        )
        with training_progress() as progress:
            result = train(config, output, resume=resume, overwrite=overwrite, progress=progress)
        ending = ", stopped early" if result.stopped_early else ""
        results.line(f"{result.run_dir}: {format_epoch(result.history[-1], epochs)}{ending}")
