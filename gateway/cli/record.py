"""`gateway record`: keep what real sensors say, byte by byte, for a simulator to play back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.fail import CONFIG_ERROR, fail

if TYPE_CHECKING:
    from gateway.clock import Clock
    from gateway.config_sensors import SensorConfig
    from gateway.supervise import LinkHealth
    from gateway.tap import Ear, Tally

NOTHING = 1
BAUD = 9600
TELL_S = 10.0


def record(
    site: Annotated[Path | None, typer.Argument(help="The site file whose sensors are recorded.")] = None,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The capture: a new file.")],
    for_s: Annotated[
        float | None, typer.Option("--for", min=0.0, metavar="SECONDS", help="Stop after so long.")
    ] = None,
    sensor: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this one; may be repeated.")] = None,
    driver: Annotated[str, typer.Option(help="Without a site file: what is at --port or --bus.")] = "",
    port: Annotated[str, typer.Option(help="Without a site file: a serial port.")] = "",
    bus: Annotated[str, typer.Option(help="Without a site file: /dev/i2c-1 or unix:PATH.")] = "",
    address: Annotated[str, typer.Option(help="On that bus, for example 0x76. Default: the driver's first.")] = "",
    baud: Annotated[int | None, typer.Option(help="Of that port. Default: the driver's, or 9600.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was heard as JSON.")] = False,
) -> None:
    """Record what sensors say, and when, until Ctrl-C: raw bytes, nothing decoded.

    Asks and listens as `gateway run` does, and stores nothing else; do not run both on one port. A port without
    --driver is only listened to. `firmware-sim replay FILE` plays it back.

    Ends with 0, or with 1 when nothing was heard.
    """
    import asyncio

    from gateway.clock import Clock, ClockError

    sensors, ears = _chosen(site, sensor or [], driver, port, bus, address, baud)
    try:
        clock = Clock.from_env()
    except ClockError as error:
        fail(str(error), "correct it, or unset it", CONFIG_ERROR)
    tally, links = asyncio.run(_record(sensors, ears, out, clock, for_s))
    _say(tally, links, out, as_json=as_json)
    if not any(tally.read_bytes.values()):
        raise typer.Exit(NOTHING)


async def _record(
    sensors: list[SensorConfig], ears: list[Ear], out: Path, clock: Clock, for_s: float | None
) -> tuple[Tally, Mapping[str, LinkHealth]]:
    import asyncio
    import signal

    from gateway.capture import CaptureError, Writer
    from gateway.tap import record as tap

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        writer = Writer(out, _header(sensors, ears, clock))
    except CaptureError as error:
        fail(str(error), error.hint, CONFIG_ERROR)
    told_ns = clock.mono_ns()

    def tell(tally: Tally, links: Mapping[str, LinkHealth]) -> None:
        nonlocal told_ns
        if clock.mono_ns() - told_ns < TELL_S * 1e9:
            return
        told_ns = clock.mono_ns()
        away = [name for name, link in links.items() if not link.up]
        heard = f"{sum(tally.read_bytes.values())} bytes"
        typer.echo(heard + (f", away: {', '.join(away)}" if away else ""), err=True)

    try:
        return await tap(sensors, ears, writer, clock, stop, for_s, tell)
    finally:
        writer.close()


def _header(sensors: list[SensorConfig], ears: list[Ear], clock: Clock) -> Any:
    from datetime import UTC, datetime

    from gateway.capture import STREAM, UART, Header, Part
    from gateway.clock import boot_id
    from gateway.tap import part_of

    made = datetime.fromtimestamp(clock.utc_ns() // 10**9, UTC).isoformat()
    parts = [part_of(one) for one in sensors]
    parts += [Part(ear.name, "", ear.port, UART, STREAM, 0, ear.baud) for ear in ears]
    return Header(made, boot_id(), clock.mono_ns(), clock.offset_ns(), clock.synchronised(), parts)


def _chosen(
    site: Path | None, names: list[str], driver: str, port: str, bus: str, address: str, baud: int | None
) -> tuple[list[SensorConfig], list[Ear]]:
    """Find out what is to be recorded; ends the program when that cannot be meant."""
    if site is None:
        return _one(driver, port, bus, address, baud)
    if driver or port or bus:
        fail("a site file and --port, --bus or --driver do not go together", "leave one of them out", CONFIG_ERROR)
    from gateway.config_errors import ConfigError
    from gateway.config_file import load

    try:
        config = load(site)
    except ConfigError as error:
        fail(str(error), f"gateway check {site}", CONFIG_ERROR)
    known = {one.name: one for one in config.sensor}
    for name in names:
        if name not in known:
            fail(f"there is no sensor {name!r} in {site}", f"known: {', '.join(known)}", CONFIG_ERROR)
    return [known[name] for name in names] if names else list(config.sensor), []


def _one(driver: str, port: str, bus: str, address: str, baud: int | None) -> tuple[list[SensorConfig], list[Ear]]:
    from drivers import find
    from drivers.base import I2c
    from gateway.config_sensors import SensorConfig
    from gateway.tap import Ear

    if bool(port) == bool(bus):
        fail("say what is recorded", "name a site file, or one --port or --bus with its --driver", CONFIG_ERROR)
    name = Path(port or bus.removeprefix("unix:")).stem
    if not driver:
        if bus:
            fail("on a bus somebody must ask", f"name the part: --driver, with --bus {bus}", CONFIG_ERROR)
        return [], [Ear(name, port, baud or BAUD)]
    try:
        found = find(driver)
    except KeyError as error:
        fail(str(error.args[0]), "`gateway drivers` lists them all", CONFIG_ERROR)
    if isinstance(found.bus, I2c) != bool(bus):
        where = "an I2C bus: use --bus" if isinstance(found.bus, I2c) else "a serial port: use --port"
        fail(f"{driver} sits on {where}", "`gateway drivers NAME` shows the wiring", CONFIG_ERROR)
    try:
        at = int(address, 0) if address else None
    except ValueError:
        fail(f"{address!r} is no address", "write it as 0x76", CONFIG_ERROR)
    return [SensorConfig(driver, driver, port=port, bus=bus, address=at, baud=baud)], []


def _say(tally: Tally, links: Mapping[str, LinkHealth], out: Path, *, as_json: bool) -> None:
    """Print what was heard of each sensor."""
    import json

    rows = [{"name": name, "bytes": tally.read_bytes[name], **kinds} for name, kinds in tally.kinds.items()]
    if as_json:
        away = {name: link.error for name, link in links.items() if not link.up}
        typer.echo(json.dumps({"file": str(out), "sensors": rows, "away": away}))
        return
    for name, kinds in tally.kinds.items():
        told = ", ".join(f"{n} {kind}" for kind, n in kinds.items() if kind != "context")
        typer.echo(f"{name}: {tally.read_bytes[name]} bytes ({told or 'nothing'})")
    for name, link in links.items():
        if not link.up:
            typer.echo(f"{name}: {link.error}\n    -> {link.hint}", err=True)
    typer.echo(f"{out}: play it back with  firmware-sim replay {out}")
