"""TLS towards the broker and the store: contexts read anew for each connection, and what went wrong in plain words.

A certificate that is renewed in its file is taken at the next connection; nothing has to be started again.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from gateway.config_site import MqttConfig, StoreConfig

Contexts = Callable[[], ssl.SSLContext]
PROBE_S = 10.0
# OpenSSL's numbers of what is wrong with the certificate of a server (x509_vfy.h): what it is, and what to do.
REFUSED = MappingProxyType(
    {
        9: ("its certificate is not valid yet", "check the clock of this machine, then the certificate"),
        10: ("its certificate has expired", "renew it there; the connection comes back by itself"),
        18: ("its certificate is signed by nobody but itself", "name it, or the authority that signs, in ca_file"),
        19: ("its certificate comes from an authority that is not in ca_file", "put that authority's into ca_file"),
        20: ("its certificate comes from an authority that is not in ca_file", "put that authority's into ca_file"),
        21: ("its certificate comes from an authority that is not in ca_file", "put that authority's into ca_file"),
        23: ("its certificate was revoked", "make a new one there"),
        62: ("its certificate is for another name", "write the name that the certificate has, or make one for this"),
        64: ("its certificate is for another address", "write the name that the certificate has, or make one for this"),
    }
)
# Words of OpenSSL's reasons: what it is, and what to do; the first that fits.
REASONS = (
    ("ALERT_CERTIFICATE_EXPIRED", "it says that our certificate has expired", "renew cert_file"),
    ("ALERT_UNKNOWN_CA", "it does not know who signed our certificate", "have cert_file signed by its authority"),
    ("ALERT_BAD_CERTIFICATE", "it refuses our certificate", "make a new cert_file with its authority"),
    ("ALERT_CERTIFICATE_REQUIRED", "it asks for a certificate", "set cert_file and key_file"),
    ("ALERT_HANDSHAKE_FAILURE", "it refuses our hand", "set cert_file and key_file, if it asks for a certificate"),
    ("KEY_VALUES_MISMATCH", "key_file is not the key of cert_file", "put the two files there that were made together"),
    ("WRONG_VERSION_NUMBER", "what answers there does not speak TLS", "check the port, or set tls = false"),
    ("PROTOCOL_VERSION", "it does not speak TLS 1.2 or later", "update it"),
    ("UNSUPPORTED_PROTOCOL", "it does not speak TLS 1.2 or later", "update it"),
    ("NO_CERTIFICATE_OR_CRL_FOUND", "ca_file holds no certificate", "put the authority's certificate there, as PEM"),
    ("PEM", "a file holds no certificate or key as PEM", "check ca_file, cert_file and key_file"),
)  # fmt: skip


class Credentials(NamedTuple):
    """Whom we believe (None: whom this machine believes), and what proves who we are."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Read the files and make a context, TLS 1.2 or later; raises OSError that names the file."""
        context = ssl.create_default_context(cafile=_there(self.ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.cert_file is not None and self.key_file is not None:
            context.load_cert_chain(_there(self.cert_file) or "", _there(self.key_file), _no_password)
        return context


def credentials(of: MqttConfig | StoreConfig) -> Credentials:
    """Take the files out of a configuration."""
    return Credentials(of.ca_file, of.cert_file, of.key_file)


def contexts(mqtt: MqttConfig) -> Contexts | None:
    """Return what makes a fresh context for each connection to the broker; None where the line is not encrypted."""
    return credentials(mqtt).context if mqtt.tls else None


def explain(error: BaseException) -> str:
    """Say what went wrong with a connection and, where TLS was the matter, what to do."""
    found = ssl_error(error)
    if found is None:
        return str(error)
    if isinstance(found, ssl.SSLCertVerificationError) and found.verify_code in REFUSED:
        what, hint = REFUSED[found.verify_code]
        return f"{what}: {hint}"
    return _in_words(f"{found.reason or ''} {found}")


def _in_words(text: str) -> str:
    told = text.upper()
    what, hint = next(
        ((what, hint) for word, what, hint in REASONS if word in told), (text, "see the log of the other")
    )
    return f"{what}: {hint}"


def ssl_error(error: object, depth: int = 8) -> ssl.SSLError | None:
    """Find the error of TLS that another error was made of; libraries put it into various places."""
    if isinstance(error, ssl.SSLError) or depth == 0:
        return error if isinstance(error, ssl.SSLError) else None
    if not isinstance(error, BaseException):
        return None
    inside = (error.__cause__, error.__context__, getattr(error, "reason", None), *error.args)
    return next((found for one in inside if (found := ssl_error(one, depth - 1)) is not None), None)


class Overheard:
    """Listens to the log of paho, where alone it says what TLS refused once the hands were shaken (TLS 1.3)."""

    def __init__(self) -> None:
        self._text = ""

    def __call__(self, client: object, userdata: object, level: object, text: str) -> None:
        """Keep the last word about TLS."""
        del client, userdata, level
        if "[SSL:" in text:
            self._text = text

    def take(self) -> str:
        """Return what was said, and what to do; once."""
        text, self._text = self._text, ""
        return _in_words(text) if text else ""


def shown(host: str, port: int, context: ssl.SSLContext) -> bytes:
    """Connect, and return the certificate that a server shows, as DER; raises OSError."""
    with (
        socket.create_connection((host, port), PROBE_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as line,
    ):
        return line.getpeercert(binary_form=True) or b""


def shown_on(line: object) -> bytes:
    """Return the certificate that the server of a connection has shown, as DER; empty where it is not encrypted."""
    return (line.getpeercert(binary_form=True) or b"") if isinstance(line, ssl.SSLSocket) else b""


def _there(path: Path | None) -> str | None:
    """Read a file once, because what OpenSSL raises does not name it."""
    if path is not None:
        path.read_bytes()
    return None if path is None else str(path)


def _no_password() -> str:
    """Never ask a person at a terminal: there is none."""
    return ""
