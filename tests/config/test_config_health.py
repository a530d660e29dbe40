"""What is assumed of the card has an origin, or is not assumed."""

from __future__ import annotations

from pathlib import Path

from gateway.config_file import examine

SITE = '[site]\nname = "street"\n[gateway]\nname = "post-7"\n'


def test_an_endurance_needs_its_origin(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(SITE + "[health]\ncard_endurance_tb = 40.0\n")
    _, (problem,) = examine(site)
    assert (problem.line, problem.key, problem.warning) == (6, "health.card_endurance_tb", False)
    site.write_text(SITE + '[health]\ncard_endurance_tb = 40.0\norigin = "datasheet: 40 TBW"\n')
    config, problems = examine(site)
    assert not problems
    assert config is not None
    assert config.health.card_endurance_tb == 40.0


def test_without_it_nothing_is_assumed(tmp_path: Path) -> None:
    site = tmp_path / "site.toml"
    site.write_text(SITE)
    config, _ = examine(site)
    assert config is not None
    assert config.health.card_endurance_tb is None
