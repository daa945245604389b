"""What a compiled program of XLA does, counted from its text: kernels begun, bytes read and written, transposes."""

import re
from typing import NamedTuple

WIDTHS = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "f32": 4, "s32": 4, "u32": 4, "f64": 8, "s64": 8, "u64": 8}
FREE = {"parameter", "get-tuple-element", "bitcast", "tuple", "constant", "after-all", "fusion-done", "copy-done"}
LARGE = 1_000_000  # bytes from which on a transpose counts
ARRAY = re.compile(rf"\b({'|'.join(WIDTHS)})\[([\d,]*)\]")
COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \([^\n]*\{\n(.*?)\n\}", re.S | re.M)
INSTRUCTION = re.compile(r"\s*(?:ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*?)\)(.*)")


class Count(NamedTuple):
    """kernels: begun, loops counted as often as they run. moved_bytes: of what they read and write, each array whole.

    transposes: kernels that are named after one and move LARGE arrays. transposed_bytes: what these move.
    """

    kernels: int
    moved_bytes: int
    transposes: int
    transposed_bytes: int


def count(text: str) -> Count:
    """Counts what one run of a program begins and moves, of which `text` is what XLA prints of the compiled module."""
    bodies = {name: (bool(entry), body) for entry, name, body in COMPUTATION.findall(text)}
    (entry,) = (name for name, (is_entry, _) in bodies.items() if is_entry)
    return _of(entry, {name: body for name, (_, body) in bodies.items()})


def _of(name: str, bodies: dict[str, str]) -> Count:
    types: dict[str, str] = {}
    total = Count(0, 0, 0, 0)
    for line in bodies[name].splitlines():
        found = INSTRUCTION.match(line)
        if not found:
            continue
        own, kind, operation, operands, rest = found.groups()
        types[own] = kind
        if operation == "while":
            trips = re.search(r'known_trip_count":\{"n":"(\d+)"', rest)
            body = re.search(r"body=%?([\w.\-]+)", rest)
            assert body, line
            total = _add(total, _of(body[1], bodies), int(trips[1]) if trips else 1)
        elif operation == "call":
            called = re.search(r"to_apply=%?([\w.\-]+)", rest)
            assert called, line
            total = _add(total, _of(called[1], bodies))
        elif operation not in FREE:
            moved = sum(map(_size, (kind, *(types.get(read, "") for read in re.findall(r"%([\w.\-]+)", operands)))))
            large = "transpose" in own and moved >= LARGE
            total = _add(total, Count(1, moved, int(large), moved if large else 0))
    return total


def _add(total: Count, more: Count, times: int = 1) -> Count:
    return Count(*(a + times * b for a, b in zip(total, more, strict=True)))


def _size(kind: str) -> int:
    """Bytes of an array, or of all arrays of a tuple, from its type as XLA prints it."""
    size = 0
    for width, dimensions in ARRAY.findall(kind):
        numbers = WIDTHS[width]
        for dimension in filter(None, dimensions.split(",")):
            numbers *= int(dimension)
        size += numbers
    return size
