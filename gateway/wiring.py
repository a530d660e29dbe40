"""What a site file must be as a plan of wires: places, addresses, shared lines, and buses that suit their parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from drivers.base import Driver, I2c, Poll, Uart
from gateway.config_errors import Problem, Sources
from gateway.config_sensors import SensorConfig

SOCKET_BUS = "unix:"
UNIT = "unit_id"  # the option that tells the units of a shared serial line apart
UNITS = range(1, 248)  # Modbus over Serial Line V1.02, section 2.2
USUAL_HZ = 100_000
ADAPTERS = Path("/sys/bus/i2c/devices")
PI_BUSES = ("/dev/i2c-0", "/dev/i2c-1")
At = tuple[str, int]


def address_of(sensor: SensorConfig, driver: Driver) -> int | None:
    """Return the address of a sensor on its bus or shared line; None where it is alone."""
    if isinstance(driver.bus, I2c):
        return sensor.address if sensor.address is not None else driver.bus.addresses[0]
    if driver.bus.shared:
        unit = (driver.defaults() | sensor.options).get(UNIT, 0)
        return unit if isinstance(unit, int) else 0
    return None


def place(sensor: SensorConfig, driver: Driver, at: At, sources: Sources) -> Iterator[Problem]:
    """Judge one sensor's own place."""
    if isinstance(driver.bus, I2c):
        if not sensor.bus or sensor.port:
            yield sources.problem(at, f"{driver.name} sits on an I2C bus", 'set bus = "/dev/i2c-1", and no port')
        if sensor.address is not None and sensor.address not in driver.bus.addresses:
            known = ", ".join(f"0x{address:02x}" for address in driver.bus.addresses)
            yield sources.problem((*at, "address"), f"{driver.name} is never at 0x{sensor.address:02x}", f"use {known}")
        yield from _suits(sensor, driver.name, driver.bus, at, sources)
    else:
        if not sensor.port or sensor.bus:
            hint = 'set port = "/dev/serial/by-id/...", and no bus'
            yield sources.problem(at, f"{driver.name} sits on a serial port", hint)
        if sensor.address is not None:
            hint = f"set {UNIT} in [sensor.options] instead" if driver.bus.shared else "take this key out"
            yield sources.problem((*at, "address"), "a serial port has no address", hint)
        unit = address_of(sensor, driver)
        if unit is not None and unit not in UNITS:
            what = f"{unit} is no address of a unit"
            yield sources.problem((*at, "options", UNIT), what, f"use {UNITS[0]} to {UNITS[-1]}, as set in the part")
        if sensor.port.startswith(("/dev/ttyUSB", "/dev/ttyACM")):
            what = f"{sensor.port} may be another device after the next start"
            yield sources.problem((*at, "port"), what, "use its name in /dev/serial/by-id", warning=True)
    node = sensor.link.removeprefix(SOCKET_BUS)
    if node and not Path(node).exists():
        hint = "plug it in, or correct the name; the gateway starts without it and keeps looking"
        yield sources.problem((*at, "port" if sensor.port else "bus"), f"{node} is not there now", hint, warning=True)


def _suits(sensor: SensorConfig, name: str, bus: I2c, at: At, sources: Sources) -> Iterator[Problem]:
    """Warn of a part on a bus that is too fast for it, or whose controller breaks its replies."""
    key = (*at, "bus")
    if bus.stretch_ms and _stretches_badly(sensor.bus):
        what = f"{name} holds the clock for up to {bus.stretch_ms:g} ms, which the controller of a Raspberry Pi breaks"
        hint = 'give it a bus of its own: dtoverlay=i2c-gpio,bus=3 in config.txt, and bus = "/dev/i2c-3"'
        yield sources.problem(
            key, what, f"{hint}; or slow this one to 10-50 kHz (dtparam=i2c_arm_baudrate)", warning=True
        )
    told_hz = _bus_hz(sensor.bus)
    hz = _presumed_hz(sensor.bus) if told_hz is None else told_hz
    if bus.max_hz < hz:
        unless = " unless it is told otherwise" if told_hz is None else ""
        what = f"{name} takes at most {bus.max_hz // 1000} kHz, and {sensor.bus} runs at {hz // 1000} kHz{unless}"
        hint = f"dtparam=i2c_arm_baudrate={bus.max_hz} in config.txt: it slows every part of this bus"
        yield sources.problem(key, what, hint, warning=True)


def _adapter(bus: str) -> Path:
    return ADAPTERS / Path(bus).name


