"""The options of `edgecnn train` that say how to train; what they mean stands in `TrainConfig`."""

from typing import Annotated, Any, Literal

import typer

from edgecnn.augmentations import AUGMENTATIONS_TOLD


def read_names(text: str) -> tuple[str, ...]:
    """Reads names with commas between them.

    >>> read_names("shift, flip")
    ('shift', 'flip')
    """
    return tuple(name.strip() for name in text.split(","))


def read_sides(text: str) -> tuple[int, int]:
    """Reads two numbers of pixels with a comma between them.

    Raises:
        typer.BadParameter: they are no such numbers.

    >>> read_sides("320,608")
    (320, 608)
    """
    try:
        least, largest = map(int, text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"expected two numbers of pixels such as 320,608, received {text!r}") from error
    return least, largest


Epochs = Annotated[int, typer.Option(metavar="N", help="How often the train part is seen.")]
BatchSize = Annotated[int, typer.Option(metavar="N", help="Images a step.")]
LearningRate = Annotated[
    float | None, typer.Option(metavar="F", help="[default: the optimizer's, a tenth of it with --unfreeze-from]")
]
Optimizer = Annotated[Literal["sgd", "rmsprop", "adam"], typer.Option(help="sgd has momentum 0.9.")]
Schedule = Annotated[
    Literal["constant", "exponential", "cosine", "plateau"],
    typer.Option(help="How the rate goes over the epochs; plateau watches the validation part."),
]
WarmUp = Annotated[int, typer.Option(metavar="N", help="Let the rate grow over the first N batches.")]
Ema = Annotated[
    float | None,
    typer.Option(metavar="F", help="Validate and save a moving average of the weights, of this decay: .99 to .9999."),
]
Augment = Annotated[
    Any,  # a tuple of names or None; typer would ask for many options
    typer.Option(
        parser=read_names,
        metavar="NAMES",
        help=f"Names with commas, of {AUGMENTATIONS_TOLD}.",
    ),
]
Balance = Annotated[
    bool, typer.Option("--balance", help="Show rare classes as often as the largest, their repeats augmented.")
]
Weights = Annotated[
    str, typer.Option(metavar="none|imagenet|FILE", help="To begin with. FILE: .weights.h5, .keras, or Darknet's.")
]
Freeze = Annotated[Literal["backbone"] | None, typer.Option(help="Train the head alone, on --weights.")]
UnfreezeFrom = Annotated[
    int | None, typer.Option(metavar="N", help="Train from layer N of the backbone on, and the head, on --weights.")
]
Strategy = Annotated[Literal["none", "mirrored"], typer.Option(help="mirrored trains on every GPU, or on the CPU.")]
Classes = Annotated[int | None, typer.Option(metavar="N", help="Must be the data's. [default: the data's]")]
Validation = Annotated[
    float | None,
    typer.Option(
        metavar="F",
        help="Hold this part of train out, score it each epoch; 0 for none. [default: 0.1, or the data's val part]",
    ),
]
EarlyStopping = Annotated[
    int | None, typer.Option(metavar="N", help="End after N epochs without a better validation loss.")
]
ClassWeight = Annotated[
    float | None,
    typer.Option(
        metavar="F", help="Of a localizer: 0 to 1 of the loss is the class's, the rest the box's. [default: 0.8]"
    ),
]
MultiScale = Annotated[
    Any,  # two sides or None; typer would ask for two arguments
    typer.Option(
        parser=read_sides, metavar="A,B", help="Of a detector: every ten batches another size, its longer side A to B."
    ),
]
Window = Annotated[
    Any,  # two sides or None; typer would ask for two arguments
    typer.Option(
        parser=read_sides, metavar="H,W", help="Of a segmenter: learn from a part of each image, anywhere in it."
    ),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Go on without pictures that cannot be decoded; skipped.csv lists them.")
]
Seed = Annotated[int, typer.Option(metavar="N", help="Of weights, order, dropout, augmentation and the held-out part.")]
Tensorboard = Annotated[
    bool, typer.Option("--tensorboard", help="Write TensorBoard's event logs into RUN_DIR/tensorboard.")
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on with the run in RUN_DIR, or with the last one in runs/ that is not finished."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run that is in RUN_DIR.")]
