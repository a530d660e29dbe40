"""The whole vocabulary in which a sensor describes itself: values only, no I/O, no time.

A driver is a declaration (`Driver`) and one pure function (`decode`). What is said on the wire is a `Script`
of `Command`s; who says it, and when, is the business of another room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from drivers.verdict import Fault, Mark, Miss

__all__ = [
    "EVENTS", "F8", "I4", "U1", "Channel", "Chore", "Command", "Decode", "Decoded", "Driver", "Duty", "Fault",
    "Framer", "I2c", "Identify", "Identity", "Input", "Inputs", "Kind", "Mark", "Miss", "Option", "OptionValue",
    "Options", "Piece", "PieceKind", "Poll", "Script", "Stream", "Tx", "Uart", "Until",
]  # fmt: skip
OptionValue = bool | int | float | str
Options = Mapping[str, OptionValue]
Inputs = Mapping[str, float]
F8 = npt.NDArray[np.float64]
U1 = npt.NDArray[np.uint8]
I4 = npt.NDArray[np.int32]


class Kind(StrEnum):
    """How the readings of a channel may be averaged."""

    SCALAR = "scalar"  # arithmetic mean
    LEVEL = "level"  # dB: energy mean, never arithmetic
    ANGLE = "angle"  # degrees: circular mean
    COUNTER = "counter"  # a running total: differences, wrap and reset
    COUNT = "count"  # events per row: summed
    SPEED = "speed"  # the sign is the direction (+ towards the sensor); statistics are of the magnitude


class PieceKind(IntEnum):
    """What a run of bytes in a stream turned out to be."""

    FRAME = 0
    BAD_CHECK = 1
    GARBAGE = 2


class Piece(NamedTuple):
    """A run of bytes cut from a stream; the pieces of a stream joined are the stream."""

    data: bytes
    kind: PieceKind


class Framer(Protocol):
    """Cuts a stream into pieces; without state, so the caller keeps (and may save) the rest."""

    def split(self, buffer: bytes, *, final: bool = False) -> tuple[list[Piece], bytes]:
        """Cut what can be cut; return the pieces and the bytes that still wait for more.

        Feeding `rest + more` again gives the same pieces for any cut of the stream. With `final` nothing waits:
        an unfinished tail comes out as GARBAGE.
        """
        ...


Tx = bytes | Callable[[Inputs, Options], bytes]
"""What is written: bytes, or a pure function of what other sensors measured and of the site's options."""


Until = tuple[int, int, int] | Callable[[bytes], bool]
"""What a reply must be: (index, mask, value) for reply[index] & mask == value, or a pure function of the reply."""


@dataclass(frozen=True, slots=True)
class Command:
    """One thing said to a device, with all that the bus must know about it."""

    name: str
    tx: Tx = b""
    rx: int | Framer = 0  # bytes of the reply, or a Framer where its length is unknown
    wait_s: float = 0.0  # between write and read; 0 on I2C: one combined transfer with a repeated start
    settle_s: float = 0.0  # after the reply, before the next command
    timeout_s: float = 0.1
    until: Until | None = None  # ask again until this holds of the reply
    poll_s: float = 0.002
    tries: int = 1  # 1: must not be repeated (a read that resets what it reads)
    expect: Tx | None = None  # prefix of the right reply; others are skipped and counted
    nack_ok: bool = False  # a wake pulse: nobody answers
    drain: bool = False  # throw away stale input first
    keep: bool = True  # the reply is part of the frame


Script = tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Poll:
    """Asked at a fixed period: one script, one slot, one frame or one miss."""

    script: Script
    every_s: float = 1.0
    min_s: float = 0.1


EVENTS = 0.0  # nominal_s of a stream that speaks only when something happens


@dataclass(frozen=True, slots=True)
class Stream:
    """Speaks by itself; `nominal_s` is its period (EVENTS: when something happens)."""

    framer: Framer
    nominal_s: float = 1.0
    idle_s: float = 5.0  # silence after which `alive` is asked
    alive: Script = ()


@dataclass(frozen=True, slots=True)
class Chore:
    """A script beside the measurement: its kept reply joins the context of decode."""

    script: Script
    every_s: float
    phase_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Duty:
    """Sleep and wake for parts that wear out; readings in the first `warm_up_s` are flagged."""

    wake: Script = ()
    sleep: Script = ()
    warm_up_s: float = 0.0


