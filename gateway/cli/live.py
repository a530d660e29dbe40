"""The demo seen by a person: a live table, or a line now and then."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from gateway.cli.words import shown, unit_shown
from gateway.demo import DOMAINS, Demo

if TYPE_CHECKING:
    from rich.table import Table

FLAGS = {1: "good", 2: "unchecked", 3: "suspect", 4: "fail", 9: "missing"}


def show(demo: Demo, for_s: float | None, *, live: bool) -> None:
    """Let it run, with a live table or a line every ten seconds, for `for_s` seconds or until Ctrl-C or SIGTERM."""
    stopped = [False]

    def stop(*_: object) -> None:
        stopped[0] = True

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    until_ns = None if for_s is None else demo.clock.mono_ns() + round(for_s * 1e9)
    if live:
        _show_live(demo, until_ns, stopped)
    else:
        _show_plain(demo, until_ns, stopped)


def _over(demo: Demo, until_ns: int | None, stopped: list[bool]) -> bool:
    demo.check()
    return stopped[0] or (until_ns is not None and demo.clock.mono_ns() >= until_ns)


def _show_live(demo: Demo, until_ns: int | None, stopped: list[bool]) -> None:
    from rich.live import Live

    with Live(table(demo.status()), auto_refresh=False) as screen:
        while not _over(demo, until_ns, stopped):
            screen.update(table(demo.status()), refresh=True)
            demo.clock.sleep(1.0)


def _show_plain(demo: Demo, until_ns: int | None, stopped: list[bool]) -> None:
    print(f"demo in {demo.folder}, broker {demo.broker.kind}", flush=True)
    ticks = 0
    while not _over(demo, until_ns, stopped):
        demo.clock.sleep(0.5)
        ticks += 1
        if ticks % 20 == 0 and (now := demo.status()) is not None:
            slots = "{valid} of {expected} slots valid".format(**now["ledger"])
            print(
                f"{now['account']['messages']} windows messages, {now['broker']['queued']} waiting; {slots}", flush=True
            )


def table(now: dict[str, Any] | None) -> Table:
    """Draw the latest window of every channel; fits a phone."""
    from rich.table import Table

    head = "waiting for the first window (10 s)" if now is None else _head(now)
    out = Table(title=head, title_justify="left", box=None, pad_edge=False)
    out.add_column("sensor")
    out.add_column("channel")
    out.add_column("value", justify="right")
    out.add_column("unit")
    out.add_column("flag")
    out.add_column("capt.", justify="right")
    shortest = min((row["period_s"] for row in now["windows"]), default=0) if now else 0
    for row in now["windows"] if now else []:
        if row["domain"] not in DOMAINS or row["period_s"] != shortest:
            continue
        flag = FLAGS.get(int(row["flag"] or 0), "?")
        capture = "-" if row["capture"] is None else f"{100 * row['capture']:.0f}%"
        colour = {"good": "green", "suspect": "yellow"}.get(flag, "red")
        cells = (row["channel"], shown(row["value"]), unit_shown(row["unit"]))
        out.add_row(row["sensor"], *cells, f"[{colour}]{flag}[/]", capture)
    return out


def _head(now: dict[str, Any]) -> str:
    broker = "connected" if now["broker"]["connected"] else "away"
    return f"{now['gateway']}: broker {broker}, {now['broker']['queued']} waiting for a receipt"
