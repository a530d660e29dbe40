"""`gateway verify`: read the store back and compare it with what the gateway remembers, key by key."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.fail import CONFIG_ERROR, fail
from gateway.cli.site import load_site
from gateway.cli.span import length, shown, span

if TYPE_CHECKING:
    import sqlite3

    from gateway.accounts import Fates
    from gateway.config import Config
    from gateway.expected import Expected
    from gateway.last_day import Delay
    from gateway.verify import Difference, Report

NOT_REACHABLE = 3
LONG_NS = 6 * 3600 * 10**9  # from so much on progress is shown
VICTORIA_DIGITS = 1e-12  # what VictoriaMetrics keeps of a number, docs/reference/stores.md
SHOWN = 5
NS = 1_000_000_000
WORDS = {
    "missing": "missing", "older": "with an older revision", "newer": "with a newer revision",
    "different": "different", "extra": "not in history", "doubled": "twice",
}  # fmt: skip


def verify(
    site: Annotated[Path, typer.Argument(help="The site file of the gateway.")],
    *,
    begin: Annotated[str | None, typer.Option("--from", help="Begin: a time in UTC, or 36h, 7d ago.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="End; without it the newest window.")] = None,
    store: Annotated[Path | None, typer.Option(help="Take [store] from this file: that of the bridge.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare the store with the gateway's history.

    Ends with 0 when all is there, 1 when something differs, 2 when it cannot be asked so, 3 when the store is away.
    """
    from gateway.accounts import BooksError, account, coverage, opened
    from gateway.expected import Expected
    from gateway.store.base import StoreError

    config = load_site(site)
    where = config if store is None else load_site(store)
    try:
        with opened(config.gateway.data_dir) as db:
            held = coverage(db)
            if held is None:
                fail("the gateway has no history yet", "let it run for two minutes", CONFIG_ERROR)
            start_ns, end_ns = span(begin, end, held[1])
            expected = Expected(db, config)
            of = max(start_ns, expected.first_ns), min(end_ns, held[1])
            report = _compare(expected, config, where, of, quiet=as_json)
            delay, (messages, _, queue) = _delay(db), account(db)
    except BooksError as error:
        fail(str(error), error.hint, CONFIG_ERROR)
    except StoreError as error:
        fail(f"the store cannot be read: {error}", "is it running? Look at [store] in the site file", NOT_REACHABLE)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", "the secrets of [store] must be readable: use sudo", CONFIG_ERROR)
    if as_json:
        _print_json(report, delay, of, queue.messages)
    else:
        if begin is not None and start_ns < expected.first_ns:
            typer.echo(f"history reaches back to {shown(expected.first_ns)} UTC: what is older is not compared")
        _print(report, delay, messages, site)
    if report.differences or report.unreadable:
        raise typer.Exit(1)


def _compare(expected: Expected, config: Config, where: Config, of: tuple[int, int], *, quiet: bool) -> Report:
    from gateway.store.open import open_store
    from gateway.verify import Place, Report, verify

    if not quiet:
        name = where.store.kind if where.store.kind == "sqlite" else where.store.url
        typer.echo(f"{config.gateway.name} ({config.site.name}) against {name}")
        typer.echo(f"{shown(of[0])} to {shown(of[1])} UTC")
        if not expected.same_rules:
            typer.echo("NOTE this file is not what the gateway runs with: flags and longer windows are not compared")
            typer.echo("    -> systemctl reload gateway, or name the right file")
    if of[0] >= of[1]:
        return Report()
    digits = VICTORIA_DIGITS if where.store.dialect == "victoriametrics" and where.store.kind != "sqlite" else 0.0
    place = Place(config.site.name, config.gateway.name, digits)
    with closing(open_store(where.store, where.bridge, read_only=True)) as store:
        return verify(expected, store, place, *of, _progress(of, quiet=quiet))


def _progress(of: tuple[int, int], *, quiet: bool) -> Callable[[int], None]:
    if quiet or of[1] - of[0] < LONG_NS or not sys.stderr.isatty():
        return lambda _: None
    return lambda at_ns: typer.echo(f"\r{shown(at_ns)} \b", err=True, nl=False)


