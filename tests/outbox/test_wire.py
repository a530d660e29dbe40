"""The wire: what is packed comes back, and no bytes at all bring down who reads them."""

from __future__ import annotations

import tracemalloc
import zlib
from dataclasses import dataclass
from itertools import pairwise

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import example, given
from window_samples import T_NS, window

from gateway import wire
from gateway.commit import Terms, windows_message

NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.:-]{0,12}\Z")
DOMAINS = st.from_regex(r"\A[a-z][a-z0-9_]{0,9}\Z")
UNITS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='",=\\'), max_size=12)
COUNTS = st.integers(0, 2**53)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def any_message(draw: st.DrawFn) -> wire.WindowsMessage:
    """Messages of any size, with any names and numbers that the schema allows."""
    k, s = draw(st.integers(0, 5)), draw(st.integers(0, 4))

    def column(of: st.SearchStrategy[object], n: int) -> list[object]:
        return draw(st.lists(of, min_size=n, max_size=n))

    sensors = column(NAMES, s)
    counts = {name: column(COUNTS, s) for name in ("expected", "valid", "rejected", "missing", "extra", "late")}
    by = {name: column(COUNTS, s) for name in draw(st.lists(NAMES, max_size=2, unique=True))}
    return wire.WindowsMessage(
        v=1, site=draw(NAMES), gateway=draw(NAMES), epoch=draw(NAMES), seq=draw(COUNTS),
        period_s=draw(st.integers(1, 2**31)), start_ns=draw(st.integers(-(2**63), 2**63 - 1)),
        series=column(st.tuples(DOMAINS, st.sampled_from(sensors) if sensors else NAMES, NAMES, UNITS), k),
        fields={name: column(st.none() | FLOATS, k) for name in draw(st.lists(NAMES, max_size=4, unique=True))},
        rev=draw(COUNTS), ledger=wire.Ledger(sensor=sensors, **counts, rejected_by=by, missing_by=by),
    )  # fmt: skip


def sample(sensors: int = 2) -> wire.WindowsMessage:
    names = tuple(f"sensor-{i}" for i in range(sensors))
    message = windows_message(window(sensors=names), Terms("street", "post-7", (), 0.75, 35.0))
    message.epoch, message.seq = "0123456789ab", 41
    return message


def changed(**values: object) -> bytes:
    """Return the JSON of a small message in which some values are others."""
    plain = msgspec.json.decode(msgspec.json.encode(sample(1)))
    return msgspec.json.encode(plain | values)


@given(any_message())
def test_a_message_comes_back_as_it_was_packed(message: wire.WindowsMessage) -> None:
    payload = wire.pack(message)
    assert wire.unpack_windows(payload) == message
    assert payload[:1] == (b"{" if len(msgspec.json.encode(message)) <= wire.DEFLATE_ABOVE else b"\x78")


@given(any_message())
def test_every_valid_message_unfolds_into_points(message: wire.WindowsMessage) -> None:
    points = list(wire.points(message))
    assert len(points) == len(message.series) + len(message.ledger)
    assert all(isinstance(value, float) for point in points for value in point.fields.values())
    assert {point.fields["rev"] for point in points} <= {float(message.rev)}


@given(any_message(), st.data())
def test_two_parts_hold_the_points_of_the_whole(message: wire.WindowsMessage, data: st.DataObject) -> None:
    sensors = {*message.ledger.sensor, *(sensor for _, sensor, _, _ in message.series)}
    some = set(data.draw(st.lists(st.sampled_from(sorted(sensors)))) if sensors else [])
    parts = [wire.part(message, some), wire.part(message, sensors - some)]
    found = [point for part in parts for point in wire.points(wire.unpack_windows(wire.pack(part)))]
    assert sorted(found, key=repr) == sorted(wire.points(message), key=repr)


