"""The command `gateway`: one verb each, and one place where errors become sentences and exit codes."""

from __future__ import annotations

import os
import sys

# numpy's linear algebra is not used; its thread pool would cost memory on a small board.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import typer

from gateway.cli import (
    bridge,
    check,
    dead_letters,
    decode,
    demo,
    drivers,
    ledger,
    record,
    republish,
    run,
    scan,
    status,
    verify,
)

app = typer.Typer(
    help="Read urban sensors, check and aggregate their readings, deliver them to a time-series store.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (
    demo.demo, run.run, bridge.bridge, check.check, status.status, ledger.ledger, verify.verify, republish.republish,
    scan.scan, record.record, drivers.drivers, decode.decode,
):  # fmt: skip
    app.command()(verb)
app.add_typer(dead_letters.dead_letters, name="dead-letters")


def main() -> None:
    """Run the command line; configuration errors end with 2, everything else that stops us with 1."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()


if __name__ == "__main__":
    main()
