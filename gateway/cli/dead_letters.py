"""`gateway dead-letters`: what no store would take, why, and what is done with it."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.fail import CONFIG_ERROR, fail

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.dead_letters import DeadLetter, DeadLetters

dead_letters = typer.Typer(
    no_args_is_help=True, help="Messages that no store would take: list them, try them again, drop them."
)
Site = Annotated[Path, typer.Argument(help="The site file of the bridge.")]
Names = Annotated[list[str] | None, typer.Argument(help="Names of letters, as `list` shows them; none: all.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dead_letters.command("list")
def list_(site: Site, *, as_json: AsJson = False) -> None:
    """List the dead letters of a bridge, oldest first, with the reason of each."""
    import msgspec

    rows = [_row(path, letter) for path, letter in _box(_load(site), site).letters()]
    if as_json:
        typer.echo(msgspec.json.encode(rows).decode())
        return
    for row in rows:
        typer.echo(f"{row['name']}  {row['at']}  {row['topic']}\n    {row['reason']}")
    if rows:
        typer.echo(f"{len(rows)} dead letters -> mend the cause, then: gateway dead-letters retry {site}")
    else:
        typer.echo("no dead letters")


@dead_letters.command()
def retry(site: Site, names: Names = None, *, as_json: AsJson = False) -> None:
    """Write dead letters into the store; each that it takes is removed here, the others stay with a new reason."""
    from gateway import wire
    from gateway.store.base import StoreError
    from gateway.store.open import open_store

    config = _load(site)
    box = _box(config, site)
    stored, refused = [], {}
    try:
        with closing(open_store(config.store, config.bridge)) as store:
            for path, letter in _chosen(box, names):
                try:
                    messages = [wire.unpack_windows(one) for one in wire.unbundle(letter.payload)]
                    store.write([point for message in messages for point in wire.points(message)])
                except wire.WireError as error:
                    refused[path.stem] = str(error)
                except StoreError as error:
                    if not error.about_data:
                        raise
                    refused[path.stem] = f"the store refuses it: {error}"
                else:
                    box.drop(path)
                    stored.append(path.stem)
    except (StoreError, OSError) as error:
        fail(f"the store cannot be reached: {error}", "start it, then try again: what was stored is done")
    _tell(as_json, {"stored": stored, "refused": refused}, f"{len(stored)} stored, {len(refused)} refused again")
    if refused:
        if not as_json:
            for name, reason in refused.items():
                typer.echo(f"{name}: {reason}")
        raise typer.Exit(1)


@dead_letters.command()
def drop(
    site: Site,
    names: Names = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete dead letters for good; their readings are then nowhere but in the raw log of their gateway."""
    if not names and not every:
        fail("say which: their names, or --all", f"gateway dead-letters list {site}")
    box = _box(_load(site), site)
    dropped = []
    for path, _ in _chosen(box, names):
        box.drop(path)
        dropped.append(path.stem)
    _tell(as_json, {"dropped": dropped}, f"{len(dropped)} dropped")


def _load(site: Path) -> Config:
    from gateway.config_errors import ConfigError
    from gateway.config_file import load

    try:
        return load(site)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(CONFIG_ERROR) from None


def _box(config: Config, site: Path) -> DeadLetters:
    from gateway.dead_letters import DeadLetters

    folder = config.bridge.data_dir / "dead-letters"
    if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
        fail(f"{folder} cannot be read by this user", f"use sudo gateway dead-letters ... {site}")
    return DeadLetters(folder)


def _chosen(box: DeadLetters, names: list[str] | None) -> list[tuple[Path, DeadLetter]]:
    found = {path.stem: (path, letter) for path, letter in box.letters()}
    strange = [name for name in names or () if name not in found]
    if strange:
        fail(f"there is no letter {strange[0]}", "names are those that `gateway dead-letters list` shows")
    return [found[name] for name in names or found]


def _row(path: Path, letter: DeadLetter) -> dict[str, Any]:
    from datetime import UTC, datetime

    at = datetime.fromtimestamp(letter.t_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "name": path.stem, "at": at, "topic": letter.topic, "reason": letter.reason, "bytes": len(letter.payload),
    }  # fmt: skip


def _tell(as_json: bool, found: dict[str, Any], words: str) -> None:
    import msgspec

    typer.echo(msgspec.json.encode(found).decode() if as_json else words)
