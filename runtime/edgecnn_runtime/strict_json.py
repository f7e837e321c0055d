"""Frozen dataclasses to JSON and back, strictly: every key required, unknown keys refused, types checked."""

import functools
import json
import math
import types
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from edgecnn_runtime.errors import ManifestError

T = TypeVar("T")
_LARGEST_INTEGER = 2**63 - 1  # what other readers of the file can hold
_CURE = "Export the model again with this version of edgecnn, or install the version that wrote it."


def dump(value: Any, *, schema_version: int) -> str:
    """Returns compact JSON with sorted keys; equal values always give the same text.

    Args:
        value: a dataclass instance.
        schema_version: stands in the text as "schema_version".
    """
    tree = {"schema_version": schema_version, **asdict(value)}
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False)


def load(cls: type[T], text: str, *, schema_version: int, what: str, cure: str = _CURE) -> T:
    """Reads the text that `dump` wrote.

    Args:
        cls: the dataclass to build.
        text: JSON.
        schema_version: the only one that is read.
        what: names the text in messages, for example "manifest".
        cure: what to do where the schema version is another one.

    Raises:
        ManifestError: not JSON, another schema version, a missing, unknown or repeated key, a value of the wrong type,
            a number that is infinite or over 64 bits, a text that UTF-8 cannot hold.
    """
    try:
        tree = parse(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{what}: expected JSON, received {text[:40]!r} ({error})") from error
    if not isinstance(tree, dict):
        raise ManifestError(f"{what}: expected an object, received {text[:40]!r}")
    version = tree.pop("schema_version", None)
    if version != schema_version or isinstance(version, bool):
        raise ManifestError(f"{what}: expected schema_version {schema_version}, received {version!r}. {cure}")
    return _record(cls, tree, what)


def parse(text: str) -> Any:
    """Returns the value of any JSON, in which no key of an object stands twice.

    Numbers may still be infinite (1e999), or of many digits.

    Raises:
        ValueError: it is not JSON; `json.JSONDecodeError`, where the place is known.
        RecursionError: it nests too deep.
    """
    return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns the object; where a key stands twice, some readers would take the first value and some the last."""
    tree = dict(pairs)
    if len(tree) != len(pairs):
        ((repeated, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {repeated!r:.60} stands twice")
    return tree


def _record(cls: type[T], value: Any, where: str) -> T:
    if not isinstance(value, dict):
        raise _mismatch(where, "an object", value)
    hints = _hints(cls)  # type: ignore[arg-type]
    names = {field.name for field in fields(cls)}  # type: ignore[arg-type]
    missing, unknown = sorted(names - value.keys()), sorted(value.keys() - names)
    if missing or unknown:
        raise ManifestError(f"{where}: expected the keys {sorted(names)}, missing {missing}, unknown {unknown}")
    return cls(**{name: _value(hints[name], value[name], f"{where}.{name}") for name in names})


@functools.cache
def _hints(cls: type) -> Mapping[str, Any]:
    return get_type_hints(cls)


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _union(arguments, value, where)
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise _mismatch(where, f"one of {list(arguments)}", value)
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise _mismatch(where, "a list", value)
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise _mismatch(where, f"a list of {len(arguments)}", value)
        return tuple(_value(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, dict):
            raise _mismatch(where, "an object", value)
        return {
            _scalar(str, key, f"a key of {where}"): _value(arguments[1], item, f"{where}.{key}")
            for key, item in value.items()
        }
    if is_dataclass(hint):
        return _record(hint, value, where)  # type: ignore[arg-type]
    return _scalar(hint, value, where)


def _union(members: tuple[Any, ...], value: Any, where: str) -> Any:
    """Picks None, the dataclass whose `kind` is the value's, or the one remaining member."""
    if value is None and type(None) in members:
        return None
    members = tuple(member for member in members if member is not type(None))
    if len(members) == 1:
        return _value(members[0], value, where)
    kinds = {get_args(_hints(member)["kind"])[0]: member for member in members}
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise _mismatch(f"{where}.kind", f"one of {sorted(kinds)}", kind)
    return _record(kinds[kind], value, where)


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if type(value) is int and hint in (int, float):
        if abs(value) > _LARGEST_INTEGER:
            raise _mismatch(where, "a number of 64 bits", value)
        return hint(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise _mismatch(where, {str: "a text", int: "an integer", float: "a number"}.get(hint, hint.__name__), value)
    if isinstance(value, float) and not math.isfinite(value):  # 1e999
        raise _mismatch(where, "a finite number", value)
    if isinstance(value, str) and not _is_unicode(value):
        raise _mismatch(where, "a text in Unicode", value)
    return value


def _is_unicode(text: str) -> bool:
    r"""Whether UTF-8 can hold it; half a surrogate pair ("\ud800" in JSON) it cannot."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


def _mismatch(where: str, expected: str, value: Any) -> ManifestError:
    return ManifestError(f"{where:.200}: expected {expected}, received {str(value)[:60]!r}")
