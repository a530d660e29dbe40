"""The verb `chaos` of `firmware-sim`; what is heavy is imported when it is wanted."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from firmware_sim.scenario import Scenario
    from gateway.demo import Demo

EXIT_OPEN, EXIT_CONFIG = 1, 2


def command(
    scenario: Annotated[Path, typer.Argument(help="The scenario file, for example configs/sim/faults/kill.toml.")],
    for_s: Annotated[float, typer.Option("--for", min=10.0, metavar="SECONDS", help="So long.")] = 300.0,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Where everything goes. Default: a fresh temporary directory.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a scenario against a whole gateway, as processes: its faults strike broker, store, disk and clock too.

    Sensors, a broker, the gateway, the bridge and a store run on this machine. At the end everything is let go, and
    the sums are printed. Ends with 1 when something waits that has not arrived, or a sum is open.
    """
    from firmware_sim.chaos import ChaosError
    from firmware_sim.scenario import ScenarioError, load_scenario
    from gateway.broker import BrokerError
    from gateway.demo import DemoError

    place = (directory or Path(tempfile.mkdtemp(prefix="firmware-sim-chaos-"))).absolute()
    if (place / "site.toml").exists():
        _fail(f"{place} holds an earlier run; choose another --dir", EXIT_CONFIG)
    try:
        summary = _run(load_scenario(scenario), scenario, place, for_s, quiet=as_json)
    except (ScenarioError, ChaosError) as error:
        _fail(str(error), EXIT_CONFIG)
    except (DemoError, BrokerError, OSError) as error:
        _fail(f"{error}; the logs lie in {place}", EXIT_OPEN)
    slots = summary["ledger"]
    if as_json:
        print(json.dumps(summary))
    else:
        print("slots: {expected} expected = {valid} valid + {rejected} rejected + {missing} missing".format(**slots))
        print(f"published {summary['published']}, stored {summary['stored']}, waiting {summary['waiting']} (points)")
        print(f"the truth: {place / 'truth.jsonl'}; the store: {summary['store']}")
    if summary["waiting"] or slots["expected"] != slots["valid"] + slots["rejected"] + slots["missing"]:
        raise typer.Exit(EXIT_OPEN)


def _run(scene: Scenario, path: Path, place: Path, for_s: float, *, quiet: bool) -> dict[str, Any]:
    """Start everything, let it happen, stop in order; return the sums."""
    from firmware_sim.chaos import SMALL, Chaos, ClockFile, needs
    from firmware_sim.faults import FULL, STEP
    from firmware_sim.outside import Outside
    from firmware_sim.truth import Timeline, Truth
    from firmware_sim.virtual_site import sensors
    from gateway.demo import Demo, Settings

    place.mkdir(parents=True, exist_ok=True)
    (place / "sensors.toml").write_text(sensors(scene), encoding="utf-8")
    file = ClockFile(place / "clock.toml") if needs(scene, STEP) else None
    if file is not None:
        os.environ["GATEWAY_CLOCK"] = f"@{place / 'clock.toml'}"
    small = SMALL if needs(scene, FULL) else ""
    demo = Demo(place, None, Settings(scenario=path, sensors=place / "sensors.toml", mqtt=small))
    timeline = Timeline(demo.clock)
    truth = Truth(place / "truth.jsonl", timeline)
    outside = Outside(scene.outside, scene.seed, timeline.now_s(), truth)
    say = (lambda _text: None) if quiet else typer.echo
    try:
        chaos = Chaos(outside, _Parts(demo), demo.store, place / "gateway", file, timeline.now_s, say)
        demo.start()
        chaos.run(for_s)
    finally:
        demo.stop()
        truth.close()
    return demo.summary()


class _Parts:
    """The processes of a demo, as they are ended and started."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo

    def kill_part(self, name: str) -> None:
        """End one as a power cut would."""
        if name == "broker":
            self._demo.broker.kill()
        else:
            self._demo.kill(name)

    def start_part(self, name: str) -> None:
        """Start it, also again."""
        starts = {
            "gateway": self._demo.start_gateway,
            "bridge": self._demo.start_bridge,
            "broker": self._demo.broker.start,
        }
        starts[name]()


def _fail(text: str, code: int) -> NoReturn:
    typer.echo(f"firmware-sim: {text}", err=True)
    raise typer.Exit(code)
