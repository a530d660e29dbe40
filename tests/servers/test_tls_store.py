"""TLS to real stores: InfluxDB 1.x and VictoriaMetrics over https, refused and taken again as certificates change."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tls_files import HERE, LONG_AGO, YESTERDAY, Authority

from gateway.certificates import troubles
from gateway.clock import Clock
from gateway.config_site import BridgeConfig, StoreConfig
from gateway.store.base import Store, StoreError, Verdict
from gateway.store.influx import InfluxV1
from gateway.store.open import open_store
from gateway.tls import Credentials, shown
from gateway.wire import Point
from tests.servers.conftest import Server, accepts, binary, free_port, influxd_conf, started

pytestmark = pytest.mark.servers
T_NS = 1_767_225_600 * 10**9
TAGS = tuple(zip(("site", "gateway", "sensor", "channel", "period", "unit"),
                 ("street", "pole-1", "pm", "pm2_5", "60s", "ug/m3"), strict=True))  # fmt: skip
POINT = Point("air", TAGS, T_NS, {"mean": 12.5, "rev": 0.0})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    one = Authority(tmp_path_factory.mktemp("authority"))
    one.sign("store", "localhost", HERE)
    return one


def influx(folder: Path, crt: Path, key: Path) -> Server:
    port = free_port()
    https = ("https-enabled = true", f'https-certificate = "{crt}"', f'https-private-key = "{key}"')
    return Server(influxd_conf(folder, port, *https), port, folder, lambda: accepts(port))


@pytest.fixture(scope="module")
def https_influx(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    crt, key = authority.folder / "store.crt", authority.folder / "store.key"
    for server in started(lambda: influx(tmp_path_factory.mktemp("influx"), crt, key)):
        context = Credentials(authority.crt).context
        with closing(InfluxV1(f"https://localhost:{server.port}", "lamppost", tls=context)) as store:
            store.create_database()
        yield server


@pytest.fixture(scope="module")
def https_victoria(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    program = binary("victoria-metrics", "victoria-metrics")

    def make() -> Server:
        folder, port = tmp_path_factory.mktemp("victoria"), free_port()
        command = [program, "-retentionPeriod=100y", f"-storageDataPath={folder}/data", "-tls",
                   f"-tlsCertFile={authority.folder}/store.crt", f"-tlsKeyFile={authority.folder}/store.key",
                   f"-httpListenAddr=127.0.0.1:{port}", "-dedup.minScrapeInterval=1ms"]  # fmt: skip
        return Server(command, port, folder, lambda: accepts(port))

    yield from started(make)


def opened(folder: Path, **keys: object) -> Store:
    """Open a store as the bridge does, from its configuration."""
    return open_store(StoreConfig(kind="influxdb", **keys), BridgeConfig(data_dir=folder))  # type: ignore[arg-type]


def test_influx_takes_points_and_gives_them_back(https_influx: Server, authority: Authority, tmp_path: Path) -> None:
    url = f"https://localhost:{https_influx.port}"
    with closing(opened(tmp_path, api="v1", url=url, ca_file=authority.crt)) as store:
        store.write([POINT])
        assert list(store.read(T_NS, T_NS + 1)) == [POINT]


def test_victoria_metrics_too(https_victoria: Server, authority: Authority, tmp_path: Path) -> None:
    url = f"https://localhost:{https_victoria.port}"
    with closing(opened(tmp_path, url=url, dialect="victoriametrics", ca_file=authority.crt)) as store:
        store.write([POINT])
        assert list(store.read(T_NS, T_NS + 10**6)) == [POINT]


def refusal(write: Callable[[], None]) -> str:
    with pytest.raises(StoreError) as caught:
        write()
    assert caught.value.verdict is Verdict.REJECT, "kept, told and tried again slowly"
    return str(caught.value)


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_an_authority_that_is_not_ours_is_refused_until_its_file_is_right(
    https_influx: Server, https_victoria: Server, authority: Authority, tmp_path: Path, api: str
) -> None:
    other = Authority(tmp_path / "other")
    ca_file = tmp_path / "ca.crt"
    shutil.copy(other.crt, ca_file)
    url = f"https://localhost:{(https_influx if api == 'v1' else https_victoria).port}"
    dialect = "influxdb" if api == "v1" else "victoriametrics"
    with closing(opened(tmp_path, api=api, url=url, ca_file=ca_file, dialect=dialect)) as store:
        assert "not in ca_file: put that authority's into ca_file" in refusal(lambda: store.write([POINT]))
        ca_file.unlink()
        with pytest.raises(StoreError, match=r"ca\.crt"):
            store.write([POINT])
        shutil.copy(authority.crt, ca_file)
        store.write([POINT])


def test_another_name_is_refused(https_victoria: Server, authority: Authority, tmp_path: Path) -> None:
    crt, key = authority.sign("elsewhere", "elsewhere", "DNS:elsewhere.example")
    https_victoria.stop()
    command = [word.replace("store.crt", crt.name).replace("store.key", key.name) for word in https_victoria.command]
    port = free_port()
    folder = tmp_path / "victoria"
    folder.mkdir()
    command = [word.replace(str(https_victoria.port), str(port)) for word in command]
    command = [f"-storageDataPath={folder}" if word.startswith("-storageDataPath") else word for word in command]
    server = Server(command, port, folder, lambda: accepts(port))
    server.start()
    url = f"https://localhost:{port}"
    try:
        with closing(opened(tmp_path, url=url, dialect="victoriametrics", ca_file=authority.crt)) as store:
            assert "another name: write the name that the certificate has" in refusal(lambda: store.write([POINT]))
    finally:
        server.stop()


def test_a_certificate_that_is_renewed_brings_the_store_back_without_a_restart(
    authority: Authority, tmp_path: Path
) -> None:
    crt, key = authority.sign("renewed", "localhost", HERE, start=LONG_AGO, end=YESTERDAY)
    for server in started(lambda: influx(Path(tmp_path), crt, key)):
        url = f"https://localhost:{server.port}"
        with closing(opened(tmp_path, api="v1", url=url, ca_file=authority.crt)) as store:
            assert "its certificate has expired: renew it there" in refusal(lambda: store.write([POINT]))
            authority.sign("renewed", "localhost", HERE)
            server.stop()
            server.start()
            assert isinstance(store, InfluxV1)
            store.create_database()
            store.write([POINT])
            assert list(store.read(T_NS, T_NS + 1)) == [POINT]


def test_the_end_of_a_stores_certificate_is_seen(https_influx: Server, authority: Authority) -> None:
    der = shown("localhost", https_influx.port, Credentials(authority.crt).context())
    assert "expires in 89 days" in troubles({}, {"store": der}, Clock().utc_ns(), 91)["certificate of store"]
    assert troubles({}, {"store": der}, Clock().utc_ns(), 30) == {}


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_control_who_does_not_look_would_write_to_anybody(https_influx: Server) -> None:
    def blind() -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    with closing(InfluxV1(f"https://localhost:{https_influx.port}", "lamppost", tls=blind)) as store:
        store.write([POINT])
