"""`gateway status`: how a gateway is, also when its process is dead."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.fail import fail
from gateway.cli.words import shown, unit_shown

STALE_S = 60.0
FLAG_WORDS = {1: "good", 2: "not evaluated", 3: "suspect", 4: "fail", 9: "missing"}


def status(
    data_dir: Annotated[Path | None, typer.Argument(help="The data directory, if it is not the usual one.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what the gateway last said of itself, how old that is, and what to do."""
    import msgspec

    from gateway.clock import Clock

    try:
        path = find(data_dir)
    except PermissionError as error:
        fail(f"{error.filename} cannot be read by this user", "use sudo gateway status")
    if path is None:
        fail("no status file was found", "start the gateway, or name its data directory: gateway status DIR")
    try:
        now: dict[str, Any] = msgspec.json.decode(path.read_bytes())
        t_ns = int(now["t_ns"])
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        fail(f"{path} cannot be read: {error}", "start the gateway again; it writes a new one")
    age_s = (Clock.from_env().utc_ns() - t_ns) / 1e9
    alive = _alive(int(now.get("pid", 0))) and age_s < STALE_S
    if as_json:
        typer.echo(msgspec.json.encode({**now, "age_s": round(age_s, 1), "alive": alive, "file": str(path)}).decode())
        return
    _print(now, age_s, alive=alive)


def find(data_dir: Path | None) -> Path | None:
    """Find the status file: the newest of the given directory and the usual places."""
    usual = [Path("/run/lamppost"), Path("/var/lib/lamppost")]
    places = [data_dir, data_dir / "run", data_dir / "gateway"] if data_dir else usual
    files = [folder / "status.json" for folder in places if (folder / "status.json").exists()]
    return max(files, key=lambda file: file.stat().st_mtime, default=None)


def _alive(pid: int) -> bool:
    return pid > 0 and Path(f"/proc/{pid}").exists()


def _print(now: dict[str, Any], age_s: float, *, alive: bool) -> None:
    word = "running" if alive else "NOT RUNNING: start it with `systemctl start gateway`"
    typer.echo(f"{now['gateway']} ({now['site']}): {word}")
    typer.echo(f"said {age_s:.0f} s ago; version {now['version']}, config {now['config']}")
    if not now["clock"]["synchronised"]:
        typer.echo("CLOCK not synchronised: check the network or the RTC")
    for alarm in now["alarms"]:
        typer.echo(f"ALARM {alarm}")
    for link in now["links"]:
        if not link["up"]:
            typer.echo(f"DOWN  {link['name']}: {link['error']}\n      -> {link['hint']}")
    for sensor in now["sensors"]:
        heard = "never heard" if sensor["age_s"] is None else f"heard {sensor['age_s'] + age_s:.0f} s ago"
        typer.echo(f"{sensor['name']} ({sensor['driver']}): {heard}")
        for row in now["windows"]:
            if row["sensor"] == sensor["name"] and row["value"] is not None:
                flag = FLAG_WORDS.get(int(row["flag"] or 0), "?")
                value = f"{row['channel']} {shown(row['value'])} {unit_shown(row['unit'])}".rstrip()
                typer.echo(f"    {value} ({row['statistic']} of {row['period_s']} s, {flag})")
        for told in now.get("inputs", ()):
            if told["sensor"] == sensor["name"] and told["source"] and told["reason"]:
                typer.echo(f"    is told {told['input']} = {told['value']:g}: {told['source']} is {told['reason']}")
    broker, ledger = now["broker"], now["ledger"]
    state = "connected" if broker["connected"] else "NOT connected"
    typer.echo(f"broker: {state}, {broker['queued']} messages wait for their receipt")
    typer.echo("slots: {expected} expected = {valid} valid + {rejected} rejected + {missing} missing".format(**ledger))
