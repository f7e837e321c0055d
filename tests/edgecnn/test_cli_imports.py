import os
import subprocess
import sys

import pytest

HEAVY = {"numpy", "PIL", "onnxruntime", "tensorflow", "keras", "onnx", "tf2onnx", "sklearn", "matplotlib", "rich"}
SCRIPT = """
import sys
from edgecnn.cli import main
code = main(sys.argv[1:])
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["models"],
        ["models", "--format", "json"],
        ["models", "vgg16"],
        ["train", "--help"],
        ["anchors", "--help"],
        ["data", "--help"],
        ["run", "--help"],
    ],
    ids=" ".join,
)
def test_main_loads_nothing_heavy(arguments):
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout
    assert not HEAVY & set(done.stderr.split())


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("edgecnn tr", {"train"}),
        ("edgecnn train res", {"resnet34", "resnet50", "resnet34_localizer"}),
        ("edgecnn export --qu", {"--quantize"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_shell_completion_offers_commands_models_and_options_and_loads_nothing_heavy(words, offered):
    asked = {"_EDGECNN_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    script = SCRIPT.replace("code = main(sys.argv[1:])", "try: main([])\nexcept SystemExit as end: code = end.code")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ | asked
    )
    assert set(done.stdout.split()) == offered
    assert not HEAVY & set(done.stderr.split())


def test_shell_completion_shows_what_a_shell_sources():
    command = [sys.executable, "-m", "edgecnn", "--show-completion", "bash"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=False).returncode == 0
    assert "_EDGECNN_COMPLETE=complete_bash" in done.stdout


def test_the_package_runs_as_a_module():
    command = [sys.executable, "-m", "edgecnn"]
    shown = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("edgecnn ")
    refused = subprocess.run([*command, "models", "nothing"], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "Traceback" not in refused.stderr
