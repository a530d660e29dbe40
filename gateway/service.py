"""The long-running processes, without the command line: `python -m gateway.service run|bridge SITE [--verbose]`.

`gateway run` and `gateway bridge` turn into this program (same process, same pid), because what reads command lines
would otherwise stay in memory for years: 8 MB of the 55 that a small board has for us.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

CONFIG_ERROR = 2


def become(verb: str, site: Path, *, verbose: bool) -> None:
    """Replace this process by the service; returns never, or raises OSError."""
    arguments = [sys.executable, "-m", "gateway.service", verb, str(site)]
    os.execv(sys.executable, [*arguments, "--verbose"] if verbose else arguments)  # noqa: S606 - fixed words


def main(arguments: list[str]) -> int:
    """Run a service until it is told to stop; return the exit code, 2 for a configuration that cannot be used."""
    verb, site = arguments[0], Path(arguments[1])
    _log(verbose="--verbose" in arguments)
    return _run(site) if verb == "run" else _bridge(site)


def _run(site: Path) -> int:
    import asyncio
    import sqlite3

    from gateway.app import run
    from gateway.clock import ClockError
    from gateway.config import ConfigError

    try:
        asyncio.run(run(site))
    except ConfigError as error:
        return _refused(error)
    except ClockError as error:
        return _say(str(error), "correct or unset the variable", CONFIG_ERROR)
    except (OSError, sqlite3.Error) as error:
        return _say(f"stopped: {error}", "check data_dir in the site file: it must exist, be writable and have room")
    return 0


def _bridge(site: Path) -> int:
    from gateway.bridge_service import serve
    from gateway.config import ConfigError, load
    from gateway.store.base import StoreError

    try:
        serve(load(site))
    except ConfigError as error:
        return _refused(error)
    except StoreError as error:
        return _say(f"the store cannot be used: {error}", "check [store] in the site file")
    except OSError as error:
        return _say(f"stopped: {error}", "check [bridge] data_dir and the files named in the site file")
    return 0


def _refused(error: Exception) -> int:
    print(error, file=sys.stderr)
    return CONFIG_ERROR


def _say(what: str, hint: str, code: int = 1) -> int:
    print(f"{what}\n    -> {hint}", file=sys.stderr)
    return code


def _log(*, verbose: bool) -> None:
    """Log to stderr; under systemd without time stamps, because the journal has its own."""
    journal = "JOURNAL_STREAM" in os.environ
    form = "%(levelname)s %(name)s: %(message)s" if journal else "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, format=form)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("mqtt").setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
