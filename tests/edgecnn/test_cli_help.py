import pytest

from edgecnn.cli import app

COMMANDS = {command.callback.__name__.replace("_", "-"): command for command in app.registered_commands}


def test_app_has_the_commands_of_the_interface():
    assert set(COMMANDS) == {
        *("demo", "models", "train", "evaluate", "export", "run", "bench", "inspect", "verify", "feature-maps"),
        *("adopt", "anchors", "data", "doctor"),
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example(name):
    assert COMMANDS[name].epilog.startswith(f"Example: edgecnn {name}")
