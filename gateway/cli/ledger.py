"""`gateway ledger`: where every expected slot and every message went, and whether the sums close."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.fail import fail
from gateway.cli.site import load_site

if TYPE_CHECKING:
    from gateway.accounts import Fates, Queue, SensorBook, SlotBook

USUAL = Path("/var/lib/lamppost")
DATABASE = "gateway.db"
FLAG_WORDS = ("good", "not evaluated", "suspect", "fail", "missing")


def ledger(
    of: Annotated[Path | None, typer.Argument(metavar="[SITE|DATA_DIR]", help="The site file, or the data.")] = None,
    *,
    begin: Annotated[
        str | None, typer.Option("--from", help="Begin: a time in UTC, or 36h, 7d before the end.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="End; without it the newest window.")] = None,
    sensor: Annotated[str | None, typer.Option(help="Only this sensor.")] = None,
    flags: Annotated[bool, typer.Option("--flags", help="Also the readings of each channel by quality flag.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Account for every slot of every sensor over a span, and for every message. Ends with 1 if a sum is open."""
    from gateway import accounts
    from gateway.cli.span import shown, span

    data_dir = find(of)
    try:
        with accounts.opened(data_dir) as db:
            messages, points, queue = accounts.account(db)
            held = accounts.coverage(db)
            start_ns, end_ns = span(begin, end, held[1] if held else 0)
            book = accounts.slots(db, start_ns, end_ns, flags=flags)
            whole, again = accounts.slot_account(db), accounts.republished(db)
    except accounts.BooksError as error:
        fail(str(error), error.hint)
    if sensor is not None:
        if sensor not in book.sensors:
            names = ", ".join(sorted(book.sensors)) or "nothing; choose another span with --from"
            fail(f"there is nothing of {sensor!r} in this span", f"there is {names}")
        book.sensors = {sensor: book.sensors[sensor]}
    troubles = _troubles(book, messages, points, whole)
    if as_json:
        import msgspec

        head = {"data_dir": str(data_dir), "from_ns": start_ns, "to_ns": end_ns, "republished_messages": again}
        said = (
            head | _plain(book, messages, points, queue, flags=flags) | {"closes": not troubles, "troubles": troubles}
        )
        typer.echo(msgspec.json.encode(said).decode())
    else:
        typer.echo(f"{data_dir}\n{shown(start_ns)} to {shown(end_ns)} UTC")
        _print_slots(book, held, flags=flags)
        _print_messages(messages, points, queue, again)
        for trouble in troubles:
            typer.echo(f"DOES NOT CLOSE  {trouble}")
        typer.echo(f"    -> keep a copy of {data_dir} and report it" if troubles else "all sums close")
    if troubles:
        raise typer.Exit(1)


def find(of: Path | None) -> Path:
    """Find the data directory: of a site file, of a folder that holds one, or the usual one."""
    if of is None or of.is_dir():
        places = [USUAL] if of is None else [of, of / "gateway"]
        return next((place for place in places if (place / DATABASE).exists()), places[0])
    return load_site(of).gateway.data_dir


def _troubles(book: SlotBook, messages: Fates, points: Fates, whole: dict[str, int]) -> list[str]:
    out = [
        f"{name}: {one.counts['expected']} slots expected, the parts do not add up"
        for name, one in book.sensors.items()
        if not one.closes
    ]
    if whole["expected"] != whole["valid"] + whole["rejected"] + whole["missing"]:
        out.append(f"slots since the beginning: {whole['expected']} expected, the parts do not add up")
    for word, one in (("messages", messages), ("points", points)):
        if not one.closes:
            out.append(f"{word}: {one.produced} produced, {one.known} accounted for")
    if book.unreadable:
        out.append(f"{book.unreadable} windows of history cannot be read")
    return out


def _print_slots(book: SlotBook, held: tuple[int, int] | None, *, flags: bool) -> None:
    from gateway.cli.span import shown

    if not book.windows:
        typer.echo("no windows in this span")
        if held:
            typer.echo(f"    -> history holds {shown(held[0])} to {shown(held[1])}")
        return
    off = f"; {book.absent} are not there (the gateway was off)" if book.absent else ""
    typer.echo(f"{book.windows} windows of {book.period_s} s{off}")
    for name, one in sorted(book.sensors.items()):
        n = one.counts
        if not n["expected"] and not one.flags:
            continue
        typer.echo(f"{name}: {n['expected']} slots expected")
        share = f", {100 * n['valid'] / n['expected']:.2f} %" if n["expected"] else ""
        typer.echo(f"{n['valid']:>10} valid{share}")
        for word, by in (("rejected", one.rejected_by), ("missing", one.missing_by)):
            reasons = ", ".join(f"{count} {reason}" for reason, count in by.items())
            typer.echo(f"{n[word]:>10} {word}" + (f": {reasons}" if reasons else ""))
        if n["extra"] or n["late"]:
            typer.echo(f"{'':>10} beside them {n['extra']} extra, {n['late']} late")
        if flags:
            _print_flags(one)


def _print_flags(one: SensorBook) -> None:
    for channel, counts in one.flags.items():
        by = ", ".join(f"{n} {word}" for n, word in zip(counts.tolist(), FLAG_WORDS, strict=True) if n)
        typer.echo(f"{'':>10} {channel}: {by or 'no readings'}")


def _print_messages(messages: Fates, points: Fates, queue: Queue, again: int) -> None:
    typer.echo(f"messages since the beginning: {messages.produced} ({points.produced} points)")
    typer.echo(f"{messages.receipted:>10} receipted: the store has them")
    sent = f", {queue.unsent} of them not yet sent" if queue.unsent else ""
    typer.echo(f"{messages.queued:>10} queued{sent}")
    reasons = ", ".join(f"{n} {reason}" for reason, n in messages.dropped.items())
    typer.echo(f"{sum(messages.dropped.values()):>10} dropped" + (f": {reasons}" if reasons else ""))
    dead = "  -> on the bridge: gateway dead-letters list SITE" if messages.dead else ""
    typer.echo(f"{messages.dead:>10} dead letters{dead}")
    typer.echo(f"{messages.replaced:>10} replaced by a revision before they went out")
    if again:
        typer.echo(f"{'':>10} among them {again} sent once more, as asked")


def _plain(book: SlotBook, messages: Fates, points: Fates, queue: Queue, *, flags: bool) -> dict[str, Any]:
    sensors: dict[str, Any] = {}
    for name, one in sorted(book.sensors.items()):
        sensors[name] = {**one.counts, "rejected_by": one.rejected_by, "missing_by": one.missing_by}
        if flags:
            channels = {channel: counts.tolist() for channel, counts in one.flags.items()}
            sensors[name]["flags"] = {
                channel: dict(zip(FLAG_WORDS, counts, strict=True)) for channel, counts in channels.items()
            }
    return {
        "period_s": book.period_s, "windows": book.windows, "absent": book.absent, "unreadable": book.unreadable,
        "sensors": sensors, "messages": messages._asdict(), "points": points._asdict(), "queue": queue._asdict(),
    }  # fmt: skip
