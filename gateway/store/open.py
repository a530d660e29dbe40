"""From configuration to a store; only the module of the store that is asked for is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gateway import secrets
from gateway.config_site import BridgeConfig, StoreConfig
from gateway.store.base import Store, StoreError, Verdict
from gateway.tls import credentials
from gateway.wire import Point

DENIED = (401, 403)


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

    tls, hints = credentials(store).context, _hints(store)
    if store.api == "v1":
        password = secrets.read(store.password_file) or ""
        return InfluxV1(store.url, store.database, user=store.user, password=password, tls=tls, hints=hints)
    token = secrets.read(store.token_file) or ""
    return InfluxV2(
        store.url, org=store.org, bucket=store.bucket, token=token, dialect=store.dialect, tls=tls, hints=hints
    )


def _hints(store: StoreConfig) -> dict[int, str]:
    """Say by HTTP status where to look: the file of the secret, the name of what is written to."""
    key, path = ("password_file", store.password_file) if store.api == "v1" else ("token_file", store.token_file)
    file = f"look at {key} {path}" if path else f"set {key} in [store]"
    user = f", user {store.user!r}" if store.api == "v1" and store.user else ""
    kind, name = ("database", store.database) if store.api == "v1" else ("bucket", store.bucket)
    return {
        401: f"{file}{user}",
        403: f"{file}{user}, and what it may write",
        404: f"make the {kind} {name!r}, or correct [store] {kind}",
    }


class Reopened:
    """A store that is opened anew after a 401 or 403, so that a secret that was put right is read without a restart."""

    def __init__(self, make: Callable[[], Store]) -> None:
        """Open it; raises as `make` does."""
        self._make = make
        self._store: Store | None = make()

    def write(self, points: Sequence[Point]) -> None:
        """Write durably, or raise StoreError."""
        try:
            self._opened().write(points)
        except StoreError as error:
            if error.status in DENIED:
                self.close()
            raise

    def read(self, start_ns: int, end_ns: int, gateway: str = "") -> Iterator[Point]:
        """Yield points, as every store does; raise StoreError."""
        return self._opened().read(start_ns, end_ns, gateway)

    def close(self) -> None:
        """Let go of files and sockets; the next call opens them again."""
        if self._store is not None:
            self._store.close()
        self._store = None

    def _opened(self) -> Store:
        if self._store is None:
            try:
                self._store = self._make()
            except (OSError, ValueError) as error:  # the file is gone, or holds no secret
                raise StoreError(Verdict.REJECT, str(error)) from None
        return self._store
