"""Writes the tables of docs/file-format.md: every key of the manifest and of the evidence, out of the dataclasses.

`uv run python docs/file_format_tables.py` rewrites them between their markers; with `--check` it changes nothing and
exits with 1 where the page says anything else than the code.
"""

import re
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from edgecnn_runtime import Evidence, Manifest, evidence, manifest

PAGE = Path(__file__).with_name("file-format.md")
TYPES = {str: "text", int: "integer", float: "number", bool: "boolean"}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the JSON.

    Attributes:
        path: from the top, for example "inputs[].name".
        value: what it holds.
        meaning: what the class says about it.
    """

    path: str
    value: str
    meaning: str


def main() -> int:
    """Rewrites or checks the page."""
    text = PAGE.read_text(encoding="utf-8")
    fresh = text
    for name, record, version in (
        ("manifest", Manifest, manifest.SCHEMA_VERSION),
        ("evidence", Evidence, evidence.SCHEMA_VERSION),
    ):
        block = f"<!-- {name}: begin -->\n{table(record, version)}\n<!-- {name}: end -->"
        fresh = re.sub(rf"<!-- {name}: begin -->.*?<!-- {name}: end -->", lambda _, b=block: b, fresh, flags=re.DOTALL)
    if "--check" in sys.argv[1:]:
        return int(fresh != text)
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


def table(record: type, version: int) -> str:
    """Returns the keys of a class's JSON as a Markdown table; where it may be one of several, their keys together."""
    rows = {"schema_version": Key("schema_version", "integer", f"{version}; no other is read")}
    for key in keys(record):
        known = rows.get(key.path, key)
        rows[key.path] = Key(key.path, _either(known.value, key.value), _either(known.meaning, key.meaning))
    lines = [("key", "value", "meaning"), ("---", "---", "---")]
    lines += [(f"`{key.path}`", key.value, key.meaning) for key in rows.values()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def keys(record: type, path: str = "") -> Iterator[Key]:
    """Yields every key of a class's JSON, and of the objects in it."""
    meanings, hints = _meanings(record), get_type_hints(record)
    for field in fields(record):
        here, hint = f"{path}{field.name}", hints[field.name]
        yield Key(here, _value(hint), meanings[field.name])
        for inner, suffix in _records(hint):
            yield from keys(inner, f"{here}{suffix}.")


def _either(first: str, second: str) -> str:
    return first if second in first else f"{first} or {second}"


def _meanings(record: type) -> dict[str, str]:
    """Reads the Attributes of a docstring, in JSON's words."""
    text = re.search(r"Attributes:\n(.*?)(?:\n\s*\n|\Z)", record.__doc__ or "", flags=re.DOTALL)
    entry = re.compile(r"^ {8}(\w+): (.*?)(?=^ {8}\w|\Z)", flags=re.DOTALL | re.MULTILINE)
    found = entry.findall(text[1] if text else "")
    words = {r"\bNone\b": "null", r"\bFalse\b": "false", r"\|": r"\\|"}
    meanings = {}
    for name, meaning in found:
        line = " ".join(meaning.split()).removesuffix(".")
        for python, json in words.items():
            line = re.sub(python, json, line)
        meanings[name] = line
    return meanings


def _value(hint: Any) -> str:
    """Says what a value of that type is in JSON."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        kinds = dict.fromkeys(_value(member) for member in arguments if member is not type(None))
        return " or ".join([*kinds, *(["null"] if type(None) in arguments else [])])
    if origin is Literal:
        return " or ".join(f'`"{name}"`' for name in arguments)
    if origin is tuple:
        return f"list, each {_value(arguments[0])}"
    if origin is Mapping:
        return f"object, each value {_value(arguments[1])}"
    return "object" if is_dataclass(hint) else TYPES[hint]


def _records(hint: Any) -> Iterator[tuple[type, str]]:
    """Yields the classes whose objects stand in a value, and how their place is written."""
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        yield hint, ""  # type: ignore[misc]
    elif origin in (Union, types.UnionType):
        for member in arguments:
            yield from _records(member)
    elif origin is tuple:
        yield from ((inner, f"[]{suffix}") for inner, suffix in _records(arguments[0]))


if __name__ == "__main__":
    sys.exit(main())
