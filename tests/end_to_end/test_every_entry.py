"""Every public entry with every input that faults.md names: one line, the right exit code, nothing else."""

import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import attacks
import model_files
import numpy as np
import onnx
import pytest
from onnx import helper

import edgecnn.cli
from edgecnn.data import load_dataset
from edgecnn_runtime import Failure, Predictor
from edgecnn_runtime.container import METADATA_SHA256_KEY, append_metadata, parse_model_file
from edgecnn_runtime.errors import EdgeCNNError
from edgecnn_runtime.evidence import METADATA_KEY as EVIDENCE
from edgecnn_runtime.manifest import METADATA_KEY as MANIFEST

pytestmark = pytest.mark.timeout(600)  # the guard against hangs, on a busy machine

PICTURE = model_files.encode(model_files.photo())


@pytest.fixture(scope="module")
def good():
    """The graph of a small model file, and the file's bytes with two golden samples."""
    payload = model_files.make_graph()
    manifest = model_files.make_manifest()
    return payload, model_files.stamp(payload, manifest, golden=model_files.make_golden(payload, manifest))


@pytest.fixture(scope="module")
def forged(good):
    """Bytes of the good file with its manifest or evidence edited as text, and right hashes."""
    payload, data = good

    def write(edit, key):
        metadata = {**parse_model_file(data, "m").metadata}
        del metadata[METADATA_SHA256_KEY]
        return append_metadata(payload, {**metadata, key: edit(metadata[key])})

    return write


@pytest.fixture
def place(tmp_path):
    """Puts an input at a path: bytes, or what cannot be read."""
    path = tmp_path / "input"

    def put(content):
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content == "a directory":
            path.mkdir()
        elif content == "a FIFO":
            os.mkfifo(path)
        elif content == "a link to itself":
            path.symlink_to(path)
        elif content == "a long name":
            return tmp_path / ("x" * 300)
        elif content == "a NUL":
            return f"{tmp_path}/a\0b"
        return path

    return put


@pytest.fixture
def command(capfd):
    """Runs a command in this process; returns its exit code, once stderr holds nothing but lines of ours."""

    def run(*arguments):
        capfd.readouterr()
        code = edgecnn.cli.main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        lines = err.splitlines()
        assert "Traceback" not in err
        assert all(line.startswith("edgecnn: ") and len(line) <= 2010 for line in lines), err[:3000]
        assert code == 0 or lines, "it failed and said nothing"
        if "json" in arguments and (out or code == 0):
            json.loads(out)
        return code

    return run


def changed(payload, change):
    model = onnx.load_from_string(payload)
    change(model)
    return model_files.stamp(model.SerializeToString(), model_files.make_manifest())


def with_weights(value):
    def change(model):
        for tensor in model.graph.initializer:
            tensor.raw_data = np.full(len(tensor.raw_data) // 4, value, np.float32).tobytes()

    return change


UNREADABLE = ("missing", "a directory", "a FIFO", "a link to itself", "a long name", "a NUL")
NO_MODELS = {
    "empty": b"",
    "text": b"not a model",
    "random": bytes(np.random.default_rng(0).integers(0, 256, 4096, np.uint8)),
    "zeros": bytes(999),
    "a picture": PICTURE,
    "HTML": b"<html><body>404</body></html>",
}
GRAPHS = {  # changes of a good graph
    "opset 999": lambda model: setattr(model.opset_import[0], "version", 999),
    "IR 99": lambda model: setattr(model, "ir_version", 99),
    "unknown domain": lambda model: setattr(model.graph.node[2], "domain", "nobody"),
    "unknown operator": lambda model: setattr(model.graph.node[2], "op_type", "PyOp"),
    "a cycle": lambda model: model.graph.node[0].input.__setitem__(0, "logits"),
    "no nodes": lambda model: model.graph.ClearField("node"),
    "depth of 90": lambda model: model.graph.CopyFrom(_nested(model.graph, 90)),
    "weights elsewhere": lambda model: _external(model.graph.initializer[0], "../../etc/passwd"),
    "weights at an absolute path": lambda model: _external(model.graph.initializer[0], "/etc/passwd"),
    "weights of 2^62": lambda model: model.graph.initializer[0].dims.__setitem__(0, 2**62),
    "batch of 2^40": lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 2**40),
    "batch of 0": lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 0),
    "another height": lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 99),
    "another name": lambda model: setattr(model.graph.output[0], "name", "features"),
    "session options": lambda model: model.metadata_props.add(key="ort_config", value='{"session_options": {}}'),
}


