"""The bridge as a service: its parts from the configuration, signals, watchdog and status file."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing, suppress
from functools import partial
from types import FrameType
from urllib.parse import urlsplit

from gateway import health
from gateway.bridge import Bridge, Terms
from gateway.certificates import on_line
from gateway.clock import Clock
from gateway.config import Config
from gateway.config_site import StoreConfig
from gateway.dead_letters import DeadLetters
from gateway.spool import Spool
from gateway.store.open import Reopened, open_store
from gateway.supervise import Alarms
from gateway.tls import contexts, credentials, shown

BEAT_S = 5.0
LOOK_NS = 86_400 * 10**9
LOOK_AGAIN_NS = 600 * 10**9
STUCK_NS = 120_000_000_000  # a batch that waits for the store still goes round at every retry


def serve(config: Config) -> None:
    """Run the bridge of a checked configuration until SIGTERM or SIGINT."""
    clock = Clock.from_env()
    data_dir = config.bridge.data_dir
    data_dir.mkdir(parents=True, exist_ok=True)
    spool = Spool(data_dir / "spool", round(config.bridge.spool_mb * 1e6))
    with closing(Reopened(partial(open_store, config.store, config.bridge))) as store:
        bridge = Bridge(terms(config), store, DeadLetters(data_dir / "dead-letters"), clock, spool)

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
    """Take the bridge's terms out of a configuration."""
    mqtt, bridge = config.mqtt, config.bridge
    return Terms(
        mqtt.host, mqtt.port, bridge.client_id, bridge.user, bridge.password_file, contexts(mqtt), mqtt.keepalive_s,
        bridge.batch_messages, bridge.batch_bytes, bridge.batch_s, bridge.retry_max_s,
        bridge.max_messages_per_s, bridge.burst, bridge.max_series, bridge.spool_after_s,
    )  # fmt: skip


def _beat(bridge: Bridge, config: Config, clock: Clock) -> None:
    """Feed the watchdog while the bridge goes round, and keep its status file fresh."""
    mqtt, ends = config.mqtt, Alarms()
    store = _StoreServer(config.store, clock)
    while not bridge.stop.wait(BEAT_S):
        broker = on_line(mqtt, f"broker {mqtt.host}:{mqtt.port}", bridge.peer, clock.utc_ns())
        ends.replace("certificate", broker | on_line(config.store, *store.shown(), clock.utc_ns()))
        if clock.mono_ns() - bridge.passed_ns < STUCK_NS:
            health.notify("WATCHDOG=1")
        now = {
            "v": 1, "t_ns": clock.utc_ns(), "pid": os.getpid(), "connected": bridge.connected,
            "alarms": bridge.alarms | ends.now,
            "counts": dict(bridge.counts), "store": config.store.kind, **bridge.standing,
        }  # fmt: skip
        health.write_status(config.bridge.data_dir, now)


class _StoreServer:
    """A store that is reached by https: its certificate, looked at once a day, and soon again when that failed."""

    def __init__(self, store: StoreConfig, clock: Clock) -> None:
        parts = urlsplit(store.url)
        self._is_one = store.kind == "influxdb" and parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._credentials = credentials(store)
        self._clock = clock
        self._due_ns = 0
        self._last = b""

    def shown(self) -> tuple[str, bytes]:
        """Return the server's name and the certificate that it has shown last; empty where it has shown none."""
        now_ns = self._clock.mono_ns()
        if self._is_one and now_ns >= self._due_ns:
            self._due_ns = now_ns + LOOK_AGAIN_NS
            with suppress(OSError):  # the bridge says so itself, when it writes
                self._last = shown(self._host, self._port, self._credentials.context())
                self._due_ns = now_ns + LOOK_NS
        return f"store {self._host}:{self._port}", self._last
