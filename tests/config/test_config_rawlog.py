"""What `gateway check` says of the raw log: does it hold what waits for the first good clock."""

from __future__ import annotations

from gateway.config import Config
from gateway.config_errors import Sources
from gateway.config_sensors import SensorConfig
from gateway.config_site import GatewayConfig, KeepConfig, RawLogConfig, SiteConfig
from gateway.rules_rawlog import held


def waiting(hold_s: float, raw: RawLogConfig, **sensor: float) -> list[str]:
    one = SensorConfig("air", "sen55", bus="/dev/i2c-1", **sensor)  # 30 bytes a second, 0.2 MB in two hours
    whole = Config(SiteConfig("s"), GatewayConfig("g", unsynced_hold_s=hold_s), raw, sensor=(one,))
    problems = list(held(whole, Sources((("site.toml", {}),))))
    assert all(problem.warning for problem in problems)
    return [f"{problem.key}: {problem.what}; {problem.hint}" for problem in problems]


def test_a_ring_that_cannot_hold_what_waits_for_the_clock_is_told() -> None:
    assert waiting(7200.0, RawLogConfig()) == []
    assert waiting(0.0, RawLogConfig(keep_mb=1.0)) == []
    (told,) = waiting(86_400.0, RawLogConfig(keep_mb=1.0))
    assert told.startswith("rawlog.keep_mb: 1 MB last for 9.3 h, and readings may wait 24 h for the clock; ")
    assert told.endswith("use keep_mb = 4 or more, or lower [gateway] unsynced_hold_s")
    assert waiting(86_400.0, RawLogConfig(keep_mb=4.0)) == []
    assert waiting(86_400.0, RawLogConfig(keep_mb=1.0), every_s=10.0) == []


def test_what_the_long_record_leaves_out_waits_in_the_small_ring() -> None:
    none = (KeepConfig("air", "none"),)
    assert waiting(86_400.0, RawLogConfig(keep_mb=1.0, keep=none)) == []
    (told,) = waiting(86_400.0, RawLogConfig(recent_mb=2.0, keep=none))
    assert told.startswith("rawlog.recent_mb: 2 MB last for 18.5 h")
