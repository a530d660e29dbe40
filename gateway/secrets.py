"""Secrets: they are read from files, each time they are needed, and their content is in no message.

A file is one line: a password or a token. systemd puts it under /run/credentials, where no other user may look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

LONGEST = 4096  # bytes; a token of a store has some hundred
FILES = ("password_file", "token_file", "key_file")  # what stands in these keys are names of secret files
ALSO = MappingProxyType(
    {"password": "password_file", "passwd": "password_file", "passphrase": "password_file", "pwd": "password_file",
     "token": "token_file", "api_key": "token_file", "apikey": "token_file", "secret": "password_file",
     "key": "key_file", "private_key": "key_file", "credentials": "password_file", "psk": "password_file"}
)  # fmt: skip
TABLES = ("mqtt", "bridge", "store")


class SecretError(OSError):
    """A file that holds no secret as it should be; the text never says what it holds."""


def read(path: Path | None) -> str | None:
    """Read a secret; None where no file is named. Raises OSError."""
    if path is None:
        return None
    with path.open("rb") as file:
        raw = file.read(LONGEST + 1)
    text = raw.decode("utf-8", "replace").strip()
    if len(raw) > LONGEST or not text or not text.isprintable() or "\N{REPLACEMENT CHARACTER}" in text:
        raise SecretError(f"{path}: this is no secret: it must be one line of text, not empty")
    return text


def written(raw: Mapping[str, Any], folder: Path) -> Iterator[tuple[tuple[str, str], str]]:
    """Find keys of a site file in `folder` that hold a secret itself; yield each with the key that names its file.

    Among them is a `url` with a user and a password in it, and a `password_file` that is a bare word but no file.
    """
    for table in TABLES:
        held = raw.get(table)
        for key, value in held.items() if isinstance(held, dict) else ():
            plain = key.lower().replace("-", "_")
            if plain in ALSO or any(plain.endswith(f"_{word}") for word in ALSO):
                yield (table, key), ALSO.get(plain, "password_file")
            elif key in FILES and isinstance(value, str) and not ("/" in value or "." in value):
                if not (folder / value.replace("\0", "")).exists():
                    yield (table, key), key
            elif plain == "url" and isinstance(value, str) and "@" in value.partition("//")[2].partition("/")[0]:
                yield (table, key), "password_file"
