"""`gateway scan`: which parts are connected, as blocks to paste into a site file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.fail import CONFIG_ERROR, fail

if TYPE_CHECKING:
    from gateway.scan_finds import Visit

NOTHING = 1


def scan(
    *,
    bus: Annotated[list[str] | None, typer.Option(metavar="BUS", help="Only this bus: /dev/i2c-1, unix:PATH.")] = None,
    port: Annotated[
        list[str] | None, typer.Option(metavar="PORT", help="Only this port. Both may be repeated.")
    ] = None,
    modbus: Annotated[int, typer.Option(min=0, max=247, metavar="N", help="Also ask RS-485 units 1 to N.")] = 0,
    write: Annotated[
        Path | None, typer.Option(metavar="SITE", help="Write a new site file with what is found.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find the sensors that are connected and print a block for each, ready to paste into a site file.

    Looks at every I2C bus and serial port; at the named ones only where some are named. It listens first, then asks
    what is harmless to ask, and tells each part by what it says of itself. Nothing is written to an I2C address that
    no driver claims, nor to a port that speaks and is not understood. With --modbus units on RS-485 lines are asked
    too; that is traffic on their line.

    Ends with 0 when something was found, with 1 when nothing was.
    """
    import msgspec

    from gateway.clock import Clock, ClockError
    from gateway.scan import places
    from gateway.scan import scan as walk
    from gateway.scan_places import Machine
    from gateway.scan_site import blocks

    if write is not None and (write.exists() or not write.parent.is_dir()):
        fail(
            f"{write} is there already, or its folder is not",
            "name a new file: a site file is never overwritten",
            CONFIG_ERROR,
        )
    try:
        clock = Clock.from_env()
    except ClockError as error:
        fail(str(error), "correct it, or unset it", CONFIG_ERROR)
    buses, ports = places(Machine(), bus or [], port or [])
    with Progress() as progress:
        found = walk(buses, ports, clock, progress.tell, modbus)
    problems = _write(found, write) if write is not None and found.finds else []
    if as_json:
        written = None if write is None or not found.finds else {"file": str(write), "problems": problems}
        typer.echo(msgspec.json.encode(_rows(found) | {"written": written}).decode())
    else:
        typer.echo(blocks(found), nl=False)
        if write is not None and found.finds:
            _say_written(write, problems)
    if not found.finds:
        fail("nothing was found", _next_step(bool(buses), bool(ports)), NOTHING)
    if any(not problem["warning"] for problem in problems):
        raise typer.Exit(CONFIG_ERROR)


class Progress:
    """Says on stderr what a scan is doing: a live line for a person, a line for each place otherwise."""

    def __init__(self) -> None:
        from threading import Lock

        from rich.console import Console

        console = Console(stderr=True)
        self._now: dict[str, str] = {}
        self._lock = Lock()
        self._status = console.status("looking around") if console.is_terminal else None

    def __enter__(self) -> Progress:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()

    def tell(self, place: str, text: str) -> None:
        """Take note of what is being done at a place; called from many threads."""
        from rich.text import Text

        with self._lock:
            new = place not in self._now
            self._now[place] = text
            if self._status:
                busy = [f"{name.rpartition('/')[2]}: {what}" for name, what in self._now.items() if what]
                self._status.update(Text("\n".join(busy) or "done", overflow="ellipsis", no_wrap=True))
            elif new or not text:
                typer.echo(f"{place}: {text or 'done'}", err=True)


def _write(found: Visit, path: Path) -> list[dict[str, Any]]:
    """Write a site file, and the defaults that it extends where they are not beside it yet; look for errors in it."""
    import platform
    import shutil

    from gateway.config_file import examine
    from gateway.demo import configs
    from gateway.scan_site import site, time_zone

    base = path.parent / "base.toml"
    if not base.exists():
        shutil.copyfile(configs() / "base.toml", base)
    with path.open("x", encoding="utf-8") as file:
        file.write(site(found, path.stem, platform.node(), time_zone()))
    return [problem._asdict() for problem in examine(path)[1]]


def _say_written(path: Path, problems: list[dict[str, Any]]) -> None:
    from gateway.scan_site import comment

    errors = sum(not problem["warning"] for problem in problems)
    verdict = f"{errors} errors" if errors else "ok"
    typer.echo(
        f"\n{comment(f'written to {path}; gateway check: {verdict}, {len(problems) - errors} warnings')}", nl=False
    )
    typer.echo(comment(f"-> correct the names in it, then: gateway check {path}"), nl=False)


def _rows(found: Visit) -> dict[str, Any]:
    """Shape what was found for programs."""
    from gateway.scan_site import block, names

    return {
        "found": [
            {"name": name, "driver": f.driver.name, "model": f.driver.model, "sure": f.sure, "how": f.how,
             "alike": [driver.name for driver in f.drivers[1:]], "bus": f.bus or None, "address": f.address,
             "port": f.port or None, "baud": f.baud, "serial": f.serial or None, "options": dict(f.options),
             "reply": f.reply.hex(), "notes": f.notes, "block": block(f, name)}
            for f, name in zip(found.finds, names(found.finds), strict=True)
        ],
        "unknown": [note._asdict() for note in found.unknown],
        "skipped": [note._asdict() for note in found.skipped],
    }  # fmt: skip


def _next_step(buses: bool, ports: bool) -> str:
    """Say what to do when nothing was found, by what there was to look at."""
    if not buses and not ports:
        return (
            "there is no I2C bus and no serial port: switch I2C on (raspi-config), plug the sensor in, and scan again"
        )
    return "check supply and cables, then scan again; `gateway drivers NAME` shows the wiring of a part"
