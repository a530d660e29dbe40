"""Publishing: CPU per message through the real publisher and broker, against one message per series."""

from __future__ import annotations

import asyncio
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from bench.sample import minute
from gateway.broker import HOST, EmbeddedBroker, free_port
from gateway.clock import Clock
from gateway.commit import Committer, Terms
from gateway.core import Core
from gateway.outbox import Outbox, SavedState
from gateway.pipeline.windows import NS
from gateway.publish import Publisher, Status
from gateway.publish import Terms as BrokerTerms

MESSAGES = 500


def measure() -> dict[str, float | str]:
    """Drain a backlog of minutes with confirm = "puback"; CPU of this process only."""
    with tempfile.TemporaryDirectory(prefix="lamppost-bench-") as folder:
        broker = EmbeddedBroker(Path(folder) / "broker", free_port(), Clock())
        broker.start()
        try:
            outbox = Outbox(Path(folder) / "gateway.db")
            outbox.db.execute("PRAGMA synchronous = OFF")
            committer = Committer(outbox, Terms("bench", "bench", (), 0.75, 35.0))
            windows = [replace(minute(), start_ns=i * 60 * NS) for i in range(MESSAGES)]
            committer.write(windows, SavedState("", 1, 0, b""), MESSAGES * 60 * NS, Core({}, 60, 2.0))
            size = len(outbox.payload(1) or b"")
            cpu_s, wall_s = asyncio.run(_drain(outbox, broker.port))
        finally:
            broker.stop()
    series = len(windows[0].series)
    return {
        "cpu_us_per_message": round(cpu_s / MESSAGES * 1e6, 1),
        "cpu_us_per_series": round(cpu_s / MESSAGES / series * 1e6, 2),
        "messages_per_s": round(MESSAGES / wall_s),
        "bytes_per_message": size,
        "series_per_message": series,
        "broker": broker.kind,
    }


async def _drain(outbox: Outbox, port: int) -> tuple[float, float]:
    terms = BrokerTerms("bench", HOST, port, None, None, 60, 10, "puback", 600.0, 3600.0, 5.0)
    publisher = Publisher(terms, outbox, Clock(), ThreadPoolExecutor(1), lambda on, why: Status(1, on, why, "", ""))
    # Somebody must listen, or the broker answers "no subscribers" and nothing counts as sent.
    listener = await _listen(port)
    cpu, wall = time.process_time(), time.perf_counter()
    task = asyncio.create_task(publisher.run())
    while outbox.queued:  # noqa: ASYNC110 - the publisher has no event for an empty outbox
        await asyncio.sleep(0.05)
    spent = time.process_time() - cpu, time.perf_counter() - wall
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    listener.kill()
    await listener.wait()
    return spent


async def _listen(port: int) -> asyncio.subprocess.Process:
    import sys

    code = (
        "import paho.mqtt.client as m\n"
        "c=m.Client(m.CallbackAPIVersion.VERSION2,protocol=m.MQTTv5)\n"
        "c.on_connect=lambda *a:c.subscribe('lamppost/1/+/windows',qos=0)\n"
        "c.on_subscribe=lambda *a:print('ready',flush=True)\n"
        f"c.connect('{HOST}',{port})\nc.loop_forever()\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    return process
