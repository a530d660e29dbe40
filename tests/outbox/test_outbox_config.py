"""What a site may say of its outbox, and what it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app import App
from gateway.broker_terms import broker_terms
from gateway.clock import Clock
from gateway.config import Config
from gateway.config_file import examine, load

BASE = Path(__file__).parents[2] / "configs" / "base.toml"
SITE = f'extends = "{BASE}"\n[site]\nname = "street"\n[gateway]\nname = "post-7"\ndata_dir = "."\n[mqtt]\ntls = false\n'


def said(folder: Path, more: str = "") -> tuple[Config | None, list[tuple[str, bool, str]]]:
    site = folder / "site.toml"
    site.write_text(SITE + more)
    config, problems = examine(site)
    of = [one for one in problems if one.key.startswith("outbox")]
    return config, [(one.key, one.warning, f"{one.what}; {one.hint}") for one in of]


def test_the_defaults_are_those_of_base(tmp_path: Path) -> None:
    config, problems = said(tmp_path)
    assert config is not None
    assert not problems
    of = config.outbox
    assert (of.max_mb, of.max_records, of.max_age_days) == (1000.0, 100_000, 365.0)
    assert (of.free_floor_mb, of.ballast_mb) == (64.0, 8.0)
    assert (config.mqtt.backlog_messages_per_s, config.mqtt.backlog_bundle) == (5.0, 10)
    assert type(of)() == of


@pytest.mark.parametrize(
    ("more", "key", "warning", "word"),
    [
        ("[outbox]\nmax_records = 1000\n", "outbox.max_records", True, "use 1440 or more"),
        ("[outbox]\nmax_mb = 900000000\n", "outbox.max_mb", True, "the disk has"),
        ("[outbox]\nballast_mb = 40.0\n", "outbox.free_floor_mb", True, "free_floor_mb = 80"),
        ("[outbox]\nmax_mb = -1\n", "outbox.max_mb", False, "0"),
        ("[outbox]\nmax_mbs = 5\n", "outbox.max_mbs", False, "did you mean `max_mb`?"),
    ],
)
def test_what_is_told(tmp_path: Path, more: str, key: str, warning: bool, word: str) -> None:
    _, problems = said(tmp_path, more)
    assert [(one[0], one[1]) for one in problems] == [(key, warning)]
    assert word in problems[0][2]


def test_no_limit_is_no_trouble(tmp_path: Path) -> None:
    _, problems = said(tmp_path, "[outbox]\nmax_mb = 0\nmax_records = 0\nmax_age_days = 0\nballast_mb = 0\n")
    assert not problems


def test_bundles_are_for_our_own_bridge(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(SITE)
    lanes = broker_terms(load(site)).lanes
    assert (lanes.live_s, lanes.backlog_per_s, lanes.bundle) == (180.0, 5.0, 10)
    site.write_text(SITE + 'confirm = "puback"\n')
    assert broker_terms(load(site)).lanes.bundle == 1


def test_storage_is_not_changed_while_it_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = tmp_path / "site.toml"
    site.write_text(SITE)
    app = App(site, load(site), Clock())
    site.write_text(SITE + "[outbox]\nmax_records = 5000\n")
    app._plan_reload(load(site))
    assert "not reloadable: outbox" in caplog.text
    assert app._reload is None
    app._journal.disk.shutdown()
