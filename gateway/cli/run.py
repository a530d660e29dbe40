"""`gateway run`: the gateway itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.fail import CONFIG_ERROR, fail


def run(
    site: Annotated[Path, typer.Argument(help="The site file, for example /etc/lamppost/site.toml.")],
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Read the sensors of SITE and publish their windows, until stopped. SIGHUP reads SITE again."""
    import asyncio
    import sqlite3

    from gateway.app import run as run_app
    from gateway.cli import log
    from gateway.clock import ClockError
    from gateway.config import ConfigError

    log.start(verbose)
    try:
        asyncio.run(run_app(site))
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        raise typer.Exit(CONFIG_ERROR) from None
    except ClockError as error:
        fail(str(error), "correct or unset the variable", CONFIG_ERROR)
    except (OSError, sqlite3.Error) as error:
        fail(f"stopped: {error}", "check data_dir in the site file: it must exist, be writable and have room")
