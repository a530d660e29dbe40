"""`gateway status`: how a gateway is, also when its process is dead."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.fail import fail
from gateway.cli.span import length
from gateway.cli.words import shown, unit_shown

STALE_S = 60.0
NS = 1_000_000_000
HOUR_S, DAY_S = 3600.0, 26 * 3600.0
YEARS_DAYS = 730.0  # from so many days on years are said
LEAST_FILL = 0.01  # below, there is nothing to say
CAP_WORDS = {
    "size": "max_mb", "records": "max_records", "age": "max_age_days", "floor": "the disk is nearly full",
}  # fmt: skip
FLAG_WORDS = {1: "good", 2: "not evaluated", 3: "suspect", 4: "fail", 9: "missing"}


def status(
    data_dir: Annotated[Path | None, typer.Argument(help="The data directory, if it is not the usual one.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what the gateway, or the bridge, last said of itself, how old that is, and what to do."""
    import msgspec

    from gateway.cli.bridge_status import bridge_lines
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
    if "gateway" not in now:
        typer.echo("\n".join(bridge_lines(now, age_s, alive=alive)))
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
    for line in of_clock(now["clock"], age_s):
        typer.echo(line)
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
                typer.echo(f"    {_value(row, now['t_ns'])}")
        for told in now.get("inputs", ()):
            if told["sensor"] == sensor["name"] and told["source"] and told["reason"]:
                typer.echo(f"    is told {told['input']} = {told['value']:g}: {told['source']} is {told['reason']}")
    broker, ledger = now["broker"], now["ledger"]
    state = "connected" if broker["connected"] else "NOT connected"
    typer.echo(f"broker: {state}, {broker['queued']} messages wait for their receipt")
    _print_outbox(now.get("outbox") or {}, age_s)
    typer.echo("slots: {expected} expected = {valid} valid + {rejected} rejected + {missing} missing".format(**ledger))
    if delay := now.get("delivery"):
        half, most, longest = (length(delay[name]) for name in ("median_s", "p95_s", "longest_s"))
        typer.echo(f"delivery, last day: half in {half}, 95 % in {most}, longest {longest}")
    if (forecast := now.get("forecast")) is not None:
        for line in foretold(forecast):
            typer.echo(line)


def of_clock(clock: dict[str, Any], age_s: float = 0.0) -> list[str]:
    """Say what a clock that is not synchronised means for the readings, in lines for a phone; nothing if it is."""
    if clock["synchronised"]:
        return []
    if (held_s := clock.get("held_s")) is None:
        return ["CLOCK not synchronised: readings are marked `clock`", "      -> check the network / NTP (timedatectl)"]
    left_s = max(0.0, clock["hold_s"] - held_s - age_s)
    return [
        f"CLOCK not synchronised: holding {length(held_s + age_s)} of readings;",
        "      they enter when the clock is set",
        "      -> check the network / NTP (timedatectl);",
        f"      in {length(left_s)} they enter marked `clock`",
    ]


def _value(row: dict[str, Any], now_ns: int) -> str:
    """Say what a window says, and its age where the next one should have come long ago."""
    flag = FLAG_WORDS.get(int(row["flag"] or 0), "?")
    value = f"{row['channel']} {shown(row['value'])} {unit_shown(row['unit'])}".rstrip()
    old_s = (now_ns - row["start_ns"]) / NS - row["period_s"]
    least_s = STALE_S if row["period_s"] <= HOUR_S else DAY_S  # a night comes once a day
    age = f", {length(old_s)} OLD" if old_s > max(2 * row["period_s"], least_s) else ""
    return f"{value} ({row['statistic']} of {row['period_s']} s, {flag}{age})"


def _print_outbox(outbox: dict[str, Any], age_s: float) -> None:
    if outbox.get("fill", 0) >= LEAST_FILL:
        typer.echo(f"    the outbox is {100 * outbox['fill']:.0f} % full ({CAP_WORDS.get(outbox['cap'], 'unknown')})")
    if outbox.get("unsent"):
        typer.echo(f"    {outbox['unsent']} not yet sent, the oldest for {length(outbox['oldest_unsent_s'] + age_s)}")
    if outbox.get("dropped"):
        typer.echo(f"LOST  {outbox['dropped']} messages dropped\n      -> gateway ledger says why")
    if outbox.get("dead"):
        typer.echo(f"DEAD  {outbox['dead']} messages that no store took\n      -> gateway dead-letters list SITE")


def foretold(forecast: dict[str, Any]) -> list[str]:
    """Say what the last day means for the days to come, in lines for a phone."""
    days, card = forecast["offline_days"], forecast["card_mb_day"]
    if days is None or card is None:
        return ["forecast: unknown, it needs ten minutes of running"]
    said = f"{days:.0f} days" if days < YEARS_DAYS else f"{days / 365.25:.0f} years"
    until = "the outbox is full" if forecast["offline_until"] == "outbox" else "the free space is used up"
    device = f" ({forecast['device_mb_day']:.0f} by all programs)" if forecast["device_mb_day"] is not None else ""
    lines = [f"offline: {said} possible, until {until}", f"card: {card:.0f} MB/day{device}"]
    if (modem := forecast["modem_mb_day"]) is not None:
        lines.append(f"modem: {modem:.1f} MB/day")
    if forecast["card_endurance_tb"] is None:
        lines.append("card life: unknown -> set [health] card_endurance_tb and origin, from its datasheet")
    elif (years := forecast["card_life_years"]) is not None:
        endurance = f"{forecast['card_endurance_tb']:g} TB, {forecast['origin']}"
        lines.append(f"card life: {years:.0f} years of a new card ({endurance})")
    return lines
