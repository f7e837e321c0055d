"""What the benchmarks on data sets read from their command lines."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def row_parser(description: str | None, names: Sequence[str]) -> argparse.ArgumentParser:
    """Returns a parser for what every benchmark of trained rows takes.

    Args:
        description: for --help.
        names: of the rows.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=names, help="a row to run; may be repeated")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--runs", type=Path, help="keeps the run folders here; a finished one is not trained again")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Returns the arguments of a benchmark with `--data`; without such a folder it says so and ends with 0."""
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        print(f"skipped: {arguments.data} is absent; name the folder of the data sets with --data")
        sys.exit(0)
    return arguments


@contextmanager
def runs_folder(runs: Path | None) -> Iterator[Path]:
    """Gives the folder for run folders, which is made, or one that is removed afterwards."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = runs or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
