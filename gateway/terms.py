"""What of a configuration goes into messages."""

from __future__ import annotations

from gateway.commit import Terms
from gateway.config import Config
from gateway.pipeline.longer import Running, Validity, local
from gateway.pipeline.noise import DayParts
from gateway.plans import percentiles


def terms(config: Config) -> Terms:
    """Take out of a configuration what goes into messages."""
    windows, gateway, hours = config.windows, config.gateway, config.windows.hours
    parts = DayParts(hours.day, hours.evening, hours.night)
    return Terms(
        config.site.name,
        gateway.name,
        windows.long_s,
        windows.min_capture,
        gateway.history_days,
        running=tuple(Running(*one) for one in windows.running_s),
        local=tuple(local(name, config.site.timezone, parts) for name in windows.local),
        parts=parts,
        percentiles=percentiles(config),
        validity={
            name: Validity(one.min_capture, one.by == "hours", one.hour_min_capture)
            for name, one in windows.validity.items()
        },
        allowed_lateness_s=windows.allowed_lateness_s,
    )