def _stretches_badly(bus: str) -> bool:
    """Tell whether a bus hangs on the Broadcom controller; where it is not there, whether it will on a Pi."""
    try:
        return "bcm2835" in (_adapter(bus) / "name").read_text()
    except OSError:
        return bus in PI_BUSES


def _bus_hz(bus: str) -> int | None:
    """Return the speed that the device tree gives a bus, if it says so."""
    try:
        return int.from_bytes((_adapter(bus) / "of_node" / "clock-frequency").read_bytes(), "big")
    except OSError:
        return None


def _presumed_hz(bus: str) -> int:
    """Return the speed of a bus that does not say its own; a simulated one has none."""
    return 0 if bus.startswith(SOCKET_BUS) else USUAL_HZ


class Wires:
    """What is on each bus and line so far; one sensor is added after the other."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._on: dict[str, list[tuple[SensorConfig, Driver]]] = {}

    def add(self, sensor: SensorConfig, driver: Driver, at: At) -> Iterator[Problem]:
        """Judge a sensor beside those that are on its link already."""
        if not sensor.link:
            return
        neighbours = self._on.setdefault(_node(sensor.link), [])
        for other, its_driver in neighbours:
            problems = list(self._beside(sensor, driver, other, its_driver, at))
            yield from problems
            if problems:
                break
        neighbours.append((sensor, driver))

    def _beside(
        self, sensor: SensorConfig, driver: Driver, other: SensorConfig, its_driver: Driver, at: At
    ) -> Iterator[Problem]:
        key = (*at, "port" if sensor.port else "bus")
        if sensor.port and not (_shares(driver) and _shares(its_driver)):
            one = next((one.name for one in (driver, its_driver) if not _shares(one)), "")
            hint = "one port takes one sensor: correct `port`"
            if _shares(driver) or _shares(its_driver):
                hint = f"{one} needs a port of its own: correct `port`"
            yield self._sources.problem(key, f"{sensor.link} is taken by sensor {other.name!r}", hint)
        elif sensor.link != other.link:
            what = f"{sensor.link} is the same as {other.link} of sensor {other.name!r}"
            yield self._sources.problem(key, what, "write it the same way: a bus or line has one owner")
        elif isinstance(driver.bus, I2c):
            yield from self._collision(sensor, driver, other, its_driver, at)
        else:
            yield from self._units(sensor, driver, other, its_driver, at)

    def _collision(
        self, sensor: SensorConfig, driver: Driver, other: SensorConfig, its_driver: Driver, at: At
    ) -> Iterator[Problem]:
        address = address_of(sensor, driver)
        if address is None or address != address_of(other, its_driver):
            return
        assert isinstance(driver.bus, I2c)
        taken = {address_of(*one) for one in self._on[_node(sensor.link)]}
        free = [f"0x{one:02x}" for one in driver.bus.addresses if one not in taken]
        hint = f"{driver.name} has no other address: move one of them to another bus"
        if free:
            hint = f"set the part to {' or '.join(free)}, or move one of them to another bus"
        what = f"address 0x{address:02x} of {sensor.link} is taken by sensor {other.name!r}"
        yield self._sources.problem((*at, "address"), what, hint)

    def _units(
        self, sensor: SensorConfig, driver: Driver, other: SensorConfig, its_driver: Driver, at: At
    ) -> Iterator[Problem]:
        """On a shared line all speak alike, and each listens to its own number."""
        mine, theirs = _speech(sensor, driver), _speech(other, its_driver)
        if mine != theirs:
            what = f"{mine} on {sensor.link}, where sensor {other.name!r} has {theirs}"
            yield self._sources.problem((*at, "baud"), what, "set all units of a line to the same speed and format")
        unit = address_of(sensor, driver)
        if unit == address_of(other, its_driver):
            what = f"unit {unit} of {sensor.link} is taken by sensor {other.name!r}"
            hint = f"give the part another address with its maker's tool, and say it here: [sensor.options] {UNIT}"
            yield self._sources.problem((*at, "options", UNIT), what, hint)


def _shares(driver: Driver) -> bool:
    return isinstance(driver.bus, Uart) and driver.bus.shared and isinstance(driver.access, Poll)


def _speech(sensor: SensorConfig, driver: Driver) -> str:
    assert isinstance(driver.bus, Uart)
    return f"{sensor.baud or driver.bus.bauds[0]} Bd {driver.bus.format}"


def _node(link: str) -> str:
    """Follow links, so that one device under two names is found."""
    return link if link.startswith(SOCKET_BUS) else str(Path(link).resolve())
