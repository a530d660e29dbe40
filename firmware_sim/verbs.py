"""The verbs `virtual` and `score` of `firmware-sim`; what is heavy is imported when it is wanted."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from firmware_sim.street_truth import MINUTE_S, Detail
from gateway.clock import NS, Clock

if TYPE_CHECKING:
    from firmware_sim.virtual import Totals
    from gateway.store.base import Store

EXIT_BEYOND, EXIT_CONFIG = 1, 2
MONDAY = "2026-01-12T00:00:00"
TOLD_EVERY_S = 3600.0
COUNTS = ("seconds", "records", "windows", "messages", "points", "most_held")


def virtual(
    scenario: Annotated[Path, typer.Argument(help="The scenario file, for example configs/sim/rush-hour.toml.")],
    for_s: Annotated[
        int, typer.Option("--for", min=MINUTE_S, metavar="SECONDS", help="So long, on the street.")
    ] = 3600,
    since: Annotated[str, typer.Option("--from", metavar="UTC", help="When it begins; a whole minute.")] = MONDAY,
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Where store and truth go. Default: a fresh temporary directory.")
    ] = None,
    site: Annotated[
        Path | None, typer.Option(help="[[sensor]] tables whose port and bus are names of the scenario. Default: made.")
    ] = None,
    skip_s: Annotated[
        int, typer.Option("--skip", min=0, metavar="SECONDS", help="Pass over the first seconds of the scenario.")
    ] = 0,
    seed: Annotated[int | None, typer.Option(min=0, help="Another street than the scenario's own.")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=2, help="Processes; two share the links.")] = 2,
    detail: Annotated[Detail, typer.Option("--truth-detail", help="How much truth to write down.")] = Detail.MINUTE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run sensors and gateway together in virtual time: a day in minutes.

    The clock jumps from event to event; drivers, core and store are the real ones. Afterwards store.db and
    truth.jsonl are in the directory: compare them with `firmware-sim score`.
    """
    start_s, clock = _start_s(since), Clock()
    place = (directory or Path(tempfile.mkdtemp(prefix="firmware-sim-"))).absolute()
    begun_ns = clock.mono_ns()
    totals, store, truth = _simulate(scenario, site, place, seed, (start_s, for_s, detail, jobs, skip_s))
    took_s = (clock.mono_ns() - begun_ns) / NS
    if as_json:
        counts = {name: getattr(totals, name) for name in COUNTS}
        print(json.dumps({**counts, "took_s": round(took_s, 2), "store": str(store), "truth": str(truth)}))
        return
    print(f"{totals.seconds:.0f} s in {took_s:.1f} s: {totals.records} records, {totals.points} points")
    print(f"firmware-sim score {truth} {store} --data-dir {place / 'gateway'}")


def _simulate(
    scenario: Path, site: Path | None, place: Path, seed: int | None, when: tuple[int, int, Detail, int, int]
) -> tuple[Totals, Path, Path]:
    """Run; end the program with a plain word when that cannot be."""
    from firmware_sim.scenario import ScenarioError, load_scenario
    from firmware_sim.virtual import STORE, TRUTH, Plan, run
    from firmware_sim.virtual_site import site as made
    from firmware_sim.virtual_site import site_from
    from gateway.config_errors import ConfigError

    store, truth = place / STORE, place / TRUTH
    if store.exists() or truth.exists():
        _fail(f"{place} holds an earlier run; choose another --dir", EXIT_CONFIG)
    try:
        scene = load_scenario(scenario)
        scene = scene if seed is None else replace(scene, seed=seed)
        config = made(scene, place) if site is None else site_from(site, place)
        return run(Plan(scene, config, place, *when), _progress(when[1])), store, truth
    except (ScenarioError, ConfigError) as error:
        _fail(str(error), EXIT_CONFIG)
    except OSError as error:
        _fail(f"{error}; choose another --dir", EXIT_BEYOND)


