"""`gateway dead-letters`: what no store would take, why, and what is done with it."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.fail import fail
from gateway.cli.site import load_site

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

    rows = [_row(path, letter) for path, letter in _box(load_site(site), site).letters()]
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
    """Write dead letters into the store; each that it takes is removed here, the others stay.

    What the store has in a later revision is not written, and its letter is removed. Of a bundle only what is refused
    stays, message by message.
    """
    from gateway.second_try import Again
    from gateway.store.base import StoreError
    from gateway.store.open import open_store

    config = load_site(site)
    box = _box(config, site)
    stored: list[str] = []
    newer: list[str] = []
    refused: dict[str, str] = {}
    try:
        with closing(open_store(config.store, config.bridge)) as store:
            again = Again(store)
            for path, letter in _chosen(box, names):
                result = again.write(letter)
                for payload, reason in result.refused:
                    alone = path if payload == letter.payload else _keep(box, letter, payload, reason)
                    refused[alone.stem] = reason
                if path.stem not in refused:
                    box.drop(path)
                if not result.refused:
                    (stored if result.stored else newer).append(path.stem)
    except (StoreError, OSError) as error:
        fail(f"the store cannot be reached: {error}", "start it, then try again: what was stored is done")
    if again.unread:
        typer.echo(f"the store could not be asked what it has newer: {again.unread}", err=True)
        typer.echo(f"    -> compare what is there: gateway verify SITE --store {site}", err=True)
    later = f", {len(newer)} newer in the store" if newer else ""
    said = {"stored": stored, "newer": newer, "refused": refused}
    _tell(as_json, said, f"{len(stored)} stored{later}, {len(refused)} refused again")
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
    box = _box(load_site(site), site)
    dropped = []
    for path, _ in _chosen(box, names):
        box.drop(path)
        dropped.append(path.stem)
    _tell(as_json, {"dropped": dropped}, f"{len(dropped)} dropped")


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


def _keep(box: DeadLetters, letter: DeadLetter, payload: bytes, reason: str) -> Path:
    from msgspec.structs import replace

    return box.keep(replace(letter, payload=payload, reason=reason))


def _row(path: Path, letter: DeadLetter) -> dict[str, Any]:
    from datetime import UTC, datetime

    at = datetime.fromtimestamp(letter.t_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "name": path.stem, "at": at, "topic": letter.topic, "reason": letter.reason, "bytes": len(letter.payload),
    }  # fmt: skip


def _tell(as_json: bool, found: dict[str, Any], words: str) -> None:
    import msgspec

    typer.echo(msgspec.json.encode(found).decode() if as_json else words)
