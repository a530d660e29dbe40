"""`gateway bridge`: from the broker into the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.fail import CONFIG_ERROR, fail


def bridge(
    site: Annotated[Path, typer.Argument(help="The site file: its [mqtt], [bridge] and [store] are used.")],
    *,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Carry windows from the broker into the store, and send the receipts that gateways wait for."""
    from gateway.bridge_service import serve
    from gateway.cli import log
    from gateway.config import ConfigError, load
    from gateway.store.base import StoreError

    log.start(verbose)
    try:
        serve(load(site))
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(str(problem), err=True)
        raise typer.Exit(CONFIG_ERROR) from None
    except StoreError as error:
        fail(f"the store cannot be used: {error}", "check [store] in the site file")
    except OSError as error:
        fail(f"stopped: {error}", "check [bridge] data_dir and the files named in the site file")
