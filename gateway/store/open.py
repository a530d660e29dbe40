"""From configuration to a store; only the module of the store that is asked for is imported."""

from __future__ import annotations

from pathlib import Path

from gateway.config import BridgeConfig, StoreConfig
from gateway.store.base import Store


def store_path(store: StoreConfig, bridge: BridgeConfig) -> Path:
    """Return the file of the embedded store."""
    return store.path or bridge.data_dir / "store.db"


def open_store(store: StoreConfig, bridge: BridgeConfig) -> Store:
    """Open the configured store; raises OSError for a secret that cannot be read, StoreError for a bad file."""
    if store.kind == "sqlite":
        from gateway.store.sqlite import SqliteStore

        path = store_path(store, bridge)
        path.parent.mkdir(parents=True, exist_ok=True)
        return SqliteStore(path)
    from gateway.store.influx import InfluxV1, InfluxV2

    if store.api == "v1":
        return InfluxV1(store.url, store.database, user=store.user, password=_secret(store.password_file))
    token = _secret(store.token_file)
    return InfluxV2(store.url, org=store.org, bucket=store.bucket, token=token, dialect=store.dialect)


def _secret(path: Path | None) -> str:
    return path.read_text().strip() if path else ""
