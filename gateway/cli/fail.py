"""How a verb ends when it cannot do what it was asked."""

from __future__ import annotations

from typing import NoReturn

import typer

CONFIG_ERROR = 2


def fail(what: str, hint: str, code: int = 1) -> NoReturn:
    """Say what is wrong and the next step, on two lines, and end."""
    typer.echo(what, err=True)
    typer.echo(f"    -> {hint}", err=True)
    raise typer.Exit(code)
