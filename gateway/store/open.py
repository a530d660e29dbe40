"""From configuration to a store; only the module of the store that is asked for is imported."""

from __future__ import annotations

from pathlib import Path

from gateway import secrets
from gateway.config_site import BridgeConfig, StoreConfig
from gateway.store.base import Store
from gateway.tls import credentials


def store_path(store: StoreConfig, bridge: BridgeConfig) -> Path:
    """Return the file of the embedded store."""
    return store.path or bridge.data_dir / "store.db"


def open_store(store: StoreConfig, bridge: BridgeConfig, *, read_only: bool = False) -> Store:
    """Open the configured store; raises OSError for a secret that cannot be read, StoreError for a bad file.

    With `read_only` no file is made, moved or changed.
    """
    if store.kind == "sqlite":
        from gateway.store.sqlite import SqliteStore

        path = store_path(store, bridge)
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        return SqliteStore(path, read_only=read_only)
    from gateway.store.influx import InfluxV1, InfluxV2

    tls = credentials(store).context
    if store.api == "v1":
        password = secrets.read(store.password_file) or ""
        return InfluxV1(store.url, store.database, user=store.user, password=password, tls=tls)
    token = secrets.read(store.token_file) or ""
    return InfluxV2(store.url, org=store.org, bucket=store.bucket, token=token, dialect=store.dialect, tls=tls)
