"""`gateway republish`: send windows of a span once more, made anew from the gateway's history."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.fail import CONFIG_ERROR, fail
from gateway.cli.site import load_site
from gateway.cli.span import shown, span

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.outbox import Outbox
    from gateway.republish import Republish


LONGEST_NS = 2 * 86_400 * 10**9  # windows may begin so long before the first base window that is in them


def republish(
    site: Annotated[Path, typer.Argument(help="The site file of the gateway.")],
    *,
    begin: Annotated[str, typer.Option("--from", help="Begin: a time in UTC, or 36h, 7d before the end.")],
    end: Annotated[str | None, typer.Option("--to", help="End; without it the newest window.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Send windows of a span to the store once more, from the gateway's history.

    A store writes equal values over what it has. A running gateway does it beside its work, others at their next start.
    """
    from gateway.accounts import BooksError, coverage, opened

    config = load_site(site)
    try:
        with opened(config.gateway.data_dir) as db:
            held = coverage(db)
            if held is None:
                fail("the gateway has no history yet", "let it run for two minutes", CONFIG_ERROR)
            start_ns, end_ns = span(begin, end, held[1])
            start_ns, end_ns = max(start_ns, held[0] - LONGEST_NS), min(end_ns, held[1])
            query = "SELECT count(*) FROM history WHERE start_ns >= ? AND start_ns < ?"
            (windows,) = db.execute(query, (start_ns, end_ns)).fetchone()
    except BooksError as error:
        fail(str(error), error.hint, CONFIG_ERROR)
    if not windows:
        fail("history holds nothing of this span", f"it has {shown(held[0])} to {shown(held[1])} UTC", CONFIG_ERROR)
    how, messages = ("dry-run", 0) if dry_run else _do(config, start_ns, end_ns)
    _tell(how, windows, messages, (start_ns, end_ns), as_json=as_json)


def _do(config: Config, start_ns: int, end_ns: int) -> tuple[str, int]:
    """Queue the windows if nobody else has the database; else ask the gateway that has it."""
    import sqlite3

    from gateway.caps import caps
    from gateway.outbox import Outbox
    from gateway.republish import ask

    of, folder = config.outbox, config.gateway.data_dir
    limits = caps(of.max_mb, of.max_records, of.max_age_days, of.free_floor_mb)
    try:
        try:
            outbox = Outbox(folder / "gateway.db", limits, alone=True)
        except sqlite3.OperationalError:  # it is in use
            ask(folder, start_ns, end_ns)
            return "asked", 0
        with closing(outbox):
            return "queued", _queue(config, outbox, start_ns, end_ns)
    except sqlite3.Error as error:
        fail(f"gateway.db cannot be written: {error}", "free some space, then try again")
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", "use sudo: the data directory is the gateway's own", CONFIG_ERROR)


def _queue(config: Config, outbox: Outbox, start_ns: int, end_ns: int) -> int:
    from gateway import in_force
    from gateway.commit import Committer
    from gateway.expected import core_of
    from gateway.republish import Republish
    from gateway.terms import terms

    now = in_force.read(outbox.db)
    if now is not None and now.rules != in_force.rules(config):
        fail("this file is not what the gateway last ran with", "name the right file, or start the gateway first")
    work = Republish(
        config.gateway.data_dir, outbox, Committer(outbox, terms(config)), core_of(config), config.windows.base_s
    )
    return _pieces(work, outbox, start_ns, end_ns)


def _pieces(work: Republish, outbox: Outbox, start_ns: int, end_ns: int) -> int:
    from gateway.republish import MOST_FULL

    messages, at_ns = 0, start_ns
    while at_ns < end_ns:
        if outbox.fill(0).share >= MOST_FULL:
            what = f"the outbox is half full; sent again up to {shown(at_ns)} UTC"
            fail(what, "start the gateway, wait until it has delivered, and ask for the rest")
        at_ns, n = work.put(at_ns, end_ns)
        messages += n
    return messages


def _tell(how: str, windows: int, messages: int, of: tuple[int, int], *, as_json: bool) -> None:
    if as_json:
        import msgspec

        said = {"how": how, "from_ns": of[0], "to_ns": of[1], "base_windows": windows, "messages": messages}
        typer.echo(msgspec.json.encode(said).decode())
        return
    typer.echo(f"{shown(of[0])} to {shown(of[1])} UTC")
    typer.echo(f"{windows} base windows, and the longer ones of the span")
    typer.echo(
        {
            "dry-run": "nothing is done: without --dry-run they are sent again",
            "asked": "the gateway is asked: it sends them beside its work,\nsome hours of windows a minute\n"
            "    -> gateway ledger counts them",
            "queued": f"{messages} messages are queued\n    -> start the gateway: it sends them",
        }[how]
    )
