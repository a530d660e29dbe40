"""`gateway drivers`: which sensors this gateway can read."""

from __future__ import annotations

from typing import Annotated

import typer


def drivers(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the sensors that can be connected, with their channels and units."""
    from drivers import DRIVERS
    from drivers.base import I2c

    if as_json:
        import msgspec

        rows = [
            {"name": d.name, "domain": d.domain, "model": d.model, "bus": "i2c" if isinstance(d.bus, I2c) else "serial",
             "channels": [{"name": c.name, "unit": c.unit, "kind": str(c.kind)} for c in d.channels],
             "options": {o.name: o.default for o in d.options}, "source": d.source}
            for d in DRIVERS.values()
        ]  # fmt: skip
        typer.echo(msgspec.json.encode(rows).decode())
        return
    for driver in DRIVERS.values():
        bus = driver.bus
        if isinstance(bus, I2c):
            where = "I2C " + " or ".join(f"0x{address:02x}" for address in bus.addresses)
        else:
            where = f"serial {bus.bauds[0]} {bus.format}"
        typer.echo(f"{driver.name}  {driver.domain}  {where}\n  {driver.model}")
        for channel in driver.channels:
            typer.echo(f"    {channel.name} [{channel.unit}]")
