"""`gateway drivers`: which sensors this gateway can read, and how one of them is wired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.fail import CONFIG_ERROR, fail

if TYPE_CHECKING:
    from drivers.base import Driver

CHANNELS_SHOWN = 4
PAGE_WIDTH = 100  # longer lines are hard to read
HEADER_I2C = "Raspberry Pi header: SDA pin 3, SCL pin 5, 3.3 V pin 1, 5 V pin 2, GND pin 6."
HEADER_UART = "Raspberry Pi header: TX pin 8, RX pin 10 (3.3 V logic), 5 V pin 2, GND pin 6."


def drivers(
    name: Annotated[str, typer.Argument(help="One sensor, by driver or model: its wiring, channels and limits.")] = "",
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the sensors that can be connected; with NAME show how one is wired, and what to know about it."""
    import msgspec

    from drivers import DRIVERS, find

    if not name:
        if as_json:
            typer.echo(msgspec.json.encode([_row(driver) for driver in DRIVERS.values()]).decode())
        else:
            _print_list(list(DRIVERS.values()))
        return
    try:
        driver = find(name)
    except KeyError as error:
        fail(str(error.args[0]), "`gateway drivers` lists them all", CONFIG_ERROR)
    if as_json:
        typer.echo(msgspec.json.encode(_row(driver) | _details(driver)).decode())
    else:
        _print_page(driver)


def where(driver: Driver) -> str:
    """Say how a part is reached: its addresses, or its rate."""
    from drivers.base import I2c

    if isinstance(driver.bus, I2c):
        return "I2C " + " ".join(f"0x{address:02x}" for address in driver.bus.addresses)
    return f"{'RS-485' if driver.bus.shared else 'serial'} {driver.bus.bauds[0]} {driver.bus.format}"


def sections(driver: Driver) -> dict[str, str]:
    """Read the README of a part: title -> Markdown."""
    _, *parts = _file(driver, "README.md").split("\n## ")
    return {title.strip(): text.strip() for title, _, text in (part.partition("\n") for part in parts)}


def sample(driver: Driver) -> str:
    """Read the block to paste; a family's sample has one for each of its parts."""
    import re
    import tomllib

    from drivers import find

    text = _file(driver, "sample.toml")
    for block in re.split(r"(?m)^(?=\[\[sensor\]\])", text):
        tables = tomllib.loads(block).get("sensor", [])
        if tables and find(tables[0]["driver"]) is driver:
            return block.strip()
    return text.strip()


def warnings(wiring: str) -> list[str]:
    """Pick the sentences of a wiring section that keep a part alive: what it must never get."""
    import re

    cells = [cell for line in wiring.splitlines() if line.startswith("|") for cell in line.split("|")]
    prose = " ".join(line for line in wiring.splitlines() if not line.startswith("|"))
    spoken = [*re.split(r"(?<=[.;])\s+(?=[A-Z*0-9])", prose), *cells]
    danger = re.compile(r"\b(never|destroys?|damages?|not 5 V|only 3\.3 V|not .{0,20}tolerant)\b", re.IGNORECASE)
    return [sentence.strip().replace("**", "") for sentence in spoken if danger.search(sentence)]


def _file(driver: Driver, name: str) -> str:
    from importlib import resources

    path = resources.files("drivers").joinpath(driver.domain, driver.folder, name)
    return path.read_text(encoding="utf-8")


def _row(driver: Driver) -> dict[str, Any]:
    """Shape what a driver declares for programs; a span without an end is null."""
    from drivers.base import I2c

    bus = driver.bus
    return {
        "name": driver.name, "domain": driver.domain, "model": driver.model,
        "bus": "i2c" if isinstance(bus, I2c) else "serial", "where": where(driver),
        "channels": [{"name": c.name, "unit": c.unit, "kind": str(c.kind)} for c in driver.channels],
        "options": driver.defaults(), "source": driver.source,
    }  # fmt: skip


