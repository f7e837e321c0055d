"""What importing the runtime does: what it exports, loads, writes and prints."""

import sys

import edgecnn_runtime

# Third-party distributions that numpy, Pillow and ONNX Runtime load by themselves would be listed here; there are none.
ALLOWED = {"edgecnn_runtime", "numpy", "PIL", "onnxruntime"}


def test_every_exported_name_exists_once_and_is_sorted():
    assert edgecnn_runtime.__all__ == sorted(set(edgecnn_runtime.__all__))
    assert all(hasattr(edgecnn_runtime, name) for name in edgecnn_runtime.__all__)


def test_exported_names_are_the_documented_ones():
    assert set(edgecnn_runtime.__all__) == {
        *("Predictor", "Manifest", "Evidence", "Session", "Model", "Preprocessor", "Placement"),
        *("Batch", "Result", "Classification", "Failure", "Score", "Speed"),
        *("EdgeCNNError", "ManifestError", "ImageError", "ImageTypeError", "VerificationError"),
        *("SessionError", "ProviderError", "ResourceError", "ModelFileError", "OutputError"),
        "PlainInputError",
        "ProposalsError",
        "QuestionError",
    }


def test_every_error_class_is_exported():
    from edgecnn_runtime import errors

    declared = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)
    }
    assert declared <= set(edgecnn_runtime.__all__)


def test_importing_loads_numpy_pillow_and_onnxruntime_and_nothing_else(run_python):
    code = """
        import sys
        before = set(sys.modules)
        import edgecnn_runtime
        print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
    """
    done = run_python(code)
    assert done.returncode == 0
    loaded = set(done.stdout.split())
    assert loaded >= ALLOWED
    assert {name for name in loaded - ALLOWED if name not in sys.stdlib_module_names} == set()


def test_answering_loads_nothing_else_either(model_path, photo, run_python):
    photo().save(model_path.with_name("a.jpg"))
    code = """
        import sys
        before = set(sys.modules)
        from edgecnn_runtime import Predictor
        Predictor.load(sys.argv[1], device="cpu").predict(sys.argv[2]).draw(sys.argv[2])
        print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
    """
    done = run_python(code, str(model_path), str(model_path.with_name("a.jpg")))
    assert done.returncode == 0
    assert {name for name in done.stdout.split() if name not in sys.stdlib_module_names} == ALLOWED


def test_verification_is_loaded_only_where_it_is_asked_for(model_path, run_python):
    code = """
        import sys
        from edgecnn_runtime import Predictor
        Predictor.load(sys.argv[1], device="cpu")
        print("edgecnn_runtime.verification" in sys.modules)
    """
    assert run_python(code, str(model_path)).stdout == "False\n"


def test_importing_loads_no_picture_format(run_python):
    done = run_python("import sys, edgecnn_runtime; print([m for m in sys.modules if 'Plugin' in m])")
    assert done.stdout == "[]\n"


def test_a_fresh_home_stays_empty_and_nothing_is_printed(model_path, photo, tmp_path, run_python):
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    photo().save(tmp_path / "a.png")
    code = """
        import os, sys, time
        from edgecnn_runtime import Predictor
        Predictor.load(sys.argv[1], device="auto").predict(sys.argv[2])
        time.sleep(0.5)  # a telemetry thread would have time to write
    """
    environment = {
        **dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"), str(home)),
        "TMPDIR": str(home),
        "ORT_DISABLE_TELEMETRY": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = run_python(code, str(model_path), str(tmp_path / "a.png"), env=environment, cwd=work)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [*home.rglob("*"), *work.rglob("*")] == []


def test_a_read_only_home_and_the_c_locale_do_not_matter(model_path, photo, tmp_path, run_python):
    picture = tmp_path / "日本.png"
    photo().save(picture)
    code = """
        import sys
        from edgecnn_runtime import Predictor
        print(Predictor.load(sys.argv[1], device="cpu").predict(sys.argv[2]).label)
    """
    done = run_python(
        code, str(model_path), str(picture), env={"HOME": "/proc", "LC_ALL": "C", "LANG": "C"}, cwd="/proc"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "two\n", "")
