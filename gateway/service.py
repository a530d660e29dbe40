"""The long-running processes, without the command line: `python -m gateway.service run|bridge SITE FD [--verbose]`.

`gateway run` and `gateway bridge` check the site file and then turn into this program (same process, same pid), because
what reads command lines and checks configurations would otherwise stay in memory for years: 20 MB of the 55 that we
may use. The checked configuration is handed over as JSON in the file descriptor FD.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from gateway.put_off import put_off

if TYPE_CHECKING:
    from gateway.config import Config

CONFIG_ERROR = 2
# For processes that live for years, unless somebody has set it otherwise: threads share one heap and no pool waits.
LEAN = MappingProxyType({"MALLOC_ARENA_MAX": "1", "OPENBLAS_NUM_THREADS": "1"})
UNUSED = ("urllib.request",)  # paho wants it for proxies, which only PySocks could use: 2 MB with what it imports


def become(verb: str, site: Path, *, verbose: bool) -> None:
    """Check the site file, then replace this process by the service, which is handed what the file says.

    Returns never; raises ConfigError, OSError.
    """
    from zoneinfo import TZPATH

    from gateway.config import to_json
    from gateway.config_file import load

    handed = os.memfd_create("lamppost-config", 0)
    os.write(handed, to_json(load(site)))
    arguments = [sys.executable, "-m", "gateway.service", verb, str(site), str(handed)]
    lean = {**LEAN, "PYTHONTZPATH": os.pathsep.join(TZPATH)}  # or it reads all of Python's build settings to find it
    environment = {**lean, **os.environ}
    os.execve(sys.executable, [*arguments, "--verbose"] if verbose else arguments, environment)  # noqa: S606 - fixed words


def main(arguments: list[str]) -> int:
    """Run a service until it is told to stop; return the exit code, 2 for a configuration that cannot be used."""
    from gateway.config import from_json

    verb, site, handed = arguments[0], Path(arguments[1]), int(arguments[2])
    with os.fdopen(handed, "rb") as file:
        file.seek(0)
        config = from_json(file.read())
    for name in UNUSED:
        put_off(name)
    os.umask(0o027)  # what is measured, and what waits, is for the service and its group
    _log(verbose="--verbose" in arguments)
    return _run(site, config) if verb == "run" else _bridge(config)


def _run(site: Path, config: Config) -> int:
    import asyncio
    import gc
    import sqlite3

    from gateway.app import run
    from gateway.clock import Clock, ClockError

    gc.collect()
    gc.freeze()  # what the imports left stays: the collector need not walk over it again and again
    try:
        clock = Clock.from_env()
        if clock.rate > 1.0:  # time is paced: threads take turns as often in a second of this clock as in any other
            sys.setswitchinterval(sys.getswitchinterval() / clock.rate)
        asyncio.run(run(site, config, clock))
    except ClockError as error:
        return _say(str(error), "correct or unset the variable", CONFIG_ERROR)
    except (OSError, sqlite3.Error) as error:
        return _say(f"stopped: {error}", "check data_dir in the site file: it must exist, be writable and have room")
    return 0


def _bridge(config: Config) -> int:
    from gateway.bridge_service import serve
    from gateway.store.base import StoreError

    try:
        serve(config)
    except StoreError as error:
        return _say(f"the store cannot be used: {error}", "check [store] in the site file")
    except OSError as error:
        return _say(f"stopped: {error}", "check [bridge] data_dir and the files named in the site file")
    return 0


def _say(what: str, hint: str, code: int = 1) -> int:
    print(f"{what}\n    -> {hint}", file=sys.stderr)
    return code


def _log(*, verbose: bool) -> None:
    """Log to stderr; under systemd without time stamps, because the journal has its own."""
    import logging

    journal = "JOURNAL_STREAM" in os.environ
    form = "%(levelname)s %(name)s: %(message)s" if journal else "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, format=form)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("mqtt").setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
