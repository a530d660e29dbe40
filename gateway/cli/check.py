"""`gateway check`: what is wrong with a site file, all at once, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.fail import CONFIG_ERROR


def check(
    site: Annotated[Path, typer.Argument(help="The site file to look at.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    resolved: Annotated[bool, typer.Option(help="If it can run, print the whole configuration as JSON.")] = False,
) -> None:
    """Look for errors in SITE without touching any hardware. Ends with 0 when it can run, 2 when it cannot."""
    from gateway.config import to_json
    from gateway.config_file import examine

    config, problems = examine(site)
    errors = [problem for problem in problems if not problem.warning]
    warnings = [problem for problem in problems if problem.warning]
    if resolved and config is not None and not errors:
        typer.echo(to_json(config).decode())
        return
    if as_json:
        import msgspec

        rows = [problem._asdict() for problem in (*errors, *warnings)]
        typer.echo(msgspec.json.encode({"ok": not errors, "problems": rows}).decode())
    else:
        for problem in errors:
            typer.echo(f"error   {problem}")
        for problem in warnings:
            typer.echo(f"warning {problem}")
        sensors = len(config.sensor) if config is not None else 0
        verdict = f"{len(errors)} errors: correct them first" if errors else f"ok: {sensors} sensors"
        typer.echo(f"{site}: {verdict}" + (f", {len(warnings)} warnings" if warnings else ""))
    if errors:
        raise typer.Exit(CONFIG_ERROR)
