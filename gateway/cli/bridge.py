"""`gateway bridge`: from the broker into the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def bridge(
    site: Annotated[Path, typer.Argument(help="The site file: its [mqtt], [bridge] and [store] are used.")],
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Carry windows from the broker into the store, and send the receipts that gateways wait for."""
    from gateway.config_errors import ConfigError
    from gateway.service import CONFIG_ERROR, become

    try:
        become("bridge", site, verbose=verbose)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(CONFIG_ERROR) from None