def test_points_of_one_message_by_hand() -> None:
    message = wire.WindowsMessage(
        1, "street", "post-7", "e", 1, 60, T_NS, [("air", "pm", "pm2_5", "ug/m3"), ("noise", "mic", "laeq", "dB")],
        {"mean": [12.5, None], "leq": [None, 61.0], "flag": [1.0, 9.0]}, 2,
        wire.Ledger(["pm", "mic"], [60, 60], [58, 0], [2, 0], [0, 60], [1, 0], [0, 3], {"check": [2, 0]},
                    {"timeout": [0, 60]}),
    )  # fmt: skip
    where = (("site", "street"), ("gateway", "post-7"))
    assert list(wire.points(message)) == [
        ("air", (*where, ("sensor", "pm"), ("channel", "pm2_5"), ("period", "60s"), ("unit", "ug/m3")), T_NS,
         {"mean": 12.5, "flag": 1.0, "rev": 2.0}),
        ("noise", (*where, ("sensor", "mic"), ("channel", "laeq"), ("period", "60s"), ("unit", "dB")), T_NS,
         {"leq": 61.0, "flag": 9.0, "rev": 2.0}),
        ("ledger", (*where, ("sensor", "pm"), ("period", "60s")), T_NS,
         {"expected": 60.0, "valid": 58.0, "rejected": 2.0, "missing": 0.0, "extra": 1.0, "late": 0.0, "rev": 2.0,
          "rejected_check": 2.0, "missing_timeout": 0.0}),
        ("ledger", (*where, ("sensor", "mic"), ("period", "60s")), T_NS,
         {"expected": 60.0, "valid": 0.0, "rejected": 0.0, "missing": 60.0, "extra": 0.0, "late": 3.0, "rev": 2.0,
          "rejected_check": 0.0, "missing_timeout": 60.0}),
    ]  # fmt: skip


@pytest.mark.parametrize("deflated", [False, True])
def test_every_truncation_is_an_error(deflated: bool) -> None:
    raw = msgspec.json.encode(sample())
    payload = zlib.compress(raw, 6) if deflated else raw
    assert wire.unpack_windows(payload) == sample()
    for n in range(len(payload)):
        with pytest.raises(wire.WireError):
            wire.unpack_windows(payload[:n])


@pytest.mark.parametrize("deflated", [False, True])
def test_a_flipped_bit_is_an_error_or_another_valid_message(deflated: bool) -> None:
    raw = msgspec.json.encode(sample(1))
    payload = zlib.compress(raw, 6) if deflated else raw
    others = errors = 0
    for i in range(8 * len(payload)):
        flipped = bytearray(payload)
        flipped[i // 8] ^= 1 << i % 8
        try:
            message = wire.unpack_windows(bytes(flipped))
        except wire.WireError:
            errors += 1
        else:
            others += message != sample(1)
            assert len(list(wire.points(message))) == len(message.series) + len(message.ledger)
    assert errors > 4 * len(payload)
    assert (others == 0) == deflated  # what is deflated has a checksum, plain JSON has none


@given(st.binary(max_size=200))
@example(b"")
@example(b"{")
@example(b"\x78")
@example(b"\x78\x9c")
@example(b"null")
@example(b"[1]")
def test_other_bytes_are_errors(payload: bytes) -> None:
    for unpack in (wire.unpack_windows, wire.unpack_receipt):
        with pytest.raises(wire.WireError):
            unpack(payload)
        with pytest.raises(wire.WireError):
            unpack(zlib.compress(payload))


@given(
    st.recursive(st.none() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5), lambda x: st.lists(x, max_size=4)),
    st.data(),
)
def test_json_of_another_shape_is_an_error_or_a_valid_message(value: object, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(wire.WindowsMessage.__struct_fields__))
    payload = changed(**{key: value})
    try:
        message = wire.unpack_windows(payload)
    except wire.WireError:
        return
    assert len(list(wire.points(message))) == len(message.series) + len(message.ledger)


@dataclass(frozen=True)
class Bad:
    """A payload, and a word of the reason."""

    payload: bytes
    why: str


