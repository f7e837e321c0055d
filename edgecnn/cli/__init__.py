"""The command line: the app, and the one place where an error becomes a line and an exit code."""

import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from edgecnn.cli.adopt import adopt
from edgecnn.cli.anchors import anchors
from edgecnn.cli.bench import bench
from edgecnn.cli.data import data
from edgecnn.cli.demo import demo
from edgecnn.cli.doctor import doctor
from edgecnn.cli.evaluate import evaluate
from edgecnn.cli.export import export
from edgecnn.cli.feature_maps import feature_maps
from edgecnn.cli.inspect import inspect
from edgecnn.cli.interrupts import INTERRUPTS
from edgecnn.cli.models import models
from edgecnn.cli.run import run
from edgecnn.cli.streams import LogLines, fill_standard_descriptors, say
from edgecnn.cli.train import train
from edgecnn.cli.verify import verify
from edgecnn.extras import EXTRAS, distribution_of, install_command

_LOST = "working directory was removed, so that relative paths lead nowhere"  # as the runtime says it

app = typer.Typer(
    name="edgecnn",
    rich_markup_mode=None,  # 0.11 s instead of 0.33 s for --help
    pretty_exceptions_enable=False,
    invoke_without_command=True,
)


def script() -> NoReturn:
    """Runs the command of `sys.argv` and ends the process: what the console script calls.

    After a signal it ends at once, with everything unwound: TensorFlow's threads still run then, and now and then one
    of them crashed the interpreter while it was shut down.
    """
    code = main()
    if INTERRUPTS.exit_code is None:
        sys.exit(code)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or nobody reads it any more
            stream.flush()
    os._exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    Errors of ours become one line on stderr; anything else keeps its traceback, because it is our bug.

    Args:
        arguments: without the program's name; `sys.argv` by default.

    Raises:
        SystemExit: the command ended itself, but not for a signal.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read by TensorFlow at its import
    fill_standard_descriptors()
    try:
        with INTERRUPTS.caught():
            return app(arguments, prog_name="edgecnn", standalone_mode=False) or 0
    except SystemExit:
        if INTERRUPTS.exit_code is None:
            raise
        return INTERRUPTS.exit_code
    except typer.TyperException as error:
        return _fail(f"{error.format_message().rstrip('.')}. Try '{_help_command(error)}'.", error.exit_code)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        return _fail(f"{distribution_of(package)} is not installed. Install it with: {install_command(package)}", 1)
    except Exception as error:
        if INTERRUPTS.exit_code is not None:
            return INTERRUPTS.exit_code
        from edgecnn_runtime.errors import EdgeCNNError  # loads the runtime, which --help must not

        if isinstance(error, EdgeCNNError):
            return _fail(str(error), error.exit_code)
        if isinstance(error, FileNotFoundError) and error.filename is None and _working_directory_is_lost():
            return _fail(f"{error.strerror}: it needs the working directory", 1)
        raise


@app.callback(epilog="Example: edgecnn demo")
def edgecnn(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say on stderr what each stage did.")] = False,
) -> None:
    """Train documented CNNs in Keras, export them to one verified ONNX file, and run it anywhere."""
    stderr = logging.StreamHandler(sys.stderr)
    stderr.setFormatter(LogLines())
    logging.basicConfig(handlers=[stderr])
    for package in ("edgecnn", "edgecnn_exporters", "edgecnn_runtime"):
        logging.getLogger(package).setLevel(logging.INFO if verbose else logging.WARNING)
    logging.getLogger("edgecnn_runtime.providers").setLevel(logging.INFO)  # device auto says once where it runs
    # which part of the data is taken, which checkpoint
    for said_once in ("edgecnn.data.parts", "edgecnn.training.holding_out", "edgecnn.trained"):
        logging.getLogger(said_once).setLevel(logging.INFO)
    if show_version:
        typer.echo(f"edgecnn {version('edgecnn')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


def _fail(message: str, exit_code: int) -> int:
    if exit_code in (1, 2, 6) and _LOST not in message and _working_directory_is_lost():
        message = f"{message.rstrip('.')}. The {_LOST}."
    say(f"edgecnn: {message}")
    return exit_code


def _working_directory_is_lost() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _help_command(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'edgecnn'} --help"


app.command(epilog="Example: edgecnn demo")(demo)
app.command(epilog="Example: edgecnn models mnist_convnet --image-size 64,64 --classes 3")(models)
app.command(epilog="Example: edgecnn data shapes --save sheets")(data)
app.command(epilog="Example: edgecnn anchors shapes --count 6 --image-size 96,128")(anchors)
app.command(epilog="Example: edgecnn train mnist_convnet --data digits --epochs 5 -o runs/digits")(train)
app.command(epilog="Example: edgecnn adopt flowers.keras --data photos/")(adopt)
app.command(epilog="Example: edgecnn evaluate runs/digits --data digits")(evaluate)
app.command(epilog="Example: edgecnn export runs/digits -o digits.onnx --data digits")(export)
app.command(epilog="Example: edgecnn run mnist.onnx seven.png --top-k 3 --format json")(run)
app.command(epilog="Example: edgecnn bench mnist.onnx --threads 1 --compare old.json --max-regression 0.05")(bench)
app.command(epilog="Example: edgecnn inspect mnist.onnx --format json")(inspect)
app.command(epilog="Example: edgecnn verify mnist.onnx --device cpu")(verify)
app.command(epilog="Example: edgecnn feature-maps runs/digits seven.png --layer conv2 -o maps.png")(feature_maps)
app.command(epilog="Example: edgecnn doctor")(doctor)
