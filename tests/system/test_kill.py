"""Whatever is killed, and whenever: every window the gateway has committed is in the store, once and unchanged."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from compare import in_history, in_store, need_mosquitto

from gateway.demo import Demo, Settings

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


@pytest.mark.parametrize(("broker", "seed"), [("iotcore", 7), pytest.param("mosquitto", 11, marks=pytest.mark.servers)])
def test_no_committed_window_is_lost_or_changed(broker: str, seed: int, tmp_path: Path) -> None:
    """kill -9 of gateway, bridge and broker in turn, at random moments."""
    if broker == "mosquitto":
        need_mosquitto()
    dice = random.Random(seed)
    demo = Demo(tmp_path / "demo", broker, Settings(base_s=5, long_s=(20,)))
    demo.start()
    try:
        for victim in ("gateway", "bridge", "broker", "gateway"):
            time.sleep(dice.uniform(3.0, 7.0))
            _kill(demo, victim)
            time.sleep(dice.uniform(0.1, 2.0))
            _restart(demo, victim)
        time.sleep(8.0)  # two more windows after the last death
    finally:
        demo.stop()
    committed, stored = in_history(demo.site), in_store(demo.store)
    assert len(committed) > 100
    assert stored == committed


def test_puback_alone_loses_windows(tmp_path: Path) -> None:
    """Negative control: with `confirm = "puback"` a broker that dies takes windows with it, and the test sees it."""
    settings = Settings(base_s=5, long_s=(20,), mqtt='confirm = "puback"')
    demo = Demo(tmp_path / "demo", "iotcore", settings)
    demo.start()
    try:
        time.sleep(7.0)
        _kill(demo, "bridge")  # the bridge has subscribed: the broker queues for it, and acknowledges
        time.sleep(8.0)
        _kill(demo, "broker")
        time.sleep(0.5)
        _restart(demo, "broker")
        _restart(demo, "bridge")
        time.sleep(7.0)
    finally:
        demo.stop()
    committed, stored = in_history(demo.site), in_store(demo.store)
    assert committed.keys() - stored.keys()


def _kill(demo: Demo, victim: str) -> None:
    if victim == "broker":
        demo.broker.kill()
    else:
        demo.kill(victim)


def _restart(demo: Demo, victim: str) -> None:
    {"broker": demo.broker.start, "gateway": demo.start_gateway, "bridge": demo.start_bridge}[victim]()
