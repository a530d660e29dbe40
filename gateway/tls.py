"""TLS towards the broker."""

from __future__ import annotations

import ssl

from gateway.config import MqttConfig


def tls_context(mqtt: MqttConfig) -> ssl.SSLContext | None:
    """Make the TLS context of the line to the broker, or None; raises OSError for a file that is not right."""
    if not mqtt.tls:
        return None
    context = ssl.create_default_context(cafile=str(mqtt.ca_file) if mqtt.ca_file else None)
    if mqtt.cert_file and mqtt.key_file:
        context.load_cert_chain(mqtt.cert_file, mqtt.key_file)
    return context
