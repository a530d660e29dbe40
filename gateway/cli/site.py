"""The site file of a verb: read and checked, or refused with all that is wrong in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from gateway.cli.fail import CONFIG_ERROR

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Config


def load_site(path: Path) -> Config:
    """Read a site file; say what is wrong with it and end where it is not as it should be."""
    from gateway.config_errors import ConfigError
    from gateway.config_file import load

    try:
        return load(path)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(CONFIG_ERROR) from None
