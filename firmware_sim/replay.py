"""`firmware-sim replay`: a capture of real sensors, played back on ports of its own.

What was said by itself comes again when it came, what was asked is answered as it was. Time begins when the host has
opened the ports, so that a host that starts later misses nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer

from firmware_sim.device import UartDevice
from firmware_sim.i2cbus import I2cBus
from firmware_sim.ports import Port, PtyPort
from firmware_sim.simulation import Entry
from firmware_sim.tape import Answerer, Chip, Speaker, Start, Tape
from firmware_sim.truth import Timeline
from gateway.capture import I2C, POLL, Capture, CaptureError, Exchange, Part, read
from gateway.clock import Clock, ClockError

LOOK_S = 0.02
END_S = 2.0  # after the last record


def tell_ready(entries: Sequence[Entry], *, as_json: bool) -> None:
    """Print what a host can open now: one line for each, or all as one JSON object; then "ready"."""
    if as_json:
        print(json.dumps({"ports": {entry.name: str(entry.path) for entry in entries}}))
    else:
        for entry in entries:
            print(f"{entry.name}  {entry.what}  {entry.path}")
    print("ready", flush=True)


class WaitingPort(PtyPort):
    """A pty that knows when a host opens it for the first time."""

    def __init__(self, device: UartDevice, link: Path, timeline: Timeline, opened: Callable[[], None]) -> None:
        super().__init__(device, link, timeline)
        self._opened = opened
        self._look: asyncio.TimerHandle | None = None
        os.close(self._slave)  # as long as nobody has the other side open, ours is hung up
        self._waiting = True

    def start(self) -> None:
        """Wait for the host, then serve it."""
        poll = select.poll()
        poll.register(self._master, 0)
        if any(events & select.POLLHUP for _fd, events in poll.poll(0)):
            self._look = asyncio.get_running_loop().call_later(LOOK_S, self.start)
            return
        self._slave, self._waiting, self._look = os.open(self._target, os.O_RDWR | os.O_NOCTTY), False, None
        super().start()
        self._opened()

    def poke(self) -> None:
        """Ask the part anew when it wants to speak."""
        if not self._waiting:
            super().poke()

    def close(self) -> None:
        """Take the port away, also where nobody has come."""
        if self._look:
            self._look.cancel()
        if self._waiting:
            self._slave = os.open(os.devnull, os.O_RDWR)
        super().close()


async def replay(
    capture: Capture,
    directory: Path,
    clock: Clock,
    ready: Callable[[list[Entry]], None],
) -> None:
    """Play a capture back until its end, SIGTERM or SIGINT; raise OSError when a port cannot be made."""
    tape, timeline, stop = Tape(capture), Timeline(clock), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    links = tape.links()
    start, ports = Start(timeline, len(links)), list[Port]()
    entries: list[Entry] = []
    async with AsyncExitStack() as stack:
        for link, parts in links.items():
            name = _name(link, parts)
            what = " ".join(part.driver or "unknown" for part in parts)
            if parts[0].wire == I2C:
                path = directory / f"{name}.sock"
                bus = I2cBus(_chips(tape, link, name, start), path, timeline)
                await bus.start()
                stack.push_async_callback(bus.close)
            else:
                path = directory / name
                ports.append(_port(tape, link, parts, path, timeline, start))
                stack.callback(ports[-1].close)
            entries.append(Entry(name, what, path))
        for port in ports:
            port.start()
        ready(entries)
        ending = asyncio.create_task(_end(start, tape.end_s + END_S, clock, stop, ports))
        stack.callback(ending.cancel)
        await stop.wait()


async def _end(start: Start, after_s: float, clock: Clock, stop: asyncio.Event, ports: Sequence[Port]) -> None:
    """Begin when the host is there, and stop behind the last record."""
    await start.begun.wait()
    for port in ports:
        port.poke()
    await asyncio.sleep(clock.real_s(after_s))
    stop.set()


def _port(tape: Tape, link: str, parts: Sequence[Part], path: Path, timeline: Timeline, start: Start) -> Port:
    if parts[0].access == POLL:
        return PtyPort(Answerer(path.name, tape.asked.get(link, []), start), path, timeline)
    speaker = Speaker(tape.said.get(parts[0].name, []), start)
    return WaitingPort(speaker, path, timeline, lambda: start.opened(path.name))


def _chips(tape: Tape, link: str, name: str, start: Start) -> Mapping[int, Chip]:
    by_address: dict[int, list[tuple[float, Exchange]]] = {}
    for at_s, exchange in tape.asked.get(link, []):
        by_address.setdefault(exchange.address, []).append((at_s, exchange))
    return {address: Chip(name, exchanges, start) for address, exchanges in by_address.items()}


def _name(link: str, parts: Sequence[Part]) -> str:
    """Name a port after its part, and a bus or line after what it was."""
    return parts[0].name if len(parts) == 1 and parts[0].wire != I2C else Path(link.removeprefix("unix:")).stem


def sped_up(clock: Clock, speed: float) -> Clock:
    """Return a clock that runs so many times as fast and shows the same time now."""
    if speed == 1.0:
        return clock
    faster = Clock(0, clock.rate * speed)
    return Clock(clock.utc_ns() - faster.mono_ns(), clock.rate * speed)


def command(
    capture: Annotated[Path, typer.Argument(help="A file that `gateway record` has written.")],
    *,
    speed: Annotated[float, typer.Option(min=0.01, metavar="N", help="So many times as fast.")] = 1.0,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Where ports and sockets appear. Default: a fresh temporary directory.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the ports as one JSON object.")] = False,
) -> None:
    """Play back what real sensors said, byte by byte and with its timing, to whoever opens the ports.

    Prints one line per port, then "ready"; begins when the ports have been opened, and ends with the capture. A host
    that shall be as fast needs the same rate: GATEWAY_CLOCK=epoch:N.
    """

    def ready(entries: list[Entry]) -> None:
        tell_ready(entries, as_json=as_json)

    try:
        tape, clock = read(capture), sped_up(Clock.from_env(), speed)
    except (CaptureError, ClockError) as error:
        typer.echo(str(error), err=True)
        typer.echo(f"    -> {getattr(error, 'hint', 'correct GATEWAY_CLOCK, or unset it')}", err=True)
        raise typer.Exit(2) from None
    if tape.damaged:
        typer.echo(f"{capture}: {tape.damaged} blocks are damaged and left out", err=True)
    try:
        place = Path(tempfile.mkdtemp(prefix="firmware-sim-")) if directory is None else directory.absolute()
        place.mkdir(parents=True, exist_ok=True)
        asyncio.run(replay(tape, place, clock, ready))
    except OSError as error:
        typer.echo(f"firmware-sim: {error}; choose another --dir", err=True)
        raise typer.Exit(1) from None
