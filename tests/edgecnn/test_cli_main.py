import signal

import pytest
import typer

import edgecnn.cli
from edgecnn.errors import UsageError
from edgecnn_runtime.errors import ModelFileError, ProviderError


@pytest.fixture
def failing(monkeypatch):
    """Lets the app raise what the test wants."""

    def fail_with(error):
        def app(*_args, **_kwargs):
            raise error

        monkeypatch.setattr(edgecnn.cli, "app", app)

    return fail_with


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no"), 2),
        (ProviderError("no"), 3),
        (ModelFileError("no"), 6),
        (typer.BadParameter("no"), 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_main_returns_the_exit_code_of_the_error(failing, error, code):
    failing(error)
    assert edgecnn.cli.main([]) == code


def test_main_says_an_error_of_ours_in_one_line(failing, capsys):
    failing(ModelFileError("a\nb.onnx: expected an ONNX model"))
    edgecnn.cli.main([])
    captured = capsys.readouterr()
    assert captured.err == "edgecnn: a\\nb.onnx: expected an ONNX model\n"
    assert captured.out == ""


@pytest.mark.parametrize(
    ("module", "extra"), [("onnxruntime", "cpu"), ("tensorflow.keras", "train"), ("tf2onnx", "export")]
)
def test_main_names_the_extra_when_a_package_is_missing(failing, capsys, module, extra):
    failing(ModuleNotFoundError(f"No module named {module!r}", name=module))
    assert edgecnn.cli.main([]) == 1
    assert f'pip install "edgecnn[{extra}]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [RuntimeError("a bug"), ModuleNotFoundError("another", name="edgecnn.nowhere")], ids=repr
)
def test_main_keeps_the_traceback_of_a_bug(failing, error):
    failing(error)
    with pytest.raises(type(error), match=str(error)):
        edgecnn.cli.main([])


@pytest.mark.parametrize("error", [RuntimeError("a library's"), UsageError("ours")])
def test_main_ends_with_the_code_of_a_signal_whose_exit_a_library_took(error, monkeypatch, capsys):
    def app(*_, **__):
        try:
            signal.raise_signal(signal.SIGTERM)
        except SystemExit:
            raise error from None

    monkeypatch.setattr(edgecnn.cli, "app", app)
    assert edgecnn.cli.main([]) == 143
    assert capsys.readouterr().err == ""
