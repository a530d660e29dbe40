"""What reads messages: the parser of windows and receipts, topic names, and the lines that go to a store."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from random import Random
from typing import Any

import msgspec

from gateway import wire
from gateway.store.lineprotocol import encode
from tests.fuzz.hunt import Target

T_NS = 1_767_225_600 * 10**9
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**53, 2**53 + 1, 2**63, -(2**63), 2**64 - 1, 0.5, -0.0, 1e308, "", "x", "\n", "\\",
    "a b", "a,b=c", "air value=1", "#", '"', "\x00", "\ud7ff", "ä" * 300, "+", "#/..", [], {}, [[]], [None], {"": 0},
)  # fmt: skip
ODD_JSON = tuple(msgspec.json.encode(one) for one in ODD)
WORDS = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b'""', b"null", b"true", b"1e999", b"-1", b"\\u0000", b"\\ud800", b"\\n",
    b"\\", b"\xff", b"\xc0\x80", b'"v":1', b'"v":2', b'"series":[]', b'"fields":{}', b"[" * 200, b"NaN", b" " * 100,
)  # fmt: skip
LINE = re.compile(rb"(?s)(?:[^\\ ,\n]|\\.)+(?:,(?:[^\\ ,=\n]|\\.)+=(?:[^\\ ,=\n]|\\.)+)* .+ -?\d+\n")


def targets() -> Iterator[Target]:
    """Windows and receipts, plain and deflated; topics."""
    windows, receipts = [msgspec.json.encode(one) for one in _windows()], [msgspec.json.encode(_receipt())]
    bundles = [b'{"v":1,"messages":[%b]}' % b",".join(some) for some in (windows, windows[:1], [])]
    kinds = (
        ("windows", windows, windows_probe),
        ("bundle", bundles, bundle_probe),
        ("receipt", receipts, receipt_probe),
    )
    for name, seeds, probe in kinds:
        plain = tuple(seeds)
        yield Target(f"wire:{name}", probe, plain, 150.0, 256, WORDS, _grown([msgspec.json.decode(s) for s in seeds]))
        packed = tuple(zlib.compress(seed, 6) for seed in seeds)
        yield Target(f"wire:{name}-deflated", probe, (*plain, *packed), 100.0, 256, mend=zlib.compress, mended_by="zip")
    topics = tuple(wire.topic("post-7", leaf).encode() for leaf in wire.LEAVES)
    yield Target("wire:topic", topic_probe, topics, 30.0, 512, (b"/", b"+", b"#", b"lamppost/1/", b"/windows"))


def _windows() -> Iterator[wire.WindowsMessage]:
    ledger = wire.Ledger(["pm"], [60], [58], [2], [0], [1], [0], {"check": [2]}, {})
    series = [("air", "pm", "pm2_5", "ug/m3"), ("noise", "mic", "laeq", "dB")]
    fields: dict[str, list[float | None]] = {"mean": [12.5, None], "leq": [None, 61.25], "flag": [1.0, 9.0]}
    yield wire.WindowsMessage(1, "street", "post-7", "0123456789ab", 41, 60, T_NS, series, fields, 2, ledger)
    yield wire.WindowsMessage(1, "s", "g", "e", 0, 86_400, -1, [], {}, period="local_day")


def _receipt() -> wire.Receipt:
    return wire.Receipt(1, "0123456789ab", [(1, 3), (7, 2**53)], [(4, 4)])


def _grown(trees: Sequence[Any]) -> Callable[[Random], bytes]:
    """Make messages that are JSON, of which some values are odd, gone, doubled or elsewhere."""

    def make(rng: Random) -> bytes:
        tree = msgspec.json.decode(msgspec.json.encode(rng.choice(trees)))
        for _ in range(rng.choice((1, 1, 2, 4))):
            _change(tree, rng)
        return msgspec.json.encode(tree)

    return make


def _change(tree: Any, rng: Random) -> None:
    """Walk down a random way, and change what is found there."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    if not keys:
        return
    key = rng.choice(keys)
    if isinstance(tree[key], dict | list) and tree[key] and rng.random() < 0.8:
        _change(tree[key], rng)
    elif rng.random() < 0.15:
        del tree[key]
    elif isinstance(tree, list) and rng.random() < 0.3:
        tree.insert(key, msgspec.json.decode(msgspec.json.encode(rng.choice(tree))))
    else:
        tree[key] = msgspec.json.decode(rng.choice(ODD_JSON))


def windows_probe(inputs: Sequence[bytes], rng: Random) -> Counter[str]:
    """Any bytes: a WireError, or a message that comes back, whose points are finite, and whose lines are its own."""
    seen: Counter[str] = Counter()
    for payload in inputs:
        try:
            message = wire.unpack_windows(payload)
        except wire.WireError:
            seen["refused"] += 1
            continue
        points = list(wire.points(message))
        assert len(points) == len(message.series) + len(message.ledger), "points"
        assert all(isfinite(value) for point in points for value in point.fields.values()), "not finite"
        assert wire.unpack_windows(wire.pack(message)) == message, "it does not come back"
        seen[_lines(points)] += 1
    return seen


def bundle_probe(inputs: Sequence[bytes], rng: Random) -> Counter[str]:
    """Any bytes: a WireError, or payloads that are read one by one, each as if it had come alone."""
    seen: Counter[str] = Counter()
    for payload in inputs:
        try:
            parts = wire.unbundle(payload)
        except wire.WireError:
            seen["refused"] += 1
            continue
        said = windows_probe(parts, rng)
        if parts != [payload] and not said["refused"]:
            assert wire.unbundle(wire.bundle(parts)) == parts, "it does not come back"
            seen["bundle"] += 1
        seen += said
    return seen


def _lines(points: Sequence[wire.Point]) -> str:
    """One line for each point, whatever its names are: no name may write a line, a tag or a field of its own."""
    try:
        text = encode(points)
    except ValueError:
        return "taken, no line"
    lines = text.splitlines(keepends=True) if b"\r" not in text else text.split(b"\n")
    assert len([line for line in lines if line]) == sum(bool(point.fields) for point in points), "lines"
    for line in filter(None, text.split(b"\n")):
        assert LINE.fullmatch(line + b"\n"), f"no line of the protocol: {line!r}"
    return "taken"


def receipt_probe(inputs: Sequence[bytes], rng: Random) -> Counter[str]:
    """Any bytes: a WireError, or a receipt that comes back and whose ranges run forwards."""
    seen: Counter[str] = Counter()
    for payload in inputs:
        try:
            receipt = wire.unpack_receipt(payload)
        except wire.WireError:
            seen["refused"] += 1
            continue
        assert all(0 <= first <= last for first, last in (*receipt.stored, *receipt.dead)), "ranges"
        assert wire.unpack_receipt(wire.pack(receipt)) == receipt, "it does not come back"
        seen["taken"] += 1
    return seen


def topic_probe(inputs: Sequence[bytes], rng: Random) -> Counter[str]:
    """Any topic: a WireError, or the gateway and the leaf of which it is made."""
    seen: Counter[str] = Counter()
    for name in (data.decode("utf-8", "surrogateescape") for data in inputs):
        try:
            gateway, leaf = wire.split_topic(name)
        except wire.WireError:
            seen["refused"] += 1
            continue
        assert wire.topic(gateway, leaf) == name, "another topic"
        assert "/" not in gateway, "a gateway of two levels"
        seen["taken"] += 1
    return seen
