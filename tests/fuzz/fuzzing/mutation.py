"""Seeded damage: one case follows from a target's seeds, a number and nothing else."""

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
_BYTES = (0, 1, 0x7F, 0x80, 0xFF)
_INTEGERS = (0, 1, -1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, -(2**63))
_NUMBERS = (
    "9" * 400,
    "-" + "9" * 5000,
    "1e999",
    "-1e999",
    "NaN",
    "5e-324",
    "1e-400",
    "-0",
    "0.1",
    "1e300",
    "2147483648",
)
_TEXTS = ('"\\ud800"', '"\\u0000"', '"a\\nb\\u2028\\u001b[31m"', '""', f'"{"x" * 3000}"', '"\\udcff"', "true", "null")
_NESTED = ("[" * 3000, '{"a":' * 3000, "[" * 500 + "]" * 500, "[]", "{}", '[{"kind":"image"}]')
_VALUES = (*_NUMBERS, *_TEXTS, *_NESTED)
_MOST_BYTES = 1 << 20  # of one case


class Mutator:
    """Gives damaged copies of seeds, the same for the same number.

    Args:
        seeds: whole inputs.
        tokens: byte strings that mean something in the format.
        is_json: whether the seeds are JSON, which is damaged value by value too.
    """

    def __init__(self, seeds: Sequence[bytes], tokens: Sequence[bytes] = (), *, is_json: bool = False) -> None:
        self._seeds = seeds
        self._tokens = (*tokens, *(text.encode() for text in (*_NUMBERS, *_TEXTS, *_NESTED[:2])))
        self._is_json = is_json
        self._random = random.Random()

    def case(self, number: int) -> bytes:
        """Returns the case of that number."""
        choose = self._random
        choose.seed(number)
        seed = choose.choice(self._seeds)
        if self._is_json and choose.random() < 0.8:
            return self._other_json(seed)
        data = bytearray(seed)
        for _ in range(choose.choice((1, 1, 1, 2, 3, 8))):
            choose.choice(_STEPS)(self, data)
        return bytes(data[:_MOST_BYTES])

    def flip(self, data: bytearray) -> None:
        if data:
            data[self._place(data) - 1] ^= 1 << self._random.randrange(8)

    def set_byte(self, data: bytearray) -> None:
        if data:
            data[self._place(data) - 1] = self._random.choice(_BYTES)

    def truncate(self, data: bytearray) -> None:
        del data[self._place(data) :]

    def cut(self, data: bytearray) -> None:
        start = self._place(data)
        del data[start : start + self._length()]

    def repeat(self, data: bytearray) -> None:
        start = self._place(data)
        part = data[start : start + self._length()]
        data[start:start] = part * self._random.choice((1, 2, 50, 1000))

    def put_integer(self, data: bytearray) -> None:
        size = self._random.choice((1, 2, 4, 8))
        order = self._random.choice(("little", "big"))
        start = self._place(data)
        data[start : start + size] = (self._random.choice(_INTEGERS) % (1 << 8 * size)).to_bytes(size, order)

    def put_token(self, data: bytearray) -> None:
        start = self._place(data)
        token = self._random.choice(self._tokens)
        data[start : start + self._random.choice((0, 0, len(token)))] = token

    def splice(self, data: bytearray) -> None:
        other = self._random.choice(self._seeds)
        data[self._place(data) :] = other[self._place(other) :]

    def put_number(self, data: bytearray) -> None:
        found = list(_NUMBER.finditer(data))
        if found:
            chosen = self._random.choice(found)
            data[chosen.start() : chosen.end()] = self._random.choice(_NUMBERS).encode()

    def _place(self, data: bytes | bytearray) -> int:
        return self._random.randint(0, len(data))

    def _length(self) -> int:
        return self._random.choice((1, 2, 4, 16, 64, 1000))

    def _other_json(self, seed: bytes) -> bytes:
        tree = json.loads(seed)
        for _ in range(self._random.choice((1, 1, 2))):
            tree = self._changed(tree)
        text = json.dumps(tree)
        for mark, value in enumerate(_VALUES):
            text = text.replace(f'"@{mark}@"', value)
        return text.encode()

    def _changed(self, tree: Any) -> Any:
        """Walks down to some value, and replaces, removes, doubles or renames it."""
        choose = self._random
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
        if not keys or choose.random() < 0.1:
            return f"@{choose.randrange(len(_VALUES))}@"
        key = choose.choice(keys)
        act = choose.random()
        if act < 0.8:
            tree[key] = self._changed(tree[key])
        elif act < 0.86:
            del tree[key]
        elif isinstance(tree, list):
            tree.extend([tree[key]] * choose.choice((1, 5, 300)))
        elif act < 0.93:
            tree[f"@{choose.randrange(len(_VALUES))}@"] = tree.pop(key)  # a key that is no text, or a strange one
        else:
            tree[key] = tree[choose.choice(keys)]
        return tree


_STEPS: tuple[Callable[[Mutator, bytearray], None], ...] = (
    Mutator.flip,
    Mutator.flip,
    Mutator.set_byte,
    Mutator.truncate,
    Mutator.cut,
    Mutator.repeat,
    Mutator.put_integer,
    Mutator.put_integer,
    Mutator.put_token,
    Mutator.splice,
    Mutator.put_number,
)