NESTED = b"[" * 200_000 + b"]" * 200_000
BAD = {
    "next major": Bad(changed(v=2), "version 2"),
    "no version": Bad(b'{"site": "street"}', "required"),
    "short column": Bad(changed(fields={"mean": [1.0]}), "has 1 values for 2 series"),
    "short ledger": Bad(changed(ledger={"sensor": ["a"], "expected": []}), "differ in length"),
    "ledger by reason": Bad(
        changed(ledger={"sensor": ["a"], "expected": [1], "valid": [1], "rejected": [1], "missing": [1], "extra": [1],
                        "late": [1], "rejected_by": {"check": [1, 2]}}), "differ in length"),
    "period 0": Bad(changed(period_s=0), "above 0"),
    "negative seq": Bad(changed(seq=-1), "seq"),
    "negative rev": Bad(changed(rev=-1), "rev"),
    "seq beyond a float": Bad(changed(seq=2**53 + 1), "seq"),
    "time beyond 64 bits": Bad(changed(start_ns=2**63), "start_ns"),
    "a count of 1000 digits": Bad(
        changed().replace(b'"late":[0', b'"late":[1' + b"0" * 1000), "late"),
    "infinity": Bad(changed().replace(b'"capture":[', b'"capture":[1e999,'), "range"),
    "text for a number": Bad(changed(fields={"mean": ["1", "2"]}), "fields"),
    "deep nesting": Bad(changed()[:-1] + b',"later":' + NESTED + b"}", "depth"),
    "bytes behind the end": Bad(zlib.compress(changed()) + b"more", "4 bytes behind"),
    "no text": Bad(changed().replace(b"street", b"str\xffet"), "utf-8"),
    "a sensor that writes a line": Bad(changed().replace(b'"sensor-0"', b'"x mean=1 1\\nair,sensor=y"'), "regex"),
    "a sensor that sets a tag": Bad(changed().replace(b'"sensor-0"', b'"x,site=other"'), "regex"),
    "a unit that ends a tag": Bad(changed(series=[["air", "a", "b", "ug m"]] * 2), "regex"),
    "a domain that is a comment": Bad(changed(series=[["#air", "a", "b", "1"]] * 2), "regex"),
    "a field that is two": Bad(changed(fields={"mean=1,max": [1.0, 2.0]}), "regex"),
    "a site with a line break": Bad(changed(site="street\n"), "regex"),
    "a period with a space": Bad(changed(period="60 s"), "regex"),
    "a reason with a quote": Bad(
        changed(ledger={"sensor": ["a"], "expected": [1], "valid": [1], "rejected": [1], "missing": [1], "extra": [1],
                        "late": [1], "rejected_by": {'ch"eck': [1]}}), "regex"),
    "a name without end": Bad(changed(gateway="g" * 81), "regex"),
    "no name": Bad(changed(gateway=""), "regex"),
    "series without end": Bad(changed(series=[["air", "a", "b", "1"]] * 4097, fields={}), "length"),
    "fields without end": Bad(changed(fields={f"f{i}": [1.0, 1.0] for i in range(513)}), "length"),
    "NaN": Bad(changed().replace(b'"capture":[', b'"capture":[NaN,'), "invalid"),
    "gzip": Bad(b"\x1f\x8b\x08" + bytes(20), "neither JSON nor deflated"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_said(name: str) -> None:
    with pytest.raises(wire.WireError, match=BAD[name].why):
        wire.unpack_windows(BAD[name].payload)
    assert BAD[name].payload != changed()


def test_fields_of_a_later_minor_version_are_passed_over() -> None:
    assert wire.unpack_windows(changed(later={"any": [1]})) == sample(1)


def test_nan_and_infinity_become_nothing() -> None:
    message = msgspec.structs.replace(sample(1), fields={"mean": [float("nan"), float("inf")]})
    assert wire.unpack_windows(wire.pack(message)).fields == {"mean": [None, None]}


def test_a_deflate_bomb_is_refused_before_it_fills_the_memory() -> None:
    bomb = zlib.compress(b'{"v":1,"x":"' + b" " * 50_000_000, 9)
    assert len(bomb) < wire.MAX_PAYLOAD
    tracemalloc.start()
    with pytest.raises(wire.WireError, match="more than 4194304 bytes"):
        wire.unpack_windows(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * wire.MAX_INFLATED


@given(st.lists(st.integers(0, 60)))
def test_ranges_hold_each_number_once_and_are_as_few_as_can_be(seqs: list[int]) -> None:
    spans = wire.ranges(seqs)
    assert [seq for first, last in spans for seq in range(first, last + 1)] == sorted(set(seqs))
    assert all(later > last + 1 for (_, last), (later, _) in pairwise(spans))


@given(st.lists(st.tuples(COUNTS, COUNTS).map(sorted).map(tuple), max_size=5), NAMES)
def test_a_receipt_comes_back(spans: list[tuple[int, int]], epoch: str) -> None:
    receipt = wire.Receipt(1, epoch, spans, spans[::-1])
    assert wire.unpack_receipt(wire.pack(receipt)) == receipt


@pytest.mark.parametrize("span", ["[2,1]", "[-1,1]", "[1]", "[1,2,3]", "[1.5,2]", '["1",2]', "[0,9007199254740993]"])
def test_a_receipt_with_a_bad_range_is_refused(span: str) -> None:
    with pytest.raises(wire.WireError):
        wire.unpack_receipt(b'{"v":1,"epoch":"e","stored":[' + span.encode() + b"]}")


def test_topics() -> None:
    for leaf in wire.LEAVES:
        assert wire.split_topic(wire.topic("post-7", leaf)) == ("post-7", leaf)
    for other in ("", "lamppost/1/post-7", "lamppost/2/post-7/windows", "lamppost/1/a/b/windows", "x/1/a/windows",
                  "lamppost/1/post-7/other", "/lamppost/1/post-7/windows"):  # fmt: skip
        with pytest.raises(wire.WireError, match="is not lamppost/1"):
            wire.split_topic(other)
