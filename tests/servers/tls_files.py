"""Certificates for tests: an authority of our own, and what it signs, made with the openssl of the distribution."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
CONFIG = """\
[ca]
default_ca = one
[one]
database = {folder}/{name}.index
new_certs_dir = {folder}
certificate = {folder}/{name}.crt
private_key = {folder}/{name}.key
serial = {folder}/{name}.serial
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
"""


def openssl(*arguments: str) -> None:
    found = shutil.which("openssl")
    if found is None:
        text = "openssl is not installed"
        pytest.fail(text) if os.environ.get("PYTEST_REQUIRE_SERVERS") == "1" else pytest.skip(text)
    subprocess.run([found, *arguments], check=True, capture_output=True)


class Authority:
    """Signs certificates that are valid between any two times."""

    def __init__(self, folder: Path, name: str = "ca", days: int = 3650) -> None:
        self.folder, self.name = folder, name
        folder.mkdir(parents=True, exist_ok=True)
        self.crt, self.key = folder / f"{name}.crt", folder / f"{name}.key"
        out = ("-keyout", str(self.key), "-out", str(self.crt))
        openssl("req", "-x509", *KEY, "-days", str(days), "-subj", f"/CN={name}", *out)
        (folder / f"{name}.index").write_text("")
        (folder / f"{name}.serial").write_text("01")
        self._config = folder / f"{name}.cnf"
        self._config.write_text(CONFIG.format(folder=folder, name=name))

    def sign(
        self, name: str, subject: str, alternatives: str = "", start: str = "", end: str = ""
    ) -> tuple[Path, Path]:
        """Make NAME.crt and NAME.key for a subject; `start` and `end` as YYYYMMDDHHMMSSZ, else from now for 90 days."""
        crt, key, request = (self.folder / f"{name}.{suffix}" for suffix in ("crt", "key", "csr"))
        openssl("req", *KEY, "-subj", f"/CN={subject}", "-keyout", str(key), "-out", str(request))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternatives}\n" if alternatives else "basicConstraints=CA:FALSE\n")
        times = [*(("-startdate", start) if start else ()), *(("-enddate", end) if end else ("-days", "90"))]
        fresh = self.folder / f"{name}.fresh"
        arguments = ["ca", "-batch", "-notext", "-config", str(self._config), "-extfile", str(extensions), *times]
        openssl(*arguments, "-in", str(request), "-out", str(fresh))
        fresh.replace(crt)
        key.chmod(0o600)
        return crt, key


HERE = "DNS:localhost,IP:127.0.0.1"
LONG_AGO, YESTERDAY = "20200101000000Z", "20210101000000Z"
