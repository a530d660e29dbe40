"""Read two sensors without the gateway: a BME280 on an I2C bus and an SDS011 on a serial port, five times each.

    python docs/examples/without_the_gateway.py /dev/i2c-1 /dev/serial/by-id/usb-1a86_USB_Serial-if00-port0

Only `drivers` is needed, with numpy, smbus2 and pyserial. `read` is the whole loop, for any driver.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

from drivers import DRIVERS
from drivers.base import Command, Driver, Poll
from drivers.link.i2c import KernelBus
from drivers.link.i2c_socket import SocketBus
from drivers.link.serial import SerialPort
from drivers.script import Reply, Step, run


def read(driver: Driver, transfer: Callable[[Step], Reply]) -> Iterator[dict[str, float]]:
    """Set a part up, then yield its readings for ever: channel -> value in the unit of the channel, NaN if unknown."""
    access, options, inputs = driver.access, driver.defaults(), driver.default_inputs()
    script = access.script if isinstance(access, Poll) else (Command("next", rx=access.framer, timeout_s=5.0),)
    setup = run(transfer, driver.setup, inputs, options)
    while True:
        answer = run(transfer, script, inputs, options)
        if answer.miss is not None:
            print(f"{driver.name}: {answer.command}: {answer.miss}", file=sys.stderr)
        decoded = driver.decode([answer.frame], setup.frame, options)  # what is missing, broken or no data has no rows
        for values in decoded.values.tolist():
            yield {channel.name: value for channel, value in zip(driver.channels, values, strict=True)}
        time.sleep(access.every_s if isinstance(access, Poll) else 0.0)


def main(bus_path: str, port_path: str) -> None:
    """Print the readings of both; the bus may also be one of firmware-sim (unix:PATH)."""
    is_socket = bus_path.startswith("unix:")
    bus = SocketBus(bus_path[5:], time.sleep) if is_socket else KernelBus(bus_path, time.sleep)
    for reading in islice(read(DRIVERS["bme280"], partial(bus.transfer, 0x76)), 5):
        print(reading)
    port = SerialPort(port_path, 9600, "8N1", time.sleep)
    for reading in islice(read(DRIVERS["sds011"], partial(port.transfer, 0)), 5):
        print(reading)


if __name__ == "__main__":
    main(*sys.argv[1:3])