def _delay(db: sqlite3.Connection) -> Delay | None:
    from gateway.last_day import LastDay

    row = db.execute("SELECT value FROM meta WHERE key = 'last_day'").fetchone()
    return LastDay(row[0]).delay() if row else None


def _print(report: Report, delay: Delay | None, messages: Fates, site: Path) -> None:
    typer.echo(f"\n{report.windows} windows, {report.points} points")
    typer.echo(f"{report.equal:>10} in the store, equal")
    if report.on_the_way:
        typer.echo(f"{report.on_the_way:>10} on their way: no receipt yet")
    for what, n in report.counts.items():
        if n or what in ("missing", "different"):
            typer.echo(f"{n:>10} {WORDS[what]}")
    if report.uncompared_windows:
        typer.echo(f"{report.uncompared_windows:>10} windows not compared: made under another configuration or release")
    if report.uncompared_fields:
        typer.echo(f"{report.uncompared_fields:>10} fields not compared: history no longer says what they were")
    if report.unreadable:
        typer.echo(f"{report.unreadable:>10} windows of history cannot be read -> journalctl -u gateway")
    if delay is not None:
        typer.echo(f"delivered after the end of a window, last day: {described(delay)}")
    for one in report.first[:SHOWN]:
        typer.echo(_line(one))
    for hint in _hints(report, messages, site):
        typer.echo(f"    -> {hint}")
    if not report.differences and not report.unreadable:
        typer.echo("all there" + ("; the rest is on its way" if report.on_the_way else ""))


def described(delay: Delay) -> str:
    """Say how long delivery takes."""
    return f"half in {length(delay.median_s)}, 95 % in {length(delay.p95_s)}, longest {length(delay.longest_s)}"


def _line(one: Difference) -> str:
    measurement, tags, start_ns = one.key
    at = dict(tags)
    words = [WORDS[one.what], measurement, at.get("sensor"), at.get("channel"), at.get("period"), shown(start_ns)]
    return "  " + " ".join(word for word in words if word) + (f": {one.detail}" if one.detail else "")


def _span(report: Report) -> str:
    """Say which span of time has all that is missing or older."""
    return f"--from {_iso(min(report.unsent_ns))} --to {_iso(max(report.unsent_ns) + NS)}"


def _iso(t_ns: int) -> str:
    return shown(t_ns).replace(" ", "T")


def _hints(report: Report, messages: Fates, site: Path) -> list[str]:
    """Say what to do about what was found."""
    counts, out = report.counts, []
    if counts["missing"] or counts["older"]:
        if messages.dead:
            out.append(f"{messages.dead} messages are dead letters: on the bridge, gateway dead-letters list SITE")
        if messages.dropped:
            out.append(f"{sum(messages.dropped.values())} messages were dropped: the outbox was full")
        out.append("does the store keep data for so long? See its retention")
        out.append(f"to send them again: gateway republish {site} {_span(report)}")
    if counts["different"] or counts["newer"] or counts["doubled"]:
        out.append("does something else write into this store? Two gateways of one name?")
    if counts["extra"]:
        out.append("the store has windows of an earlier data directory, or of another gateway of this name")
    return out


def _print_json(report: Report, delay: Delay | None, of: tuple[int, int], queued: int) -> None:
    import msgspec

    first: list[dict[str, Any]] = [
        {"what": one.what, "measurement": one.key[0], **dict(one.key[1]), "start_ns": one.key[2], "detail": one.detail}
        for one in report.first
    ]
    said = {
        "from_ns": of[0], "to_ns": of[1], "windows": report.windows, "points": report.points,
        "equal": report.equal, "on_the_way": report.on_the_way, **report.counts,
        "uncompared_windows": report.uncompared_windows, "uncompared_fields": report.uncompared_fields,
        "unreadable": report.unreadable, "all_there": not (report.differences or report.unreadable),
        "queued_messages": queued, "delivery": None if delay is None else delay._asdict(), "first": first,
    }  # fmt: skip
    typer.echo(msgspec.json.encode(said).decode())
