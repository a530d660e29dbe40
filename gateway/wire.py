"""What goes over MQTT: topic names and message schemas, version 1. The one place that knows them.

Topics are `lamppost/1/<gateway>/<leaf>`; `<gateway>` is the MQTT user name. Within major version 1 fields are only
added. A payload above 1 kB is deflated (RFC 1950, first byte 0x78); JSON always starts with `{`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple, TypeVar

import msgspec

VERSION = 1
ROOT = f"lamppost/{VERSION}"
LEAVES = ("windows", "status", "health", "meta", "event", "receipt", "now")
DEFLATE_ABOVE = 1_000
MAX_PAYLOAD = 64 * 1024  # bytes on the wire
MAX_PACKET = 2 * MAX_PAYLOAD  # what a client takes from its broker: a message of MAX_PAYLOAD, its topic, its properties
MAX_INFLATED = 4 * 1024 * 1024  # what a receiver is willing to unpack
NS = 1_000_000_000
S = TypeVar("S", bound=msgspec.Struct)
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # what a float, and so every store, holds exactly
Time = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]  # UTC ns
# What becomes a tag or a field of a store is a plain word: no separator of any store's language is in it.
Name = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.:-]{0,79}\Z")]
Domain = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9_]{0,39}\Z")]
Unit = Annotated[str, msgspec.Meta(pattern=r'\A[^\x00- ",=\\\x7f-\U0010ffff]{0,40}\Z')]  # UCUM
Period = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_./:-]{0,40}\Z")]
Columns = Annotated[dict[Name, list[float | None]], msgspec.Meta(max_length=512)]
Series = tuple[Domain, Name, Name, Unit]  # domain, sensor, channel, unit
MAX_SERIES = 4096  # of one message
MAX_BUNDLE = 100  # messages in one payload
LATE = ("lane", "backlog")  # user property of a PUBLISH whose messages had to wait


class WireError(ValueError):
    """A payload that is no message of this version; its text says why."""


def topic(gateway: str, leaf: str) -> str:
    """Name a topic of one gateway."""
    return f"{ROOT}/{gateway}/{leaf}"


def split_topic(name: str) -> tuple[str, str]:
    """Tell gateway and leaf of a topic; raise WireError when it is not ours."""
    parts = name.split("/")
    if len(parts) != 4 or f"{parts[0]}/{parts[1]}" != ROOT or parts[3] not in LEAVES:
        raise WireError(f"topic {name!r} is not {ROOT}/<gateway>/<{'|'.join(LEAVES)}>")
    return parts[2], parts[3]


class Ledger(msgspec.Struct, forbid_unknown_fields=False, omit_defaults=False):
    """Slots per sensor, as parallel lists: expected = valid + rejected + missing in every row."""

    sensor: Annotated[list[Name], msgspec.Meta(max_length=MAX_SERIES)] = []
    expected: list[Count] = []
    valid: list[Count] = []
    rejected: list[Count] = []
    missing: list[Count] = []
    extra: list[Count] = []
    late: list[Count] = []
    rejected_by: dict[Name, list[Count]] = {}  # verdict -> per sensor; absent when all are 0
    missing_by: dict[Name, list[Count]] = {}  # reason -> per sensor

    def __len__(self) -> int:
        return len(self.sensor)


class WindowsMessage(msgspec.Struct):
    """All series of one gateway for one (period, start), column by column; None where a field does not apply."""

    v: int
    site: Name
    gateway: Name
    epoch: Name  # names the data directory that counts seq
    seq: Count
    period_s: Count
    start_ns: Time
    series: Annotated[list[Series], msgspec.Meta(max_length=MAX_SERIES)]
    fields: Columns
    rev: Count = 0
    ledger: Ledger = msgspec.field(default_factory=Ledger)
    period: Period = ""  # the tag of a period that is not named by its length


class Bundle(msgspec.Struct):
    """Several messages of one gateway in one payload, each as it would go alone; only messages that had to wait."""

    v: int
    messages: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=MAX_BUNDLE)]


class _Shape(msgspec.Struct):
    """What tells a bundle from a message."""

    messages: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Receipt(msgspec.Struct):
    """What the store has: ranges of seq, ends included; `dead`: kept by the bridge as dead letters, not stored."""

    v: int
    epoch: Name
    stored: list[tuple[Count, Count]] = []
    dead: list[tuple[Count, Count]] = []


class Point(NamedTuple):
    """One row of a store; fields are floats only, the time is the start of the window."""

    measurement: str
    tags: tuple[tuple[str, str], ...]  # in the order of TAGS
    start_ns: int
    fields: dict[str, float]


TAGS = ("site", "gateway", "sensor", "channel", "period", "unit")
LEDGER_TAGS = ("site", "gateway", "sensor", "period")


def pack(message: msgspec.Struct) -> bytes:
    """Turn a message into a payload: JSON, deflated when that is worth it."""
    return deflated(msgspec.json.encode(message))


def deflated(raw: bytes) -> bytes:
    """Deflate JSON when that is worth it."""
    return zlib.compress(raw, 6) if len(raw) > DEFLATE_ABOVE else raw


def unpack_windows(payload: bytes) -> WindowsMessage:
    """Read a windows payload strictly; raise WireError with the reason."""
    message = _decode(payload, WindowsMessage)
    width = len(message.series)
    for name, column in message.fields.items():
        if len(column) != width:
            raise WireError(f"field {name!r} has {len(column)} values for {width} series")
    ledger = message.ledger
    columns = [ledger.expected, ledger.valid, ledger.rejected, ledger.missing, ledger.extra, ledger.late]
    columns += [*ledger.rejected_by.values(), *ledger.missing_by.values()]
    if any(len(column) != len(ledger) for column in columns):
        raise WireError("the columns of the ledger differ in length")
    if not message.period_s:
        raise WireError("period_s must be above 0")
    return message


def inflated_bytes(payload: bytes) -> int:
    """Say how long the JSON of a payload is; raise WireError where it is none of ours."""
    return len(_inflated(payload))


def bundle(payloads: Sequence[bytes]) -> bytes:
    """Put messages into one payload, as they were packed: nothing in them is written anew, least of all a time."""
    raw = b",".join(one if one.startswith(b"{") else zlib.decompress(one) for one in payloads)
    return deflated(b'{"v":%d,"messages":[%b]}' % (VERSION, raw))


def unbundle(payload: bytes) -> list[bytes]:
    """Take apart what `bundle` made; what is no bundle comes back as it is. Raises WireError with the reason."""
    try:
        shape = msgspec.json.decode(_inflated(payload), type=_Shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [payload]  # whoever reads it says why it is none
    if shape.messages is msgspec.UNSET:
        return [payload]
    return [deflated(bytes(one)) for one in _decode(payload, Bundle).messages]


def unpack_receipt(payload: bytes) -> Receipt:
    """Read a receipt strictly; raise WireError with the reason."""
    receipt = _decode(payload, Receipt)
    if any(first > last for first, last in [*receipt.stored, *receipt.dead]):
        raise WireError("a range of a receipt runs backwards")
    return receipt


def ranges(seqs: list[int]) -> list[tuple[int, int]]:
    """Fold sequence numbers into ranges, ends included."""
    out: list[tuple[int, int]] = []
    for seq in sorted(set(seqs)):
        if out and seq == out[-1][1] + 1:
            out[-1] = (out[-1][0], seq)
        else:
            out.append((seq, seq))
    return out


def part(message: WindowsMessage, sensors: set[str]) -> WindowsMessage:
    """Return the part of a message that speaks of some of its sensors."""
    rows = [i for i, (_, sensor, _, _) in enumerate(message.series) if sensor in sensors]
    own = [i for i, sensor in enumerate(message.ledger.sensor) if sensor in sensors]

    def pick(column: list[int]) -> list[int]:
        return [column[i] for i in own]

    old = message.ledger
    ledger = Ledger(
        sensor=[old.sensor[i] for i in own],
        expected=pick(old.expected),
        valid=pick(old.valid),
        rejected=pick(old.rejected),
        missing=pick(old.missing),
        extra=pick(old.extra),
        late=pick(old.late),
        rejected_by={name: pick(column) for name, column in old.rejected_by.items()},
        missing_by={name: pick(column) for name, column in old.missing_by.items()},
    )
    return msgspec.structs.replace(
        message,
        series=[message.series[i] for i in rows],
        fields={name: [column[i] for i in rows] for name, column in message.fields.items()},
        ledger=ledger,
    )


def points(message: WindowsMessage) -> Iterator[Point]:
    """Unfold a message into the points of docs/reference/data-model.md; None and absent fields are left out."""
    period = message.period or f"{message.period_s}s"
    for i, (domain, sensor, channel, unit) in enumerate(message.series):
        tags = tuple(zip(TAGS, (message.site, message.gateway, sensor, channel, period, unit), strict=True))
        fields = {name: column[i] for name, column in message.fields.items()}
        present = {name: float(value) for name, value in fields.items() if value is not None}
        yield Point(domain, tags, message.start_ns, present | {"rev": float(message.rev)})
    ledger, told = message.ledger, message.rev > 0  # of a revision zeros too: a store keeps what a rewrite leaves out
    for i, sensor in enumerate(ledger.sensor):
        tags = tuple(zip(LEDGER_TAGS, (message.site, message.gateway, sensor, period), strict=True))
        row = {"expected": ledger.expected[i], "valid": ledger.valid[i], "rejected": ledger.rejected[i]}
        row |= {"missing": ledger.missing[i], "extra": ledger.extra[i], "late": ledger.late[i], "rev": message.rev}
        row |= {f"rejected_{name}": column[i] for name, column in ledger.rejected_by.items() if column[i] or told}
        row |= {f"missing_{name}": column[i] for name, column in ledger.missing_by.items() if column[i] or told}
        yield Point("ledger", tags, message.start_ns, {name: float(value) for name, value in row.items()})


def _inflated(payload: bytes) -> bytes:
    if payload.startswith(b"{"):
        return payload
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(payload, MAX_INFLATED)
    except zlib.error as error:
        raise WireError(f"neither JSON nor deflated JSON: {error}") from None
    if not unpacker.eof:
        raise WireError(f"cut off, or more than {MAX_INFLATED} bytes when unpacked")
    if unpacker.unused_data:
        raise WireError(f"{len(unpacker.unused_data)} bytes behind the end of what was deflated")
    return raw


def _decode(payload: bytes, kind: type[S]) -> S:
    raw = _inflated(payload)
    try:
        message = msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not a {kind.__name__} of version {VERSION}: {error}") from None
    version = getattr(message, "v", None)
    if version != VERSION:
        raise WireError(f"version {version}: this program reads version {VERSION}")
    return message