def _details(driver: Driver) -> dict[str, Any]:
    from drivers.base import I2c

    bus, said = driver.bus, sections(driver)
    on_bus = {"addresses": bus.addresses, "max_hz": bus.max_hz} if isinstance(bus, I2c) else {}
    on_port = {} if isinstance(bus, I2c) else {"bauds": bus.bauds, "format": bus.format, "shared": bus.shared}
    return on_bus | on_port | {
        "channels": [
            {"name": c.name, "unit": c.unit, "kind": str(c.kind), "lo": c.lo, "hi": c.hi, "resolution": c.resolution}
            for c in driver.channels
        ],
        "option_help": [
            {"name": o.name, "type": o.type.__name__, "default": o.default, "unit": o.unit, "help": o.help,
             "choices": o.choices} for o in driver.options
        ],
        "inputs": [{"name": i.name, "unit": i.unit, "default": i.default} for i in driver.inputs],
        "wiring": said.get("Wiring", ""), "warnings": warnings(said.get("Wiring", "")), "sample": sample(driver),
        "known_limits": said.get("Known limits", ""),
    }  # fmt: skip


def _print_list(every: list[Driver]) -> None:
    """Print a table for each domain; a row fits a phone."""
    from rich.table import Table

    console = _console()
    for domain in dict.fromkeys(driver.domain for driver in every):
        table = Table(
            title=domain, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False
        )
        for column in ("name", "where", "channels"):
            table.add_column(column, no_wrap=column == "name")
        for driver in every:
            if driver.domain == domain:
                names = [channel.name for channel in driver.channels]
                more = [f"+{len(names) - CHANNELS_SHOWN}"] if len(names) > CHANNELS_SHOWN + 1 else []
                shown = names[:CHANNELS_SHOWN] + more if more else names
                table.add_row(driver.name, where(driver), " ".join(shown))
        console.print(table)
        console.print()
    console.print("gateway drivers NAME shows the wiring of one")


def _print_page(driver: Driver) -> None:
    """Print all that a person needs who connects the part."""
    from rich.markdown import Markdown
    from rich.markup import escape
    from rich.table import Table

    console, said = _console(), sections(driver)
    console.print(f'[bold]{escape(driver.model)}[/]\n{driver.domain}, {where(driver)}, driver = "{driver.name}"')

    def head(title: str) -> None:
        console.print(f"\n[bold]{title}[/]")

    head("Wiring")
    for sentence in warnings(said.get("Wiring", "")):
        console.print(f"[bold red]! {escape(sentence)}[/]")
    console.print(Markdown(said.get("Wiring", "")))
    if header := _header(driver, said.get("Wiring", "")):
        console.print(f"\n{header}")
    head("Channels")
    table = Table(box=None, pad_edge=False, show_header=False)
    for channel in driver.channels:
        table.add_row(channel.name, escape(channel.unit), _span(channel.lo, channel.hi))
    console.print(table)
    if driver.options:
        head("Options")
    for option in driver.options:
        choices = f" ({', '.join(map(str, option.choices))})" if option.choices else ""
        console.print(
            escape(f"{option.name} = {option.default!r} {option.unit}".rstrip() + f": {option.help}{choices}")
        )
    if driver.inputs:
        head("Inputs: what another sensor may tell it")
    for told in driver.inputs:
        console.print(escape(f"{told.name} [{told.unit}], {told.default:g} while nobody does"))
    head("To paste")
    console.print(sample(driver), markup=False, highlight=False, soft_wrap=True)
    head("Known limits")
    console.print(Markdown(said.get("Known limits", "")))


def _header(driver: Driver, wiring: str) -> str:
    """Say where the signals of a part are on a Raspberry Pi; nothing for a part that comes with its own USB plug."""
    from drivers.base import I2c

    if isinstance(driver.bus, I2c):
        return HEADER_I2C
    return HEADER_UART if "RX" in wiring and not driver.bus.shared else ""


def _span(lo: float, hi: float) -> str:
    """Write a range; an end that is not there is left out."""
    import math

    ends = [f"{end:g}" if math.isfinite(end) else "" for end in (lo, hi)]
    return " .. ".join(ends).strip() if any(ends) else ""


def _console() -> Any:
    from rich.console import Console

    console = Console(highlight=False)
    if console.width > PAGE_WIDTH:
        console.width = PAGE_WIDTH
    return console
