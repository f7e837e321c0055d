import subprocess
import sys

import pytest

HEAVY = {"numpy", "PIL", "onnxruntime", "tensorflow", "keras", "onnx", "tf2onnx", "sklearn", "matplotlib"}
SCRIPT = """
import sys
from edgecnn.cli import main
code = main(sys.argv[1:])
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["models"], ["models", "--format", "json"], ["train", "--help"], ["run", "--help"]],
    ids=" ".join,
)
def test_main_loads_nothing_heavy(arguments):
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout
    assert not HEAVY & set(done.stderr.split())
