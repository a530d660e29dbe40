"""A configuration that waits for the border between two windows: one window, one configuration."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.acquire import NS, Timeline
from gateway.config import Config


@dataclass(slots=True)
class Reload:
    """What takes effect at `border_ns`, UTC, as long as the offset is still that under which this was planned."""

    config: Config
    border_ns: int
    offset_ns: int

    @classmethod
    def planned(cls, config: Config, timeline: Timeline) -> Reload:
        """Plan it for the next border."""
        return cls(config, timeline.next_ns(config.windows.base_s * NS), timeline.offset_ns)

    def mono_ns(self, timeline: Timeline) -> int:
        """Return the border as monotonic time; when the clock was set meanwhile, it is the next one on the new line."""
        if self.offset_ns != timeline.offset_ns:
            again = Reload.planned(self.config, timeline)
            self.border_ns, self.offset_ns = again.border_ns, again.offset_ns
        return self.border_ns - self.offset_ns
