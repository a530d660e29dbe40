"""Real input: frames captured from real devices go through ptys and the bus into `gateway run`, and into the store."""

from __future__ import annotations

from pathlib import Path

import pytest
from compare import in_store
from rig import Rig

from gateway.demo import Settings
from gateway.store.base import StoreError

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

# sensor -> (channel, field, expected value, tolerance); the captures and where they come from are in captures.toml
EXPECTED = [
    ("pm-north", "pm2_5", "max", 14.0, 1e-9),
    ("pm-north", "pm10", "max", 14.8, 1e-9),
    ("air", "humidity", "mean", 46.36, 1e-9),
    ("air", "temperature", "mean", 24.28, 1e-9),
    ("air", "voc_index", "mean", 46.0, 1e-9),
    ("air", "nox_index", "mean", 1.0, 1e-9),
    ("noise", "laeq", "leq", 61.25, 1e-9),
    ("weather", "temperature", "mean", 25.082, 0.01),
    ("weather", "pressure", "mean", 100653.26, 0.2),
    ("weather", "humidity", "mean", 43.859, 0.02),
    ("radar", "speed", "max", 17.71, 1e-9),
    ("radar", "speed", "min", 10.90, 1e-9),
    ("radar", "magnitude", "max", 606.71, 1e-9),
]


def full_windows(store: Path) -> dict[tuple[str, str], dict[str, float]]:
    """Return the last full window of every series; nothing while there is no store."""
    try:
        points = in_store(store)
    except StoreError:
        return {}
    last: dict[tuple[str, str], tuple[int, dict[str, float]]] = {}
    for (_, tags, start_ns), fields in points.items():
        words = dict(tags)
        if words["period"] != "10s" or "channel" not in words:
            continue
        key = (words["sensor"], words["channel"])
        if fields.get("capture", 0.0) > 0.8 and start_ns >= last.get(key, (0, {}))[0]:
            last[key] = (start_ns, fields)
    return {key: fields for key, (_, fields) in last.items()}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, float]]:
    """The last full window of every series."""
    scenario = Path(__file__).with_name("captures.toml")
    rig = Rig(tmp_path_factory.mktemp("captures") / "demo", None, Settings(scenario=scenario))
    wanted = {(sensor, channel) for sensor, channel, *_ in EXPECTED}
    rig.start()
    try:
        rig.wait(lambda: full_windows(rig.store).keys() >= wanted, "a full window of each sensor")
    finally:
        rig.stop()
    return full_windows(rig.store)


@pytest.mark.parametrize(("sensor", "channel", "field", "value", "tolerance"), EXPECTED)
def test_captured_frames_arrive_as_their_values(
    sensor: str, channel: str, field: str, value: float, tolerance: float,
    stored: dict[tuple[str, str], dict[str, float]],
) -> None:  # fmt: skip
    assert stored[sensor, channel][field] == pytest.approx(value, abs=tolerance)


def test_saturated_particle_words_never_become_a_mean(stored: dict[tuple[str, str], dict[str, float]]) -> None:
    """FFFE was captured where a SEN55 was saturated: 6553.4 is flagged fail, with both reasons."""
    assert ("air", "pm2_5") not in stored


def test_every_detection_of_an_array_is_counted(stored: dict[tuple[str, str], dict[str, float]]) -> None:
    fields = stored["radar", "detections"]
    assert fields["sum"] == 3 * 10
    assert fields["observed_s"] == 10.0
