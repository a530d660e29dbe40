"""A walk over one I2C bus: who is at which address, told by chip id or serial number.

An address that no driver claims is only ever read from: one byte, which asks for nothing but an acknowledgement. At a
claimed one the candidates are asked in the order of what their question writes: nothing, a register pointer, a command
of two bytes, which a part with registers would take for a setting. The first sure answer ends the questions.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from drivers import DRIVERS
from drivers.base import Driver, I2c, Miss
from drivers.link.base import Bus, LinkError
from drivers.script import Reply, Step, run
from gateway.scan_finds import Find, Note, Tell, Visit, cost, harmless
from gateway.scan_places import BusPlace

ADDRESSES = range(0x08, 0x78)  # the others are reserved by the bus itself
PRESENCE = Step(rx=1)
HANGS = 3  # addresses in a row at which the bus itself failed


def candidates(address: int) -> list[Driver]:
    """List the drivers that claim an address and can recognise their part, the most careful question first."""
    found = [d for d in DRIVERS.values() if isinstance(d.bus, I2c) and address in d.bus.addresses and d.identify]
    return sorted(found, key=lambda driver: cost(driver, driver.identify.script if driver.identify else ()))


def visit(place: BusPlace, open_bus: Callable[[], Bus], tell: Tell, stop: Event) -> Visit:
    """Walk over a bus; what goes wrong with the bus itself ends the walk and is said."""
    walk = _Walk(place)
    bus: Bus | None = None
    tell(place.name, "looking for parts")
    failures = 0
    for address in ADDRESSES:
        if stop.is_set():
            break
        if address in place.held:
            walk.skip(address)
            continue
        tell(place.name, f"address 0x{address:02x}")
        try:
            bus = bus or open_bus()
            walk.look(bus, address)
            failures = 0
        except LinkError as error:
            failures += 1
            if bus is None or failures == HANGS:
                walk.trouble(place.name, error)
                break
            walk.trouble(f"{place.name} 0x{address:02x}", error)
            bus.close()  # an exchange that failed half way leaves the connection out of step
            bus = None
    if bus is not None:
        bus.close()
    return walk.result


def _serial(transfer: Callable[[Step], Reply], driver: Driver) -> str:
    """Ask a part that was recognised for its serial number; empty where it tells none, or not without a disturbance."""
    script = harmless(driver)
    if driver.identity is None or not script:
        return ""
    answer = run(transfer, script, driver.default_inputs(), driver.defaults())
    return driver.identity.serial(answer.frame) if answer.miss is None else ""


class _Walk:
    """What a walk has seen so far."""

    def __init__(self, place: BusPlace) -> None:
        self.result = Visit()
        self._place = place

    def look(self, bus: Bus, address: int) -> None:
        """Find out who is at an address; raise LinkError where the bus fails."""
        present = hung = False

        def transfer(step: Step) -> Reply:
            nonlocal present, hung
            reply = bus.transfer(address, step)
            present |= isinstance(reply, bytes) and bool(step.tx or step.rx)
            hung |= reply is Miss.TIMEOUT
            return reply

        known = candidates(address)
        alike: list[tuple[Driver, bytes]] = []
        for driver in known:
            assert driver.identify is not None
            answer = run(transfer, driver.identify.script, driver.default_inputs(), driver.defaults())
            if answer.miss is None and driver.identify.match(answer.frame):
                if driver.identify.sure:
                    serial = ""
                    try:
                        serial = _serial(transfer, driver)
                    finally:  # also where the bus fails now: it was found
                        self._found((driver,), address, answer.frame, sure=True, serial=serial)
                    return
                alike.append((driver, answer.frame))
        if alike:
            self._found(tuple(driver for driver, _ in alike), address, alike[0][1], sure=False)
            return
        if not present:
            transfer(PRESENCE)
        if present:
            self._unknown(address, known)
        elif hung:
            raise LinkError("the bus hangs", "check SDA and SCL: pull-ups, a short circuit, a part without supply")

    def skip(self, address: int) -> None:
        """Leave an address to the kernel."""
        what = f"the kernel's own {self._place.held[address]} sits there"
        hint = "a part that the kernel reads is not the gateway's"
        self.result += Visit(skipped=(Note(self._at(address), what, hint),))

    def trouble(self, where: str, error: LinkError) -> None:
        """Say where and how the bus failed."""
        self.result += Visit(unknown=(Note.of(where, error),))

    def _found(self, drivers: tuple[Driver, ...], address: int, reply: bytes, *, sure: bool, serial: str = "") -> None:
        how, bus = "answered its question", self._place.name
        find = Find(drivers, sure, how, bus=bus, address=address, reply=reply, serial=serial)
        self.result += Visit(finds=(find,))

    def _unknown(self, address: int, known: list[Driver]) -> None:
        names = ", ".join(driver.name for driver in known)
        what = (
            f"a part answers; it is none of {names}" if known else "a part answers; no driver here is for this address"
        )
        hint = "read the print on the part; a part that measures or sleeps may not say its name: switch it off and on"
        if not known:
            hint = "it was only read from, nothing was written; `gateway drivers` lists the parts that can be read"
        self.result += Visit(unknown=(Note(self._at(address), what, hint),))

    def _at(self, address: int) -> str:
        return f"{self._place.name} 0x{address:02x}"
