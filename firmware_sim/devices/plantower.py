"""Plantower PMS3003, PMS5003 with S, T and ST, PMSA003I, by their data manuals and captures of their frames.

frame    42 4D length[2] word[2].. sum[2]     big-endian; PM in ug/m3 (CF=1, then atmospheric), counts per 0.1 L
command  42 4D cmd 00 set sum[2]              E1 passive 0, active 1   E2 read   E4 sleep 0, wake 1
reply    42 4D 00 04 cmd set sum[2]           to E1 and to sleep; never to wake
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final, NamedTuple

from firmware_sim.checks import plantower_sum
from firmware_sim.device import NEVER_S, Nack, Playback, Report, Values
from firmware_sim.street import Street

MODE, READ, SLEEP = 0xE1, 0xE2, 0xE4
HEAD, COMMAND_BYTES = b"\x42\x4d", 7
STABLE_EVERY_S, FAST_EVERY_S = 2.3, 0.8
CHANGE = 0.1  # of PM2.5 that makes the next frame come fast; the true criterion is not published
BACKLOG_S = 2.0  # frames later than this were never sent
DEAF_S = 1.0  # after sleep and wake commands are lost; libraries leave 2 s
EMPTY_S, SETTLED_S = 3.0, 30.0  # after wake-up zeros, and then readings that are too low
MOST_UG_M3, MOST_WORD = 1000, 0xFFFF
HCHO_UG_M3_PER_PPB = 1.228  # 30.03 g/mol in 24.45 L/mol


class Field(NamedTuple):
    """One word of a frame: `scale` is words per unit of the channel; without a channel it is a constant."""

    channel: str
    scale: float = 1.0
    constant: int = 0


MASSES: Final = tuple(Field(name) for name in ("pm1_0_cf1", "pm2_5_cf1", "pm10_cf1", "pm1_0", "pm2_5", "pm10"))
FINE: Final = tuple(Field(name, 100.0) for name in ("n0_3", "n0_5", "n1_0", "n2_5"))
COARSE: Final = tuple(Field(name, 100.0) for name in ("n5_0", "n10"))
HCHO, CLIMATE = Field("hcho"), (Field("temperature", 10.0), Field("humidity", 10.0))
RESERVED = Field("", constant=0)


# the last word as captured: version and error byte, the other way round on a PMS3003
OLDEST, PMS5003, PMS5003T, PMS5003ST = (Field("", constant=word) for word in (0x0051, 0x9700, 0x9A00, 0x9100))

LAYOUTS: Final[Mapping[str, tuple[Field, ...]]] = MappingProxyType(
    {
        "pms3003": (*MASSES, RESERVED, RESERVED, OLDEST),
        "pms5003": (*MASSES, *FINE, *COARSE, PMS5003),
        "pms5003s": (*MASSES, *FINE, *COARSE, HCHO),
        "pms5003t": (*MASSES, *FINE, *CLIMATE, PMS5003T),
        "pms5003st": (*MASSES, *FINE, *COARSE, HCHO, *CLIMATE, RESERVED, PMS5003ST),
        "pmsa003i": (*MASSES, *FINE, *COARSE, PMS5003),
    }
)


def frame(words: bytes) -> bytes:
    """Put head, length and check sum around words."""
    body = HEAD + (len(words) + 2).to_bytes(2, "big") + words
    return body + plantower_sum(body).to_bytes(2, "big")


def encode(layout: Sequence[Field], values: Mapping[str, float]) -> tuple[bytes, Values]:
    """Write a data frame; return it, and what it says."""
    words, told = [], dict[str, float | None]()
    for channel, scale, constant in layout:
        word = constant
        if channel:
            word = round(values[channel] * scale)
            if channel == "temperature":
                word = max(word, -0x8000)
            elif not 0 <= word <= MOST_WORD:
                word = min(max(word, 0), MOST_WORD)
            told[channel] = word / scale
        words.append(word & MOST_WORD)
    return frame(struct.pack(f">{len(words)}H", *words)), told


class Plantower:
    """Laser, fan and firmware: what it would say at a time."""

    LAYOUT: ClassVar[tuple[Field, ...]] = LAYOUTS["pms5003"]

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = ()) -> None:
        self._street, self._report, self._frames = street, report, Playback(frames)
        self._awake_s = -math.inf  # since when the fan runs

    def _say(self, t_s: float) -> bytes:
        """One data frame, reported."""
        if self._frames:
            self._report(t_s, {})
            return self._frames.pop()
        data, told = encode(self.LAYOUT, self._values(t_s))
        self._report(t_s, told)
        return data

    def _values(self, t_s: float) -> dict[str, float]:
        running_s = t_s - self._awake_s
        share = 0.0 if running_s < EMPTY_S else min(running_s / SETTLED_S, 1.0)
        air, street = self._street.particles(t_s), self._street
        values = {"pm1_0": air.pm1_0, "pm2_5": air.pm2_5, "pm10": air.pm10}
        values = {name: min(share * x, MOST_UG_M3) for name, x in values.items()}
        values |= {f"{name}_cf1": min(_factory(x), MOST_UG_M3) for name, x in values.items()}
        counts = street.counts_per_cm3(t_s)
        values |= {name: share * x for name, x in zip(counts._fields, counts, strict=True)}
        if HCHO in self.LAYOUT:
            values["hcho"] = HCHO_UG_M3_PER_PPB * street.hcho_ppb(t_s)
        if CLIMATE[0] in self.LAYOUT:
            values |= {"temperature": street.temperature_degc(t_s), "humidity": street.humidity_pct(t_s)}
        return values


class Pms3003(Plantower):
    """The oldest one: it speaks, and does not listen."""

    LAYOUT = LAYOUTS["pms3003"]

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = ()) -> None:
        super().__init__(street, report, frames)
        self._due_s: float | None = None
        self._last_ug_m3 = -math.inf

    def receive(self, data: bytes, t_s: float) -> bytes:
        """Take no notice."""
        del data, t_s
        return b""

    def update(self, t_s: float) -> tuple[bytes, float]:
        """One frame every 2.3 s while the air hardly changes, and faster while it does."""
        if self._due_s is None:
            self._due_s = t_s + STABLE_EVERY_S
        said = b""
        while self._due_s <= t_s:
            if t_s - self._due_s < BACKLOG_S:
                said += self._say(self._due_s)
            ug_m3 = self._street.particles(self._due_s).pm2_5
            changed = abs(ug_m3 - self._last_ug_m3) > CHANGE * self._last_ug_m3 > 0.0
            self._last_ug_m3 = ug_m3
            self._due_s += FAST_EVERY_S if changed else STABLE_EVERY_S
        return said, self._due_s


class Pms5003(Pms3003):
    """Active and awake after power-on; keeps mode and sleep when the host goes away, and wakes up in active mode."""

    LAYOUT = LAYOUTS["pms5003"]

    def __init__(self, street: Street, report: Report, frames: Sequence[str] = ()) -> None:
        super().__init__(street, report, frames)
        self._active, self._asleep = True, False
        self._deaf_until_s = -math.inf
        self._buffer = b""

    def receive(self, data: bytes, t_s: float) -> bytes:
        """Obey every whole command with a good check sum; ignore the rest, and all for a while after sleep and wake."""
        self._buffer += data
        replies = b""
        while (start := self._buffer.find(HEAD[:1])) >= 0:
            self._buffer = self._buffer[start:]
            command = self._buffer[:COMMAND_BYTES]
            if len(command) < COMMAND_BYTES and HEAD.startswith(command[:2]):
                return replies
            if command[:2] == HEAD and command[5:] == plantower_sum(command[:5]).to_bytes(2, "big"):
                self._buffer = self._buffer[COMMAND_BYTES:]
                replies += self._obey(command[2], command[4], t_s)
            else:
                self._buffer = self._buffer[1:]
        self._buffer = b""
        return replies

    def update(self, t_s: float) -> tuple[bytes, float]:
        """Frames in active mode, none in passive mode or asleep."""
        if self._asleep or not self._active:
            self._due_s = None
            return b"", NEVER_S
        return super().update(t_s)

    def _obey(self, command: int, value: int, t_s: float) -> bytes:
        if t_s < self._deaf_until_s or (self._asleep and (command, value) != (SLEEP, 1)):
            return b""
        if command == READ and not self._active:
            return self._say(t_s)
        if command not in (MODE, SLEEP) or value > 1:
            return b""
        if command == MODE:
            self._active = value == 1
        elif value == 0:
            self._asleep, self._deaf_until_s = True, t_s + DEAF_S
        elif self._asleep:
            self._asleep, self._active, self._deaf_until_s, self._awake_s = False, True, t_s + DEAF_S, t_s
        return b"" if (command, value) == (SLEEP, 1) else frame(bytes([command, value]))


class Pms5003s(Pms5003):
    """With formaldehyde, in ug/m3."""

    LAYOUT = LAYOUTS["pms5003s"]


class Pms5003t(Pms5003):
    """With temperature and humidity, and no counts above 5 um."""

    LAYOUT = LAYOUTS["pms5003t"]


class Pms5003st(Pms5003):
    """With formaldehyde, temperature and humidity: 40 bytes."""

    LAYOUT = LAYOUTS["pms5003st"]


class Pmsa003i(Plantower):
    """On I2C: 32 bytes for whoever reads, without a register and without commands."""

    ADDRESSES: ClassVar[tuple[int, ...]] = (0x12,)
    LAYOUT = LAYOUTS["pmsa003i"]
    BYTES: ClassVar[int] = 32

    def write(self, data: bytes, t_s: float) -> None:
        """Acknowledge the address; there is nothing that could be written."""
        del t_s
        if len(data) > 1:
            raise Nack("takes no commands")

    def read(self, n: int, t_s: float) -> bytes:
        """Return the latest frame."""
        return self._say(t_s)[:n].ljust(n, b"\xff")


def _factory(ug_m3: float) -> float:
    """What the part says for CF=1: the same below 30 ug/m3, and up to half as much again above (captures)."""
    return ug_m3 + 0.5 * max(ug_m3 - 30.0, 0.0)
