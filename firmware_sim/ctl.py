"""`firmware-sim ctl`: talk to a running simulation."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from firmware_sim.control import CONTROL

TIMEOUT_S = 10.0
REFUSED, NOBODY = 2, 1
Directory = Annotated[
    Path | None, typer.Option("--dir", help="The directory of the simulation. Default: the only one that runs here.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the reply as JSON.")]
On = Annotated[str | None, typer.Option(help="A part, line or bus; * for all.")]
ForS = Annotated[float | None, typer.Option("--for", min=0.0, metavar="SECONDS", help="So many simulated seconds.")]

app = typer.Typer(
    no_args_is_help=True, help="Look at a running simulation and lay hands on it: quantities, faults, plugs, pauses."
)


def say(directory: Path | None, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Send one request; yield the replies. Ends the program where there is nobody, or where it is refused."""
    path = (directory or _only_one()) / CONTROL
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(TIMEOUT_S)
        try:
            wire.connect(str(path))
            wire.sendall(json.dumps({k: v for k, v in request.items() if v is not None}).encode() + b"\n")
            for line in wire.makefile("rb"):
                reply = json.loads(line)
                if "error" in reply:
                    _fail(reply["error"], reply["hint"], REFUSED)
                yield reply
        except OSError as error:
            _fail(f"{path}: {error.strerror or error}", "start one with `firmware-sim run`, or name its --dir", NOBODY)


def _only_one() -> Path:
    """Return the directory of the simulation that runs here."""
    places = sorted(Path(tempfile.gettempdir()).glob(f"firmware-sim-*/{CONTROL}"))
    found = [path.parent for path in places if _answers(path)]
    if len(found) != 1:
        what = f"{len(found)} simulations run here" if found else "no simulation is known"
        hint = f"name one: --dir {found[-1]}" if found else "start one with `firmware-sim run`, or name its --dir"
        _fail(what, hint, NOBODY)
    return found[0]


def _answers(path: Path) -> bool:
    """Tell whether somebody listens there; a simulation that was killed leaves its socket behind."""
    with socket.socket(socket.AF_UNIX) as wire:
        return wire.connect_ex(str(path)) == 0


def _fail(what: str, hint: str, code: int) -> NoReturn:
    typer.echo(what, err=True)
    typer.echo(f"    -> {hint}", err=True)
    raise typer.Exit(code)


def _once(directory: Path | None, request: dict[str, Any], as_json: bool, text: str) -> None:
    """Send a request and print its one reply."""
    for reply in say(directory, request):
        typer.echo(json.dumps(reply) if as_json else text.format(**reply))
        return
    _fail("the simulation hung up", "look at what it printed", NOBODY)


@app.command("list")
def devices(directory: Directory = None, as_json: AsJson = False) -> None:
    """List the street, the parts, what they said last, and what is wrong with them."""
    from firmware_sim.watch import lines

    for reply in say(directory, {"do": "list"}):
        typer.echo(json.dumps(reply) if as_json else "\n".join(lines(reply)))
        return


@app.command("set")
def set_quantity(
    quantity: Annotated[str, typer.Argument(help="For example temperature, pm2_5, sound; `list` shows all.")],
    value: Annotated[float | None, typer.Argument(help="What it shall be. Write -- before a negative one.")] = None,
    *,
    by: Annotated[float | None, typer.Option(help="Change it by so much instead.")] = None,
    times: Annotated[float | None, typer.Option(help="So many times what it is.")] = None,
    on: Annotated[str | None, typer.Option(help="As this part sees it. Default: the street, for all parts.")] = None,
    for_s: ForS = None,
    directory: Directory = None,
    as_json: AsJson = False,
) -> None:
    """Hold a quantity from now on; what follows from it follows."""
    request = {"do": "set", "quantity": quantity, "to": value, "by": by, "times": times, "on": on, "for_s": for_s}
    _once(directory, request, as_json, f"{quantity} is held {'as ' + on + ' sees it' if on else 'on the street'}")


@app.command()
def unset(
    quantity: Annotated[str | None, typer.Argument(help="Default: all.")] = None,
    *,
    on: Annotated[str | None, typer.Option(help="Of this part alone.")] = None,
    directory: Directory = None,
    as_json: AsJson = False,
) -> None:
    """Let go of what was held."""
    _once(directory, {"do": "unset", "quantity": quantity, "on": on}, as_json, "let go: {let_go}")


@app.command()
def fault(
    on: Annotated[str, typer.Argument(help="A part, line or bus; * for all.")],
    kind: Annotated[str, typer.Argument(help="For example silent, nack, bit_flip, power_cycle.")],
    *,
    for_s: ForS = None,
    every: Annotated[float | None, typer.Option(metavar="SECONDS", help="Again and again.")] = None,
    mean_every: Annotated[float | None, typer.Option(metavar="SECONDS", help="Again and again, at random.")] = None,
    probability: Annotated[float | None, typer.Option(help="By chance, message by message.")] = None,
    delay: Annotated[float | None, typer.Option(metavar="SECONDS", help="How late a late_reply is.")] = None,
    directory: Directory = None,
    as_json: AsJson = False,
) -> None:
    """Put a fault on, as a [[fault]] table of a scenario would, from now on."""
    request = {
        "do": "fault", "on": on, "kind": kind, "for_s": for_s, "every_s": every, "mean_every_s": mean_every,
        "probability": probability, "delay_s": delay,
    }  # fmt: skip
    _once(directory, request, as_json, "fault {id} is on; to lift it: firmware-sim ctl clear {id}")


@app.command()
def clear(
    number: Annotated[int | None, typer.Argument(metavar="ID", help="The number of a fault. Default: all.")] = None,
    *,
    on: On = None,
    directory: Directory = None,
    as_json: AsJson = False,
) -> None:
    """Lift faults, those of the scenario file as well."""
    _once(directory, {"do": "clear", "id": number, "on": on}, as_json, "lifted: {lifted}")


@app.command()
def unplug(
    on: Annotated[str, typer.Argument(help="A part, line or bus; * for every port.")],
    *,
    for_s: ForS = None,
    directory: Directory = None,
    as_json: AsJson = False,
) -> None:
    """Pull the plug: the port goes away, until `plug` or for so many seconds."""
    _once(directory, {"do": "unplug", "on": on, "for_s": for_s}, as_json, f"{on} is unplugged")


@app.command()
def plug(
    on: Annotated[str, typer.Argument(help="What was unplugged.")],
    *,
    directory: Directory = None,
    as_json: AsJson = False,
) -> None:
    """Plug in again."""
    _once(directory, {"do": "plug", "on": on}, as_json, f"{on} is plugged in")


@app.command()
def pause(*, directory: Directory = None, as_json: AsJson = False) -> None:
    """Let all streams fall silent; questions are still answered."""
    _once(directory, {"do": "pause"}, as_json, "paused")


@app.command()
def resume(*, directory: Directory = None, as_json: AsJson = False) -> None:
    """Let the streams go on."""
    _once(directory, {"do": "resume"}, as_json, "resumed")


@app.command()
def watch(*, directory: Directory = None, as_json: AsJson = False) -> None:
    """Show the street live: vehicles that pass, levels, and what each part said last. Ctrl-C ends it.

    With --json, or where nobody looks at a terminal: one JSON object twice a second.
    """
    from rich.console import Console

    from firmware_sim.watch import show

    replies = say(directory, {"do": "watch"})
    try:
        if as_json or not Console().is_terminal:
            for reply in replies:
                print(json.dumps(reply), flush=True)
        else:
            show(replies)
    except (KeyboardInterrupt, BrokenPipeError):
        return
