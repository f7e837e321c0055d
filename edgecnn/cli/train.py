"""`edgecnn train`: train a documented model into a run folder."""

from pathlib import Path
from typing import Annotated

import typer

from edgecnn.cli import training_options as options
from edgecnn.cli.options import DataOption, ImageSize, Width, complete_model_name
from edgecnn.cli.streams import say, stdout_for_results
from edgecnn.cli.tensorflow import load_tensorflow


def train(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A model of 'edgecnn models'.", autocompletion=complete_model_name)
    ],
    data: DataOption,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="RUN_DIR", help="Run folder to make. [default: runs/NAME-1, runs/NAME-2, ...]"
        ),
    ] = None,
    epochs: options.Epochs = 10,
    batch_size: options.BatchSize = 64,
    learning_rate: options.LearningRate = None,
    optimizer: options.Optimizer = "adam",
    schedule: options.Schedule = "constant",
    warm_up: options.WarmUp = 0,
    ema: options.Ema = None,
    augment: options.Augment = None,
    balance: options.Balance = False,
    weights: options.Weights = "none",
    freeze: options.Freeze = None,
    unfreeze_from: options.UnfreezeFrom = None,
    strategy: options.Strategy = "none",
    classes: options.Classes = None,
    image_size: ImageSize = None,
    width: Width = None,
    validation: options.Validation = None,
    early_stopping: options.EarlyStopping = None,
    class_weight: options.ClassWeight = None,
    multi_scale: options.MultiScale = None,
    window: options.Window = None,
    seed: options.Seed = 0,
    skip_bad: options.SkipBad = False,
    tensorboard: options.Tensorboard = False,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Train a documented model. Interrupted or killed, it goes on with --resume.

    Where no RUN_DIR is named, the run gets a folder of the next number in runs/, which is said.
    """
    with stdout_for_results() as results:
        from edgecnn.training import TrainConfig, check_before_training, train  # these load ONNX Runtime and numpy
        from edgecnn.training.numbered import run_place

        config = TrainConfig(
            model=name,
            data=data,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            learning_rate=learning_rate,
            schedule=schedule,
            warm_up=warm_up,
            ema=ema,
            augment=augment or (),
            balance=balance,
            weights=weights,
            freeze=freeze,
            unfreeze_from=unfreeze_from,
            strategy=strategy,
            num_classes=classes,
            image_size=image_size,
            width=1.0 if width is None else width,
            validation=validation,
            early_stopping=early_stopping,
            class_weight=class_weight,
            multi_scale=multi_scale,
            window=window,
            seed=seed,
        )
        with run_place(name, output, resume=resume, overwrite=overwrite) as run_dir:
            check_before_training(config, run_dir, resume=resume, overwrite=overwrite)
            if output is None:
                say(f"edgecnn: run folder {run_dir}")
            load_tensorflow()
            from edgecnn.cli.training_progress import format_epoch, training_progress

            how = {"resume": resume, "overwrite": overwrite, "skip_bad": skip_bad}
            with training_progress() as progress:
                result = train(config, run_dir, **how, tensorboard=tensorboard, callbacks=(), progress=progress)
        ending = ", stopped early" if result.stopped_early else ""
        ending += "" if result.best_epoch is None else f"; the best is epoch {result.best_epoch}"
        ending += f"; its mistakes: {', '.join(result.pictures)}" if result.pictures else ""
        results.report([f"{result.run_dir}: {format_epoch(result.history[-1], epochs)}{ending}"])
