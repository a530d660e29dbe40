"""Rules of a site file about broker and store: lines that are encrypted, and files that are nobody else's."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway import secrets, toml_lines
from gateway.certificates import CREDENTIALS, troubles
from gateway.clock import Clock
from gateway.config import Config
from gateway.config_errors import Problem, Sources

NEAR = ("localhost", "127.0.0.1", "::1")  # on this machine: nobody listens between


def mqtt(config: Config, sources: Sources) -> Iterator[Problem]:
    """Look at the broker."""
    mqtt = config.mqtt
    if mqtt.confirm == "puback":
        what = "windows are forgotten once the broker has them: a broker that dies loses what it had not passed on"
        yield sources.problem(("mqtt", "confirm"), what, 'run the bridge and use confirm = "receipt"', warning=True)
    if (mqtt.cert_file is None) != (mqtt.key_file is None):
        yield sources.problem(("mqtt",), "a certificate needs its key", "set both cert_file and key_file, or none")
    if not mqtt.tls and (mqtt.cert_file or mqtt.ca_file):
        yield sources.problem(("mqtt", "tls"), "certificates are named but tls is off", "set tls = true")
    if not mqtt.tls and mqtt.host not in NEAR:
        what = f"the line to {mqtt.host} is not encrypted"
        yield sources.problem(("mqtt", "tls"), what, "set tls = true and ca_file", warning=True)


def store(config: Config, sources: Sources) -> Iterator[Problem]:
    """Look at a store that is a server."""
    store = config.store
    if store.kind != "influxdb":
        return
    if (store.cert_file is None) != (store.key_file is None):
        yield sources.problem(("store",), "a certificate needs its key", "set both cert_file and key_file, or none")
    with suppress(ValueError):
        parts = urlsplit(store.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError
        if parts.scheme == "http" and (store.cert_file or store.ca_file):
            yield sources.problem(("store", "url"), "certificates are named but the url is http", "write https://")
        elif parts.scheme == "http" and parts.hostname not in NEAR:
            what = f"the line to {parts.hostname} is not encrypted"
            yield sources.problem(("store", "url"), what, "write https://, and ca_file", warning=True)
        return
    yield sources.problem(("store", "url"), f"{store.url!r} is no address", "write it as http://host:8086")


def files(config: Config, sources: Sources) -> Iterator[Problem]:
    """Look at each file and folder that should be ours alone: is it there, who may read it, when does it end."""
    now_ns = Clock.from_env().utc_ns()
    for table in secrets.TABLES:
        held = asdict(getattr(config, table))
        for name, value in held.items():
            if not name.endswith("_file") or value is None:
                continue
            yield from _file(Path(value), (table, name), sources)
            if name in ("ca_file", "cert_file"):
                for said in troubles({name: Path(value)}, {}, now_ns, held["expiry_warn_days"]).values():
                    what, _, hint = said.partition(": ")
                    yield sources.problem((table, name), what, hint, warning=True)
    for table, folder in (("gateway", config.gateway.data_dir), ("bridge", config.bridge.data_dir)):
        with suppress(OSError, ValueError):
            if folder.stat().st_mode & stat.S_IRWXO:
                what = f"{folder} can be entered by everybody"
                yield sources.problem((table, "data_dir"), what, f"chmod 750 {folder}", warning=True)


def _file(path: Path, key: tuple[str, str], sources: Sources) -> Iterator[Problem]:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        hint = "put the file there, readable by the gateway's user"
        lent = path.is_relative_to(CREDENTIALS)  # by systemd, and only while the unit runs
        yield sources.problem(key, f"{path}: {error.strerror}", hint, warning=lent)
        return
    if key[1] in secrets.FILES and mode & (stat.S_IRWXG | stat.S_IRWXO):
        what = f"{path} can be read by others"
        yield sources.problem(key, what, f"chmod 600 {path}", warning=True)


def written_secrets(raw: dict[str, Any], folder: Path, sources: Sources) -> list[Problem]:
    """Take secrets out of a file that holds them itself, so that nothing repeats them; say where they belong."""
    found = []
    for (table, key), instead in list(secrets.written(raw, folder)):
        del raw[table][key]
        what = "a secret stands here, where everybody reads it"
        hint = f'put it into a file that only the gateway\'s user may read, and write {instead} = "/path/of/it"'
        found.append(sources.problem((table, key), what, hint))
    return found


def unprintable(raw: Any, sources: Sources, path: toml_lines.Path = ()) -> list[Problem]:
    """Find texts and keys with a NUL in them, which no file name and no message can carry; they are taken out."""
    found: list[Problem] = []
    inside: list[tuple[Any, Any]] = list(raw.items()) if isinstance(raw, dict) else list(enumerate(raw))
    for key, value in inside:
        if isinstance(value, dict | list):
            found += unprintable(value, sources, (*path, key))
        if "\0" in (f"{key}{value}" if isinstance(value, str) else f"{key}"):
            what = "a sign stands here that nobody can see (NUL)"
            found.append(sources.problem((*path, key), what, "write it again, by hand"))
            raw[key] = value.replace("\0", "") if isinstance(value, str) else value
    return found
