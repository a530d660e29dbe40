"""A visit to one serial port: its USB identity, then listening, then harmless questions, each with its end.

A port that speaks and is not understood is never written to. A silent one is asked by the drivers of polled parts, each
with the question that its driver calls safe for any other part. Parts on RS-485 share their line with others: they are
asked only on request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event

from drivers import DRIVERS, models
from drivers.base import Driver, Identify, Options, Stream, Uart
from drivers.link.base import LinkError
from drivers.script import Answer, run
from gateway.clock import NS, Clock
from gateway.scan_ear import Ear, dwell_s, is_passive
from gateway.scan_finds import Find, Note, Tell, Visit, surely, written
from gateway.scan_line import Line
from gateway.scan_places import PortPlace
from gateway.scan_rates import Rate, by_rate, factory, may_be_silent, on_ports
from gateway.wiring import UNIT

PATIENCE = (1, 4)  # how often as long as usual a reply is waited for: longer where one was heard too late
PASSES = 3  # through the rates at which a port that speaks was silent
ENOUGH = 2  # good frames that end the listening
HALF = 0.5  # of what was heard must make sense: a frame by chance is none
NOISE = 8  # so few bytes may come from a wire without a part
SHOWN = 16  # bytes of what nobody understands
FORGET_S = (
    1.1  # between two questions: a part without framing takes the first for the begin of the second, for a second
)
# A sensor with a USB plug of its own takes no notice of the rate, an adapter in the same class of USB devices does.
PERHAPS_RATELESS = "/dev/ttyACM"
SURE, LIKELY, READABLE, UNLIKELY = 3, 2, 1, 0  # that a driver which understands the frames is that of the part


def visit(place: PortPlace, clock: Clock, modbus_units: int, tell: Tell, stop: Event) -> Visit:
    """Find out who is at a port; raise nothing: what fails is said."""
    call = _Call(place, clock, modbus_units, tell, stop)
    try:
        return call.visit()
    except LinkError as error:
        return Visit(unknown=(Note.of(place.name, error),))


class _Call:
    """One visit: the port, and what was heard on it."""

    def __init__(self, place: PortPlace, clock: Clock, modbus_units: int, tell: Tell, stop: Event) -> None:
        self._place, self._clock, self._units, self._tell, self._stop = place, clock, modbus_units, tell, stop
        self._hinted = named_by(place.usb)
        self._any_rate = place.node.startswith(PERHAPS_RATELESS)
        self._begin = b""
        self._heard = self._asked = self._answered = self._late = 0
        self._patience = PATIENCE[0]
        self._quiet_ns = 0
        self._opened = False

    def visit(self) -> Visit:
        """Listen, then ask."""
        finds = self._listen()
        if not finds and self._heard <= NOISE:
            finds = self._ask_patiently()
        if finds or self._stop.is_set():
            return Visit(tuple(map(self._at_factory_rate, finds)))
        return Visit(unknown=(self._riddle(),))

    def _open(self, rate: Rate) -> Line | None:
        """Open the port at a rate; None where its adapter cannot do this one, though it did another."""
        try:
            line = Line(self._place.node, rate, self._clock, self._stop)
        except LinkError:
            if self._opened and Path(self._place.node).exists():
                return None
            raise
        self._opened = True
        return line

    # --- listening

    def _listen(self) -> list[Find]:
        everyone = [driver for driver in on_ports(DRIVERS.values()) if isinstance(driver.access, Stream)]
        rates = list(by_rate(everyone, self._hinted))
        for _ in range(PASSES):
            silent = []
            for rate, drivers in rates:
                before = self._heard
                finds = self._listen_at(rate, drivers, everyone)
                if finds or not self._heard or self._stop.is_set():
                    return finds
                if self._heard <= before + NOISE and may_be_silent(drivers):
                    silent.append((rate, drivers))
            if self._heard <= NOISE:
                break
            rates = silent  # nothing happened meanwhile: that says nothing of these rates
        return []

    def _listen_at(self, rate: Rate, drivers: Sequence[Driver], everyone: Sequence[Driver]) -> list[Find]:
        line = self._open(rate)
        if line is None:
            return []
        try:
            self._tell(self._place.name, f"listening at {rate}")
            # Bytes come at any rate, wrong ones at a wrong one: silence for the longest period is silence.
            quiet_s = dwell_s(everyone) if not self._heard else dwell_s(drivers)
            ears = self._hear(line, everyone if self._any_rate else drivers, quiet_s)
            return self._settle(line, rate, ears) if ears else []
        finally:
            line.close()

    def _hear(self, line: Line, drivers: Sequence[Driver], quiet_s: float) -> list[Ear]:
        """Listen until a driver understands; return those that understood most of it."""
        ears = [Ear(driver) for driver in drivers]
        until_ns = line.now_ns() + round(quiet_s * NS)
        while data := line.take(until_ns):
            if not self._heard:
                until_ns = line.now_ns() + round(dwell_s(drivers) * NS)
            self._heard += len(data)
            self._begin = (self._begin + data)[:SHOWN]
            for ear in ears:
                ear.hear(data)
            if any(ear.good >= ENOUGH for ear in ears):
                break
        best = max((ear.share for ear in ears), default=0.0)
        return [ear for ear in ears if ear.share == best >= HALF]

    def _settle(self, line: Line, rate: Rate, ears: Sequence[Ear]) -> list[Find]:
        """Tell between drivers that understand the same frames: by what the frames say, then by asking."""
        ranked: list[tuple[int, Driver, bytes]] = []
        for ear in ears:
            identify = ear.driver.identify
            assert identify is not None
            passive = is_passive(identify)
            reply = ear.recognised(identify) if passive else self._question(line, ear.driver, {})
            rank = (SURE if identify.sure else LIKELY) if reply else UNLIKELY if passive else READABLE
            ranked.append((rank, ear.driver, reply or ear.frames[-1]))
        ranked.sort(key=lambda one: -one[0])
        best = ranked[0][0]
        if best == UNLIKELY:
            return []
        sure = best == SURE and [rank for rank, _, _ in ranked].count(SURE) == 1
        how = "heard one good frame" if max(ear.good for ear in ears) == 1 else "heard good frames"
        alike = [driver for _, driver, _ in (ranked[:1] if sure else ranked)]
        return [self._find(alike, rate, how, ranked[0][2], sure=sure)]

    # --- asking

    def _ask_patiently(self) -> list[Find]:
        """Ask; and where something was heard too late, on a slow line or a busy machine, again with more patience."""
        finds: list[Find] = []
        for self._patience in PATIENCE:
            self._late = 0
            finds = self._ask() or self._ask_units() or finds
            if surely(finds) or not self._late:
                break
        return finds

    def _ask(self) -> list[Find]:
        """Ask as the drivers of polled parts do, one rate after the other, until somebody answers."""
        everyone = [d for d in on_ports(DRIVERS.values()) if d.identify and not is_passive(d.identify)]
        rates = by_rate(everyone, self._hinted, careful=True)
        return next((finds for rate, drivers in rates if (finds := self._ask_at(rate, drivers, (None,)))), [])

    def _ask_units(self) -> list[Find]:
        """Ask the units of a Modbus line, 1 to as many as wanted; the units of one line have one rate."""
        everyone = [d for d in DRIVERS.values() if isinstance(d.bus, Uart) and d.bus.shared and d.identify]
        rates, units = by_rate(everyone, self._hinted), range(1, self._units + 1)
        return next((finds for rate, drivers in rates if units and (finds := self._ask_at(rate, drivers, units))), [])

    def _ask_at(self, rate: Rate, drivers: Sequence[Driver], units: Sequence[int | None]) -> list[Find]:
        line = None if self._stop.is_set() else self._open(rate)
        if line is None:
            return []
        line.patience = self._patience
        try:
            line.rest(self._quiet_ns)
            finds = [find for unit in units for find in self._ask_all(line, rate, drivers, unit)]
            if not surely(finds):
                line.rest(self._quiet_ns)  # what comes now would have been the answer
            return finds
        finally:
            self._late += line.late
            line.close()

    def _ask_all(self, line: Line, rate: Rate, drivers: Sequence[Driver], unit: int | None = None) -> list[Find]:
        """Ask until a sure answer, or all of them; drivers that would say the same words share one answer."""
        alike: list[tuple[Driver, bytes]] = []
        said: dict[tuple[bytes, ...], Answer] = {}
        chosen: Options = {} if unit is None else {UNIT: unit}
        whom = "" if unit is None else f"unit {unit} of {self._units}, "
        how = "answered" if unit is None else f"unit {unit} answered"
        for driver in drivers:
            if self._stop.is_set():
                break
            assert driver.identify is not None
            options = {**driver.defaults(), **chosen}
            words = tuple(written(one, driver.default_inputs(), options) for one in driver.identify.script)
            if words not in said:
                self._tell(self._place.name, f"asking at {rate}: {whom}{driver.name}")
                if unit is None:
                    line.rest(self._quiet_ns)
                said[words] = self._say(line, driver, driver.identify, options)
            answer = said[words]
            if answer.miss is None and driver.identify.match(answer.frame):
                if driver.identify.sure:
                    return [self._find([driver], rate, how, answer.frame, sure=True, options=chosen)]
                alike.append((driver, answer.frame))
        if not alike:
            return []
        return [self._find([d for d, _ in alike], rate, how, alike[0][1], sure=False, options=chosen)]

    def _question(self, line: Line, driver: Driver, chosen: Options) -> bytes:
        """Ask for the identity, with more patience if there is no reply; return the right reply, or b""."""
        identify = driver.identify
        assert identify is not None
        for line.patience in PATIENCE:
            line.rest(self._quiet_ns)
            answer = self._say(line, driver, identify, {**driver.defaults(), **chosen})
            if answer.miss is None:
                return answer.frame if identify.match(answer.frame) else b""
        return b""

    def _say(self, line: Line, driver: Driver, identify: Identify, options: Options) -> Answer:
        self._asked += 1
        line.drain()
        before = line.heard
        answer = run(line.transfer, identify.script, driver.default_inputs(), options)
        self._answered += line.heard - before
        self._quiet_ns = line.wrote_ns + round(FORGET_S * NS)
        return answer

    # --- what came of it

    def _at_factory_rate(self, find: Find) -> Find:
        """Ask at the factory's rate too what was found at another: with a USB plug of its own, any rate will do."""
        identify = find.driver.identify
        if find.baud is None or not identify or is_passive(identify) or self._stop.is_set():
            return find
        line = self._open(factory(find.driver))
        if line is None:
            return find
        try:
            return replace(find, baud=None) if self._question(line, find.driver, find.options) else find
        finally:
            line.close()

    def _find(
        self,
        drivers: Sequence[Driver],
        rate: Rate,
        how: str,
        reply: bytes,
        *,
        sure: bool,
        options: Options | None = None,
    ) -> Find:
        ranked = tuple(sorted(drivers, key=lambda driver: driver.name not in self._hinted))
        bus = ranked[0].bus
        assert isinstance(bus, Uart)
        notes = (f"USB: {self._place.usb}", *self._place.notes) if self._place.usb else self._place.notes
        baud = None if rate.baud == bus.bauds[0] else rate.baud
        return Find(
            ranked, sure, f"{how} at {rate}", port=self._place.name, baud=baud,
            options=options or {}, reply=reply, label=self._place.label, notes=notes,
        )  # fmt: skip

    def _riddle(self) -> Note:
        """Say what could not be told, and the next step."""
        where = f"{self._place.name} ({self._place.usb})" if self._place.usb else self._place.name
        hinted = ", ".join(self._hinted)
        hint = f"its USB name is that of {hinted}: check that the part is awake" if hinted else ""
        begin = self._begin.hex(" ")
        if not self._asked:
            what = f"something speaks ({self._heard} bytes, from {begin}), and no driver understands it"
            return Note(where, what, hint or "nothing was written to it; `gateway drivers` lists what can be read")
        if self._answered:
            what = f"something answers ({self._answered} bytes), but not like a part that is known"
            return Note(where, what, hint or "`gateway drivers` lists what can be read")
        what = f"silent, and {self._asked} questions had no answer"
        rs485 = "" if self._units else "; RS-485 parts are asked only with --modbus"
        return Note(where, what, (hint or "check the supply, and TX to RX; a part that sleeps is not found") + rs485)


def named_by(usb: str) -> list[str]:
    """List the drivers whose models the USB adapter names."""
    plain = _plain(usb)
    names = {driver.name: [_plain(model) for model in models(driver)] for driver in DRIVERS.values()}
    return [name for name, known in names.items() if any(len(model) >= 5 and model in plain for model in known)]


def _plain(text: str) -> str:
    return "".join(sign for sign in text.casefold() if sign.isalnum())
