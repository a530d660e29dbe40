"""Ingest: the records of one sensor become a stamped, framed, decoded Block and the account of its slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np

from drivers.base import EVENTS, Driver, Fault, Mark, Miss, OptionValue, PieceKind, Stream
from gateway.block import I8, MISS_BASE, U1, Block, Slots
from gateway.pipeline.quality import mark_flags
from gateway.pipeline.stage import State, later
from gateway.record import Context, Record, RecordKind

MISS_CODE = {str(miss): MISS_BASE + i for i, miss in enumerate(Miss)}
FRAME, CHUNK, MISS, CONTEXT = RecordKind.FRAME, RecordKind.CHUNK, RecordKind.MISS, RecordKind.CONTEXT
WHOLE = PieceKind.FRAME  # names of their own, for a lookup in an enum costs as much as what is done with it
NOT_STARTED = int(np.iinfo(np.int64).max)


@dataclass(frozen=True, slots=True)
class Reader:
    """How the records of one sensor are read."""

    driver: Driver
    options: Mapping[str, OptionValue]
    slot_ns: int
    warm_up_ns: int = 0

    @property
    def events(self) -> bool:
        """Tell whether the part speaks only when something happens."""
        access = self.driver.access
        return isinstance(access, Stream) and access.nominal_s == EVENTS

    def initial(self) -> State:
        """Return the state before the first record: no partial frame, no context, no session."""
        empty = np.empty(0, np.uint8)
        return {"rest": empty, "context": empty, "started": np.array([NOT_STARTED]), "serial": empty}


def moved(state: State, by_ns: int) -> State:
    """Put the begin of the session where it is on another time line: the warm-up goes on as long as it has to."""
    return {**state, "started": later(state["started"], by_ns, NOT_STARTED)}


class Reading(NamedTuple):
    """What a run of records said; `garbage` counts bytes that belong to no frame."""

    block: Block
    slots: Slots
    garbage: int
    serial: str = ""  # of the part that said it; empty while it has told none


def read(
    reader: Reader, state: State, records: Sequence[Record], offset_ns: int, until_ns: int
) -> tuple[State, list[Reading]]:
    """Read the records of one sensor, in their order; a change of context starts a new Reading."""
    after: State = dict(state)
    readings, run = [], []
    for record in records:
        if record.kind is not CONTEXT:
            run.append(record)
            continue
        if run:
            readings.append(_read_run(reader, after, run, offset_ns, record.mono_ns + offset_ns))
            run = []
        context = msgspec.msgpack.decode(record.data, type=Context)
        after["context"] = np.frombuffer(context.data, np.uint8)
        if context.serial:
            after["serial"] = np.frombuffer(context.serial.encode(), np.uint8)
        if context.start:
            after["started"] = np.array([record.mono_ns + offset_ns])
            after["rest"] = np.empty(0, np.uint8)  # what was cut off by the end of the session never comes
    if run or not readings:
        readings.append(_read_run(reader, after, run, offset_ns, until_ns))
    return after, readings


def _read_run(reader: Reader, state: State, records: Sequence[Record], offset_ns: int, until_ns: int) -> Reading:
    """Read records under one context; replaces `rest` in the given state."""
    frames: list[bytes] = []
    frame_t: list[int] = []
    slot_t: list[int] = []
    slot_code: list[int] = []
    garbage, access = 0, reader.driver.access
    rest = state["rest"].tobytes()
    for record in records:
        t = record.mono_ns + offset_ns
        if record.kind is FRAME:
            frames.append(record.data)
            frame_t.append(t)
        elif record.kind is MISS:
            slot_t.append(t)
            slot_code.append(MISS_CODE.get(record.data.decode("ascii", "replace"), MISS_BASE))
        elif record.kind is CHUNK and isinstance(access, Stream):
            pieces, rest = access.framer.split(rest + record.data)
            for data, kind in pieces:
                if kind is WHOLE:
                    frames.append(data)
                    frame_t.append(t)
                elif kind is PieceKind.BAD_CHECK:
                    slot_t.append(t)
                    slot_code.append(Fault.CHECK)
                else:
                    garbage += len(data)
    state["rest"] = np.frombuffer(rest, np.uint8)
    block, fault = _decode(reader, state, frames, np.array(frame_t, np.int64), until_ns)
    counts = _slot_codes(reader, fault)
    keep = counts != SKIP
    all_t = np.concatenate([np.array(frame_t, np.int64)[keep], np.array(slot_t, np.int64)])
    all_code = np.concatenate([counts[keep], np.array(slot_code, np.uint8)])
    return Reading(block, Slots(all_t, all_code), garbage, state["serial"].tobytes().decode(errors="replace"))


SKIP = 255


def _slot_codes(reader: Reader, fault: U1) -> U1:
    """Say what verdicts on frames mean for their slots; a good frame makes its slot valid also without a row.

    What is no data speaks of no slot in a stream; of an event part it proves that the part is alive; and where
    something was asked for, it is not the answer.
    """
    of_stream = 0 if reader.events else SKIP
    codes = fault.copy()
    codes[fault == Fault.NOT_DATA] = of_stream if isinstance(reader.driver.access, Stream) else Fault.SANITY
    return codes


def _decode(
    reader: Reader,
    state: State,
    frames: Sequence[bytes],
    t: I8,
    until_ns: int,
) -> tuple[Block, U1]:
    """Decode a batch; rows get the stamp of their frame, and WARM_UP while the session is young."""
    channels = len(reader.driver.channels)
    if not frames:
        return Block.empty(channels, until_ns), np.empty(0, np.uint8)
    decoded = reader.driver.decode(frames, state["context"].tobytes(), reader.options)
    row_t = t[decoded.frame]
    order = np.argsort(row_t, kind="stable")
    mark, row_t = decoded.mark[order].copy(), row_t[order]
    warm = row_t < int(state["started"][0]) + reader.warm_up_ns if reader.warm_up_ns and _started(state) else None
    if warm is not None:
        mark[warm[:, None] & (mark == Mark.OK)] = Mark.WARM_UP
    flag, reason = mark_flags(mark)
    values = np.where(mark == Mark.MISSING, np.nan, decoded.values[order])
    dur = np.full(len(order), reader.slot_ns / 1e9) if decoded.dur_s is None else decoded.dur_s[order]
    return Block(row_t, values, flag, reason, dur, until_ns), decoded.fault


def _started(state: State) -> bool:
    return int(state["started"][0]) != NOT_STARTED
