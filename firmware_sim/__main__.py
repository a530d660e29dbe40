"""The command `firmware-sim`."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from firmware_sim import chaos_verb, ctl, replay
from firmware_sim.kernel import KernelError
from firmware_sim.kernel import check as check_kernel
from firmware_sim.scenario import ScenarioError, load_scenario
from firmware_sim.simulation import Entry, simulate
from firmware_sim.street_truth import Detail
from firmware_sim.verbs import score, virtual
from gateway.clock import Clock

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
EXIT_CONFIG = 2
app.add_typer(ctl.app, name="ctl")
app.command("replay")(replay.command)
app.command("chaos")(chaos_verb.command)
app.command()(virtual)
app.command()(score)


@app.callback()
def about() -> None:
    """Sensors without hardware: serial ports and I2C buses that answer byte for byte as the datasheets say.

    Point a gateway, or any program of yours, at the ports that `run` prints. What the sensors truly measured is
    written beside, so that a test can compare.
    """


@app.command()
def run(
    scenario: Annotated[Path, typer.Argument(help="The scenario file, for example configs/sim/street.toml.")],
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Where ports and sockets appear. Default: a fresh temporary directory.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Ground truth, JSON lines, appended. Default: truth.jsonl in that directory.")
    ] = None,
    for_s: Annotated[
        float | None, typer.Option("--for", min=0.0, metavar="SECONDS", help="Stop after so many simulated seconds.")
    ] = None,
    kernel: Annotated[bool, typer.Option("--kernel", help="True /dev nodes: root, vhci-hcd and its drivers.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the ports as one JSON object.")] = False,
    detail: Annotated[
        Detail, typer.Option("--truth-detail", help="Also what happens on the street, by the minute or second.")
    ] = Detail.SENT,
) -> None:
    """Run a scenario until it is stopped (Ctrl-C or SIGTERM).

    Prints one line per port, then "ready". SIGUSR1 pauses all streams, as if the sensors fell silent; a second one
    resumes them. GATEWAY_CLOCK=epoch:rate (for example 1767225600:10) makes time run faster.
    """

    def ready(entries: list[Entry]) -> None:
        replay.tell_ready(entries, as_json=as_json)

    try:
        plan, clock = load_scenario(scenario), Clock.from_env()
    except (ScenarioError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_CONFIG) from None
    try:
        place = Path(tempfile.mkdtemp(prefix="firmware-sim-")) if directory is None else directory.absolute()
        place.mkdir(parents=True, exist_ok=True)
        log = truth or place / "truth.jsonl"
        if kernel:
            check_kernel()
        asyncio.run(
            simulate(
                plan, place, log, clock, ready, lambda text: typer.echo(text, err=True), for_s, detail, kernel=kernel
            )
        )
    except KernelError as error:
        typer.echo(f"firmware-sim: {error}", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        typer.echo(f"firmware-sim: {error}; choose another --dir or --truth", err=True)
        raise typer.Exit(1) from None


def main() -> None:
    """Enter here."""
    app()


if __name__ == "__main__":
    main()