def score(
    truth: Annotated[Path, typer.Argument(help="The truth file, with lines of the street.")],
    store: Annotated[Path, typer.Argument(help="A store.db, or a site file that names its store.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    max_count: Annotated[float | None, typer.Option(metavar="PCT", help="Of vehicles, off over all.")] = None,
    max_speed: Annotated[float | None, typer.Option(metavar="KM/H", help="Of a mean speed.")] = None,
    max_v85: Annotated[float | None, typer.Option(metavar="KM/H", help="Of a v85.")] = None,
    max_laeq: Annotated[float | None, typer.Option(metavar="DB", help="Of an LAeq.")] = None,
    max_pm: Annotated[float | None, typer.Option(metavar="UG/M3", help="Of PM2.5, root mean square.")] = None,
    min_capture: Annotated[float | None, typer.Option(metavar="SHARE", help="Of each sensor, 0 to 1.")] = None,
    max_latency: Annotated[
        float | None, typer.Option(metavar="S", help="From a window's end into the store, of 95 in 100.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Of the gateway, which knows when windows arrived. Default: of the site file.")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="SENSOR.WHAT", help="No limit for this one, such as radar.vehicles.")
    ] = None,
) -> None:
    """Compare what is in a store with what truly happened.

    Ends with 1 when a limit that was given is passed, with 2 when there is nothing to compare.
    """
    from firmware_sim.score import ScoreError, as_dict, delivery, limits, read_truth, table
    from firmware_sim.score import score as compare
    from gateway.accounts import BooksError
    from gateway.store.base import StoreError

    given = {
        "count": max_count,
        "speed": max_speed,
        "v85": max_v85,
        "laeq": max_laeq,
        "pm": max_pm,
        "latency": max_latency,
    }
    allowed = {name: most for name, most in {**given, "capture": min_capture}.items() if most is not None}
    try:
        known, (opened, of) = read_truth(truth), _store(store)
        try:
            found = compare(known, opened)
        finally:
            opened.close()
        if books := data_dir or of:
            found = replace(found, delivery=delivery(books))
    except BooksError as error:
        _fail(f"{error}; {error.hint}", EXIT_CONFIG)
    except (ScoreError, StoreError, OSError) as error:
        _fail(str(error), EXIT_CONFIG)
    passed = limits(found, allowed, leave_out or ())
    if as_json:
        print(json.dumps({**as_dict(found), "beyond": passed}))
    else:
        print("\n".join([*table(found), *(f"BEYOND  {one}" for one in passed)]))
    if passed:
        raise typer.Exit(EXIT_BEYOND)


def _store(path: Path) -> tuple[Store, Path | None]:
    """Open a store; return with it the data directory of the gateway of a site file, if that is on this machine."""
    if path.suffix == ".toml":
        from gateway.accounts import DATABASE
        from gateway.config_errors import ConfigError
        from gateway.config_file import load
        from gateway.store.open import open_store

        try:
            config = load(path)
        except ConfigError as error:
            _fail(str(error), EXIT_CONFIG)
        books = config.gateway.data_dir
        return open_store(config.store, config.bridge, read_only=True), books if (books / DATABASE).exists() else None
    from gateway.store.sqlite import SqliteStore

    return SqliteStore(path, read_only=True), None


def _start_s(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _fail(f"--from {text!r} is not a time; write it as 2026-01-12T06:00", EXIT_CONFIG)
    start_s = round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
    if start_s % MINUTE_S:
        _fail(f"--from {text!r} is not a whole minute; leave the seconds out", EXIT_CONFIG)
    return start_s


def _progress(for_s: int) -> Callable[[float, Totals], None]:
    """Say on a terminal how far it is."""
    told_s = 0.0

    def tell(done_s: float, totals: Totals) -> None:
        nonlocal told_s
        if sys.stderr.isatty() and done_s - told_s >= TOLD_EVERY_S:
            told_s = done_s
            print(f"\r{done_s / 3600:.0f} of {for_s / 3600:.0f} h, {totals.points} points", end="", file=sys.stderr)

    return tell


def _fail(text: str, code: int) -> NoReturn:
    typer.echo(f"firmware-sim: {text}", err=True)
    raise typer.Exit(code)
