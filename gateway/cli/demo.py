"""`gateway demo`: the whole way on this machine, without any hardware or server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.fail import fail


def demo(
    *,
    for_s: Annotated[float | None, typer.Option("--for", metavar="SECONDS", help="Stop by itself.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="No live table: a line now and then.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object, last.")] = False,
    data_dir: Annotated[Path | None, typer.Option(help="Keep the data here; else in a new temporary folder.")] = None,
    broker: Annotated[str | None, typer.Option(help="mosquitto or iotcore; else what is there.")] = None,
) -> None:
    """Show the gateway at work: simulated sensors, a broker, the gateway, the bridge and a store, as processes."""
    import tempfile

    import msgspec

    from gateway.broker import BrokerError
    from gateway.cli.live import show
    from gateway.demo import Demo, DemoError

    if broker not in (None, "mosquitto", "iotcore"):
        fail(f"there is no broker {broker!r}", "use mosquitto or iotcore", 2)
    folder = data_dir or Path(tempfile.mkdtemp(prefix="lamppost-demo-"))
    demo = Demo(folder, broker)
    try:
        demo.start()
        show(demo, for_s, live=not (plain or as_json))
    except (DemoError, BrokerError) as error:
        fail(str(error), f"the logs lie in {folder}")
    finally:
        demo.stop()
    summary = demo.summary()
    if as_json:
        typer.echo(msgspec.json.encode(summary).decode())
        return
    windows = ", ".join(f"{domain} {n}" for domain, n in summary["windows"].items())
    typer.echo(f"windows stored: {windows}")
    typer.echo(f"published {summary['published']}, stored {summary['stored']} (distinct keys)")
    typer.echo("slots: {expected} expected = {valid} valid + {rejected} rejected + {missing} missing".format(
        **summary["ledger"]))  # fmt: skip
    typer.echo(f"the store: {summary['store']}")