@dataclass(frozen=True, slots=True)
class I2c:
    """Where the part can be on an I2C bus; the first address is the factory setting."""

    addresses: tuple[int, ...]
    max_hz: int = 100_000
    stretch_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Uart:
    """How the part talks on a serial port; several bauds: the factory setting first."""

    bauds: tuple[int, ...]
    format: str = "8N1"
    shared: bool = False  # several parts on one line (RS-485)


@dataclass(frozen=True, slots=True)
class Channel:
    """One quantity: `unit` is UCUM; `lo`..`hi` is what the part can report, ends included."""

    name: str
    unit: str
    kind: Kind = Kind.SCALAR
    lo: float = -np.inf
    hi: float = np.inf
    resolution: float = 0.0


@dataclass(frozen=True, slots=True)
class Option:
    """What a site file may set on this part."""

    name: str
    type: type[bool] | type[int] | type[float] | type[str]
    default: OptionValue
    unit: str = ""
    help: str = ""
    choices: tuple[OptionValue, ...] = ()


@dataclass(frozen=True, slots=True)
class Input:
    """A quantity that a part wants to be told; `default` is said while nobody measures it, or not lately."""

    name: str
    unit: str
    default: float
    lo: float = -np.inf  # what is measured beyond lo..hi is said as lo or hi: the part takes no more
    hi: float = np.inf
    max_age_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Decoded:
    """What n frames said in m rows: `frame[i]` is the frame that row i came from.

    A good frame may have no row (a radar that is well and sees nothing), one, or several.
    """

    values: F8  # [m, c]
    mark: U1  # [m, c], Mark
    frame: I4  # [m]
    fault: U1  # [n], Fault
    dur_s: F8 | None = None  # [m], time that a row stands for; None: one slot

    def __post_init__(self) -> None:
        """Refuse shapes that do not belong together."""
        rows = len(self.frame)
        if self.values.shape != self.mark.shape or self.values.shape[0] != rows:
            raise ValueError("Decoded: values, mark and frame must have the same number of rows")
        of = self.frame.view(np.uint32)  # less than 0 is, without a sign, beyond them all
        if rows and of[of.argmax()] >= len(self.fault):
            raise ValueError("Decoded: a row names a frame that is not there")


Decode = Callable[[Sequence[bytes], bytes, Options], Decoded]


@dataclass(frozen=True, slots=True)
class Identify:
    """How `gateway scan` recognises the part without harming another one: ask, then look at the reply.

    The script is safe on any other part that may sit at the same place: it reads, or asks for an identity.
    `sure` tells whether the right reply names this part alone; where other parts reply alike, scan says so.
    """

    script: Script
    match: Callable[[bytes], bool]
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Identity:
    """How a part tells its serial number before its setup; a part that is busy and tells none stays who it was."""

    script: Script
    serial: Callable[[bytes], str]  # of the kept replies; total: empty where they do not tell


@dataclass(frozen=True, slots=True)
class Driver:
    """A sensor: what it measures, how it is reached, what is said to it, and how its frames are read.

    `decode(frames, context, options)` is pure, batch and total: any bytes in, values and verdicts out, never an
    exception. `context` is the kept replies of `setup` joined, then the latest kept reply of each chore.
    """

    name: str
    domain: str
    model: str
    access: Poll | Stream
    channels: tuple[Channel, ...]
    source: str
    decode: Decode
    bus: I2c | Uart
    setup: Script = ()
    chores: tuple[Chore, ...] = ()
    duty: Duty | None = None
    inputs: tuple[Input, ...] = ()
    options: tuple[Option, ...] = ()
    commands: Mapping[str, Command] = field(default_factory=dict)  # further ones, for people and for chores
    identify: Identify | None = None
    shutdown: Script = ()
    family: str = ""  # the folder, where several parts share one
    identity: Identity | None = None
    opcode: Callable[[bytes], bytes] | None = None  # of drivers.opcodes; None: commands are known by all their bytes

    @property
    def folder(self) -> str:
        """Name the folder of this part inside its domain."""
        return self.family or self.name

    def defaults(self) -> dict[str, OptionValue]:
        """Every option with its default."""
        return {option.name: option.default for option in self.options}

    def default_inputs(self) -> dict[str, float]:
        """Every input as it is told while nobody measures it."""
        return {said.name: said.default for said in self.inputs}
