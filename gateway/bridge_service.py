"""The bridge as a service: its parts from the configuration, signals, watchdog and status file."""

from __future__ import annotations

import signal
import threading
from contextlib import closing
from types import FrameType

from gateway import health
from gateway.bridge import Bridge, Terms, password_of
from gateway.clock import Clock
from gateway.config import Config
from gateway.dead_letters import DeadLetters
from gateway.store.open import open_store
from gateway.tls import tls_context

BEAT_S = 5.0
STUCK_NS = 120_000_000_000  # a batch that waits for the store still goes round at every retry


def serve(config: Config) -> None:
    """Run the bridge of a checked configuration until SIGTERM or SIGINT."""
    clock = Clock.from_env()
    data_dir = config.bridge.data_dir
    data_dir.mkdir(parents=True, exist_ok=True)
    with closing(open_store(config.store, config.bridge)) as store:
        bridge = Bridge(terms(config), store, DeadLetters(data_dir / "dead-letters"), clock)

        def stop(number: int, frame: FrameType | None) -> None:
            del number, frame
            bridge.stop.set()

        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, stop)
        beats = threading.Thread(target=_beat, args=(bridge, config, clock), daemon=True)
        health.notify("READY=1", "STATUS=bridge is running")
        beats.start()
        bridge.run()
        health.notify("STOPPING=1")


def terms(config: Config) -> Terms:
    """Take the bridge's terms out of a configuration; raises OSError for a file that cannot be read."""
    mqtt, bridge = config.mqtt, config.bridge
    password = password_of(bridge.password_file)
    return Terms(
        mqtt.host, mqtt.port, bridge.client_id, bridge.user, password, tls_context(mqtt), mqtt.keepalive_s,
        bridge.batch_messages, bridge.batch_bytes, bridge.batch_s, bridge.retry_max_s,
    )  # fmt: skip


def _beat(bridge: Bridge, config: Config, clock: Clock) -> None:
    """Feed the watchdog while the bridge goes round, and keep its status file fresh."""
    while not bridge.stop.wait(BEAT_S):
        if clock.mono_ns() - bridge.passed_ns < STUCK_NS:
            health.notify("WATCHDOG=1")
        now = {
            "v": 1, "t_ns": clock.utc_ns(), "connected": bridge.connected, "alarms": dict(bridge.alarms),
            "counts": dict(bridge.counts), "store": config.store.kind,
        }  # fmt: skip
        health.write_status(config.bridge.data_dir, now)
