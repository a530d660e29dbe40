"""`gateway run`: the gateway itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    site: Annotated[Path, typer.Argument(help="The site file, for example /etc/lamppost/site.toml.")],
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Read the sensors of SITE and publish their windows, until stopped. SIGHUP reads SITE again."""
    from gateway.config_errors import ConfigError
    from gateway.service import CONFIG_ERROR, become

    try:
        become("run", site, verbose=verbose)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(CONFIG_ERROR) from None