def _external(tensor, location):
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


def _nested(graph, depth):
    outer = onnx.GraphProto()
    outer.CopyFrom(graph)
    condition = helper.make_tensor("yes", onnx.TensorProto.BOOL, [], [True])
    inner = helper.make_graph(
        [helper.make_node("Identity", ["biases"], ["deep"])], "deep", [], [helper.make_empty_tensor_value_info("deep")]
    )
    for level in range(depth):
        node = helper.make_node("If", ["yes"], [f"at{level}"], then_branch=inner, else_branch=_leaf(level))
        inner = helper.make_graph([node], f"level{level}", [], [helper.make_empty_tensor_value_info(f"at{level}")])
    outer.initializer.append(condition)
    outer.node.extend(inner.node)
    return outer


def _leaf(level):
    return helper.make_graph(
        [helper.make_node("Identity", ["biases"], [f"leaf{level}"])],
        f"leaf{level}",
        [],
        [helper.make_empty_tensor_value_info(f"leaf{level}")],
    )


@pytest.fixture(scope="module")
def refused_models(good, forged):
    """By name, what no entry may take as a model: exit code 6."""
    payload, data = good
    return {
        **{name: name for name in UNREADABLE},
        **NO_MODELS,
        **{f"cut at {at}": data[:at] for at in range(1, len(data), len(data) // 12)},
        **{f"flipped at {at}": data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(9, len(data), 997)},
        "ORT format": b"\x18\0\0\0ORTM" + data[8:],
        "no metadata": payload,
        "twice": data + data,
        **{f"evidence: {name}": forged(edit, EVIDENCE) for name, edit in attacks.EVIDENCE_ATTACKS.items()},
        **{f"manifest: {name}": forged(edit, MANIFEST) for name, edit in attacks.MANIFEST_ATTACKS.items()},
        **{
            f"graph: {name}": changed(payload, change)
            for name, change in GRAPHS.items()
            if name not in ("depth of 90", "session options")
        },
    }


MODEL_COMMANDS = {
    "run": lambda path, picture: ("run", path, picture, "--format", "json", "--device", "cpu"),
    "inspect": lambda path, _: ("inspect", path, "--format", "json"),
    "verify": lambda path, _: ("verify", path, "--format", "json"),
    "bench": lambda path, _: ("bench", path, "--runs", "1", "--warmup", "0", "--starts", "0", "--format", "json"),
    "evaluate": lambda path, _: ("evaluate", path, "--data", "digits", "--format", "json"),
}


def codes_of(contents, arguments, place, command, tmp_path):
    """The exit code of a command for each model file, by name."""
    picture = tmp_path / "a.png"
    picture.write_bytes(PICTURE)
    codes = {}
    for name, content in contents.items():
        path = place(content)
        codes[name] = command(*arguments(path, picture))
        _remove(path)
    return codes


@pytest.mark.parametrize("entry", MODEL_COMMANDS)
def test_each_command_refuses_each_bad_model_in_one_line(entry, refused_models, place, command, tmp_path):
    contents = {name: content for name, content in refused_models.items() if name != "a NUL"}  # no shell can give it
    codes = codes_of(contents, MODEL_COMMANDS[entry], place, command, tmp_path)
    if entry == "evaluate":
        assert codes.pop("a directory") == 1  # it would be a run folder
    if entry in ("inspect", "bench"):
        assert codes.pop("no metadata") == 0  # plain ONNX
    assert {name: code for name, code in codes.items() if code != 6} == {}


PLAIN_COMMANDS = {
    **{name: MODEL_COMMANDS[name] for name in ("inspect", "bench")},
    "run": lambda path, picture: ("run", "--raw", path, picture, "--format", "json", "--device", "cpu"),
}
FINE_AS_PLAIN = {"another height", "another name", "session options"}
NO_IMAGE = {"batch of 2^40", "batch of 0"}  # inspect says so


@pytest.mark.parametrize("entry", PLAIN_COMMANDS)
def test_each_command_refuses_each_bad_plain_model_in_one_line(entry, good, place, command, tmp_path):
    contents = {}
    for name, change in GRAPHS.items():
        if name != "depth of 90":  # the library of ONNX does not write it
            model = onnx.load_from_string(good[0])
            change(model)
            contents[name] = model.SerializeToString()
    codes = codes_of(contents, PLAIN_COMMANDS[entry], place, command, tmp_path)
    fine = FINE_AS_PLAIN | (NO_IMAGE if entry == "inspect" else set())
    assert {name: code for name, code in codes.items() if code != (0 if name in fine else 6)} == {}


@pytest.mark.parametrize("taken", ["a path", "bytes"])
@pytest.mark.parametrize("verify", [False, True])
def test_load_refuses_each_bad_model_in_one_line(taken, verify, refused_models, place):
    odd = {}
    for name, content in refused_models.items():
        if taken == "bytes" and not isinstance(content, bytes):
            continue
        path = place(content)
        try:
            Predictor.load(content if taken == "bytes" else path, device="cpu", threads=1, verify=verify)
            odd[name] = "taken"
        except EdgeCNNError as error:
            if error.exit_code != 6 or len(str(error).splitlines()) != 1 or len(str(error)) > 2000:
                odd[name] = f"{type(error).__name__}: {error}"
        _remove(path)
    assert odd == {}


def _remove(path):
    path = Path(path)
    if "\0" in str(path) or len(path.name) > 255:
        return
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize(("weights", "codes"), [(np.nan, (1, 0, 4, 1)), (np.inf, (1, 0, 4, 1)), (0.0, (0, 0, 4, 0))])
def test_each_command_ends_well_on_weights_that_are_none(weights, codes, good, command, tmp_path):
    payload, data = good
    model = onnx.load_from_string(payload)
    with_weights(weights)(model)
    golden = model_files.make_golden(payload, model_files.make_manifest())
    path, picture = tmp_path / "m.onnx", tmp_path / "a.png"
    path.write_bytes(model_files.stamp(model.SerializeToString(), model_files.make_manifest(), golden=golden))
    picture.write_bytes(PICTURE)
    del data
    received = [command(*MODEL_COMMANDS[name](path, picture)) for name in ("run", "inspect", "verify", "bench")]
    assert received == list(codes)


@pytest.mark.parametrize("name", attacks.FAILING_SAMPLES)
def test_only_verify_fails_on_samples_that_prove_nothing(name, forged, command, tmp_path):
    path, picture = tmp_path / "m.onnx", tmp_path / "a.png"
    path.write_bytes(forged(attacks.FAILING_SAMPLES[name], EVIDENCE))
    picture.write_bytes(PICTURE)
    assert [command(*MODEL_COMMANDS[name](path, picture)) for name in ("run", "inspect", "verify")] == [0, 0, 4]


# pictures


def _bad_pictures():
    jpeg = model_files.encode(model_files.photo(), "JPEG")
    return {
        **{name: name for name in UNREADABLE if name != "a directory"},
        "empty": b"",
        "text": b"hello",
        "HTML": b"<html><body>404</body></html>",
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "PDF": b"%PDF-1.7\n",
        "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "random": b"\x89PNG\r\n\x1a\n" + NO_MODELS["random"],
        **{f"PNG cut at {at}": PICTURE[:at] for at in range(1, len(PICTURE) - 12, len(PICTURE) // 6)},
        **{f"JPEG cut at {at}": jpeg[:at] for at in range(1, int(len(jpeg) * 0.9), len(jpeg) // 6)},
        "0 x 9": PICTURE[:16] + bytes(4) + PICTURE[20:],
        "13,000 x 13,000": PICTURE[:16] + (13_000).to_bytes(4, "big") * 2 + PICTURE[24:],
        "2^31 x 2^31": PICTURE[:16] + b"\x7f\xff\xff\xff" * 2 + PICTURE[24:],
    }


BAD_PICTURES = _bad_pictures()
PREDICTOR_CALLS = {
    "predict": lambda predictor, image: predictor.predict(image),
    "predict_batch": lambda predictor, image: predictor.predict_batch([image])[0],
    "stream": lambda predictor, image: next(predictor.stream([image])),
}


@pytest.fixture(scope="module")
def predictor(good):
    return Predictor.load(good[1], device="cpu", threads=1)


@pytest.mark.parametrize("format", ["json", "jsonl", "csv", "text"])
def test_run_answers_each_bad_picture_with_an_error(format, good, place, command, tmp_path):
    model = tmp_path / "m.onnx"
    model.write_bytes(good[1])
    codes = {}
    for name, content in BAD_PICTURES.items():
        path = place(content)
        codes[name] = command("run", model, path, "--format", format, "--device", "cpu")
        _remove(path)
    assert {name: code for name, code in codes.items() if code != 1} == {}


@pytest.mark.parametrize("call", PREDICTOR_CALLS)
@pytest.mark.parametrize("taken", ["a path", "bytes"])
def test_each_call_refuses_each_bad_picture_in_one_line(call, taken, predictor, place):
    odd = {}
    for name, content in BAD_PICTURES.items():
        if taken == "bytes" and not isinstance(content, bytes):
            continue
        path = place(content)
        try:
            answer = PREDICTOR_CALLS[call](predictor, content if taken == "bytes" else path)
            message = answer.message if isinstance(answer, Failure) else None
        except EdgeCNNError as error:
            message = str(error)
        if message is None or len(message.splitlines()) != 1 or len(message) > 2000:
            odd[name] = message
        _remove(path)
    assert odd == {}


@pytest.mark.parametrize(
    "image",
    [
        np.full((4, 4), np.nan),
        np.zeros((4, 4), ">i2"),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros((), np.uint8),
        np.array([["a"]]),
        None,
        7,
        {},
    ],
    ids=lambda image: f"{type(image).__name__} {getattr(image, 'dtype', '')} {getattr(image, 'shape', '')}",
)
def test_each_call_refuses_what_is_no_picture(image, predictor):
    with pytest.raises((EdgeCNNError, TypeError)) as caught:
        predictor.predict(image)
    assert len(str(caught.value).splitlines()) == 1
    (failure,) = predictor.predict_batch([image])
    assert isinstance(failure, Failure)


# data


def _npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


_X, _Y = np.zeros((4, 3, 3), np.uint8), np.array([0, 1, 0, 1])
BAD_DATA = {
    **{name: name for name in UNREADABLE},
    **NO_MODELS,
    "an array": b"\x93NUMPY\x01\0" + bytes(200),
    "no classes": _npz(x_train=_X),
    "of floats": _npz(x_train=_X.astype(float), y_train=_Y),
    "of NaN": _npz(x_train=np.full((4, 3, 3), np.nan), y_train=_Y),
    "classes of text": _npz(x_train=_X, y_train=np.array(["a", "b", "a", "b"])),
    "classes of -1": _npz(x_train=_X, y_train=_Y - 1),
    "classes of 2^62": _npz(x_train=_X, y_train=_Y * 2**62),
    "of no pictures": _npz(x_train=_X[:0], y_train=_Y[:0]),
    "of 0 x 3": _npz(x_train=_X[:, :0], y_train=_Y),
    "one class": _npz(x_train=_X, y_train=_Y * 0),
    "fewer classes than pictures": _npz(x_train=_X, y_train=_Y[:3]),
    "labels of numbers": _npz(x_train=_X, y_train=_Y, labels=np.arange(2)),
    "cut": _npz(x_train=_X, y_train=_Y)[:-40],
}


@pytest.mark.parametrize("forced", ["", "npz:", "folder:"])
def test_load_dataset_refuses_bad_data_in_one_line(forced, place):
    odd = {}
    for name, content in BAD_DATA.items():
        path = place(content)
        try:
            load_dataset(f"{forced}{path}")
            odd[name] = "taken"
        except EdgeCNNError as error:
            if error.exit_code not in (1, 2) or len(str(error).splitlines()) != 1 or len(str(error)) > 2000:
                odd[name] = f"{type(error).__name__} {error.exit_code}: {error}"
        _remove(path)
    assert odd == {}


def test_evaluate_refuses_bad_data_in_one_line(good, place, command, tmp_path):
    model = tmp_path / "m.onnx"
    model.write_bytes(good[1])
    codes = {}
    for name, content in BAD_DATA.items():
        path = place(content)
        codes[name] = command("evaluate", model, "--data", path, "--format", "json")
        _remove(path)
    assert {name: code for name, code in codes.items() if code not in (1, 2)} == {}


# what takes TensorFlow


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    """A small .keras file with its manifest beside it."""
    from edgecnn.models import CATALOG, build_manifest, build_model  # loads TensorFlow

    path = tmp_path_factory.mktemp("keras") / "model.keras"
    options = {"image_size": (12, 12), "width": 0.05}
    build_model("simple_cnn", num_classes=3, seed=1, **options).save(path)
    manifest = build_manifest(CATALOG["simple_cnn"], ["a", "b", "c"], **options)
    path.with_name("manifest.json").write_text(manifest.to_json())
    return path


def _with_config(path, old, new):
    stream = io.BytesIO()
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(stream, "w") as other:
        for name in whole.namelist():
            content = whole.read(name)
            other.writestr(name, content.replace(old, new, 1) if name == "config.json" else content)
    return stream.getvalue()


def _bad_keras(path):
    data = path.read_bytes()
    return {
        **{name: name for name in ("missing", "a FIFO", "a link to itself", "a long name")},
        **NO_MODELS,
        **{f"cut at {at}": data[:at] for at in range(1, len(data), len(data) // 5)},
        "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(2000),
        "Lambda": _with_config(path, b'"Conv2D"', b'"Lambda"'),
        "a layer of nobody": _with_config(path, b'"Conv2D"', b'"Nobody"'),
        "another module": _with_config(path, b'"keras.layers"', b'"os"'),
        "deep": _with_config(path, b'"config"', b'"deep": ' + b"[" * 9000 + b"]" * 9000 + b', "config"'),
        "numbers of 400 digits": _with_config(path, b'"filters": ', b'"filters": ' + b"9" * 400),
    }


KERAS_COMMANDS = {
    "export": lambda path, out: ("export", path, "-o", f"{out}/m.onnx"),
    "feature-maps": lambda path, out: ("feature-maps", path, f"{out}/a.png", "-o", f"{out}/maps.png"),
    "train": lambda path, out: _train(out, "--weights", path),
    "evaluate": lambda path, _: ("evaluate", path.parent, "--data", "digits", "--format", "json"),
}


def _train(out, *options):
    size = ("--image-size", "12,12", "--width", "0.05", "--epochs", "1")
    return ("train", "simple_cnn", "--data", "digits", *size, "-o", f"{out}/run", *options)


@pytest.mark.slow
@pytest.mark.parametrize("entry", KERAS_COMMANDS)
def test_each_command_refuses_each_bad_keras_file_in_one_line(entry, keras_file, command, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    codes = {}
    for name, content in _bad_keras(keras_file).items():
        for each in (folder, out):
            shutil.rmtree(each, ignore_errors=True)
            each.mkdir()
        (out / "a.png").write_bytes(PICTURE)
        (folder / "manifest.json").write_bytes(keras_file.with_name("manifest.json").read_bytes())
        path = folder / ("x" * 300 + ".keras" if name == "a long name" else "model.keras")
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif name == "a FIFO":
            os.mkfifo(path)
        elif name == "a link to itself":
            path.symlink_to(path)
        codes[name] = command(*KERAS_COMMANDS[entry](path, out))
        assert sorted(left.name for left in out.iterdir()) == ["a.png"], name
    assert {name: code for name, code in codes.items() if code not in (1, 2)} == {}


@pytest.mark.slow
@pytest.mark.parametrize("entry", ["train", "export"])
def test_each_command_refuses_bad_data_before_it_writes(entry, keras_file, place, command, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    codes = {}
    for name, content in BAD_DATA.items():
        if name == "a NUL":
            continue
        path = place(content)
        arguments = KERAS_COMMANDS["export"](keras_file, out) if entry == "export" else _train(out)
        codes[name] = command(
            *[argument for argument in arguments if argument not in ("--data", "digits")], "--data", path
        )
        _remove(path)
        assert list(out.iterdir()) == [], name
    assert {name: code for name, code in codes.items() if code not in (1, 2)} == {}


RUN_FILES = {
    "config.json": [
        "",
        "{}",
        "[]",
        "[" * 9000,
        '{"schema_version": 1}',
        '{"schema_version": ' + "9" * 400 + "}",
        "\ufeff{}",
    ],
    "history.csv": ["", "\0", "epoch", "epoch,loss,accuracy,val_loss,val_accuracy\n1,x,1,,\n", "a" * 300_000],
    "manifest.json": ["", "{}", '{"schema_version": 1e999}', "\\ud800"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN_FILES)
def test_each_command_refuses_a_damaged_run_folder_in_one_line(name, run_folder, command, tmp_path):
    copy, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(run_folder, copy)
    out.mkdir()
    for text in RUN_FILES[name]:
        (copy / name).write_text(text)
        assert command("evaluate", copy, "--data", "digits", "--format", "json") == 1, text
        assert command("export", copy, "-o", out / "m.onnx") == 1, text
        assert command("train", "mnist_convnet", "--data", "digits", "-o", copy, "--resume") in (1, 2), text
        assert list(out.iterdir()) == [], text


# what stands round a command


SURROUNDINGS = {
    "no working directory": {"wrapper": ("sh", "-c", 'd=$(mktemp -d); cd "$d"; rmdir "$d"; exec "$@"', "sh")},
    "locale C, no HOME": {"env": {"LC_ALL": "C", "LANG": "C", "HOME": "", "PYTHONUTF8": "0"}},
    "nothing on stdin": {"wrapper": ("sh", "-c", 'exec "$@" <&-', "sh")},
    "nobody at stderr": {"wrapper": ("sh", "-c", 'exec "$@" 2>&-', "sh")},
    "no home to write in": {"env": {"HOME": "/proc"}},
}


@pytest.mark.parametrize("around", SURROUNDINGS)
def test_commands_work_or_say_why_wherever_they_stand(around, good, edgecnn, tmp_path):
    model, picture = tmp_path / "m.onnx", tmp_path / "a.png"
    model.write_bytes(good[1])
    picture.write_bytes(PICTURE)
    for arguments in (("models",), ("doctor",), ("run", model, picture, "--format", "json"), ("verify", model)):
        done = edgecnn(*arguments, timeout=100, **SURROUNDINGS[around])
        assert done.returncode in (0, 1), (arguments, done.stderr)
        assert "Traceback" not in done.stderr
        assert done.returncode == 0 or around == "no working directory", (arguments, done.stderr)
