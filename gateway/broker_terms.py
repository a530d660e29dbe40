"""How a configuration says the broker is to be spoken with."""

from __future__ import annotations

from gateway.config import Config
from gateway.dispatch import Lanes
from gateway.publish import Terms
from gateway.tls import contexts

LIVE_PERIODS = 3  # base windows: what ended longer ago is backlog; live values last as long


def broker_terms(config: Config) -> Terms:
    """Say how the broker is spoken with; bundles are for our own bridge, which knows them."""
    mqtt = config.mqtt
    bundle = mqtt.backlog_bundle if mqtt.confirm == "receipt" else 1
    return Terms(
        config.gateway.name, mqtt.host, mqtt.port, mqtt.password_file, contexts(mqtt), mqtt.keepalive_s,
        mqtt.inflight, mqtt.confirm, mqtt.resend_s, mqtt.resend_max_s, config.gateway.back_off_max_s,
        Lanes(LIVE_PERIODS * config.windows.base_s, mqtt.backlog_messages_per_s, bundle),
    )  # fmt: skip
