"""Writes scikit-learn's digits as pictures, a folder a class: what the pages' commands run on, without a network.

    uv run python docs/write_digits.py FOLDER

makes FOLDER/train/0/0000.png and so on, and FOLDER/test likewise: the parts of `--data digits`.
"""

import sys
from collections import Counter
from pathlib import Path

from PIL import Image

from edgecnn.data import load_dataset


def main(folder: Path) -> int:
    """Writes both parts; pictures that are there already are replaced."""
    dataset = load_dataset("digits")
    for samples in (dataset.train, dataset.test):
        counts: Counter[int] = Counter()
        for pixels, class_id in samples:
            path = folder / samples.part / samples.labels[class_id] / f"{counts[class_id]:04}.png"
            counts[class_id] += 1
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.squeeze()).save(path)  # (8, 8, 1) -> (8, 8)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
