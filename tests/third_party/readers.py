"""Other people's drivers, unmodified, each asked for a few measurements; runs in the environment of those drivers.

    python readers.py READER ENDPOINT COUNT

ENDPOINT is a serial port, or for parts on a bus the socket of the bus or N of /dev/i2c-N. Prints one JSON object per
measurement, with the channels and units of the simulator's truth file.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from socket_bus import BusioI2c, SMBus, SocketBus, Transceiver

os.environ.setdefault("BLINKA_OS_AGNOSTIC", "1")  # Blinka is to import without a board
Values = dict[str, float]
Reader = Callable[[str], Iterator[Values]]


# -- serial ports ------------------------------------------------------------------------------------------------


def _pypms(sensor: str, names: dict[str, str]) -> Reader:
    def read(port: str) -> Iterator[Values]:
        from pms.core import SensorReader

        reader = SensorReader(sensor, port, interval=1, timeout=3)
        reader.pre_heat = 0  # the simulated part is told that it is warm
        with reader:
            for seen in reader():
                yield {channel: getattr(seen, name) for channel, name in names.items()}

    return read


PMS = {
    "pm1_0": "pm01",
    "pm2_5": "pm25",
    "pm10": "pm10",
    "pm1_0_cf1": "raw01",
    "pm2_5_cf1": "raw25",
    "pm10_cf1": "raw10",
}
COUNTS = {"n0_3": "n0_3", "n0_5": "n0_5", "n1_0": "n1_0", "n2_5": "n2_5"}
SPS = {"pm1_0": "pm01", "pm2_5": "pm25", "pm4_0": "pm04", "pm10": "pm10"}
pypms_pms5003 = _pypms("PMSx003", PMS | COUNTS | {"n5_0": "n5_0", "n10": "n10_0"})
pypms_pms3003 = _pypms("PMS3003", PMS)
pypms_pms5003t = _pypms("PMS5003T", PMS | COUNTS | {"temperature": "temp", "humidity": "rhum"})
pypms_sds011 = _pypms("SDS01x", {"pm2_5": "pm25", "pm10": "pm10"})
pypms_hpma115s0 = _pypms("HPMA115S0", {"pm2_5": "pm25", "pm10": "pm10"})
pypms_hpma115c0 = _pypms("HPMA115C0", SPS)
pypms_sps30 = _pypms("SPS30", SPS | {"typical_size": "diam"})
pypms_mhz19 = _pypms("MHZ19B", {"co2": "CO2"})


def sds011lib(port: str) -> Iterator[Values]:
    from sds011lib import SDS011QueryReader

    reader = SDS011QueryReader(port)
    while True:
        seen = reader.query()
        yield {"pm2_5": seen.pm25, "pm10": seen.pm10}


def py_sds011(port: str) -> Iterator[Values]:
    from sds011 import SDS011

    reader = SDS011(port)
    while True:
        seen = reader.query()
        if seen is not None:
            yield {"pm2_5": seen[0], "pm10": seen[1]}
        time.sleep(0.5)


def honeywell_hpma115s0(port: str) -> Iterator[Values]:
    from honeywell_hpma115s0 import Honeywell

    reader = Honeywell(port, read_timeout=3)
    while True:
        seen = reader.read()
        yield {"pm2_5": seen.pm25, "pm10": seen.pm10}


def sensirion_sps030(port: str) -> Iterator[Values]:
    from sensirion_sps030 import Sensirion

    reader = Sensirion(port, auto_start=False)
    time.sleep(0.2)  # it resets the part; by itself it would start 20 ms later, and the datasheet allows 100 ms
    reader.start_measurement()
    while True:
        time.sleep(1.1)
        seen = reader.read_measurement()
        yield {"pm1_0": seen.pm1, "pm2_5": seen.pm25, "pm4_0": seen.pm4, "pm10": seen.pm10, "n0_5": seen.n05}


def nsrt_mk3_dev(port: str) -> Iterator[Values]:
    from nsrt_mk3_dev import NsrtMk3Dev

    meter = NsrtMk3Dev(port)
    assert meter.read_weighting() == meter.Weighting.DB_A
    while True:
        time.sleep(0.5)
        yield {"laeq": meter.read_leq()}
        yield {"level": meter.read_level()}
        yield {"temperature": meter.read_temperature()}


def dt8852(port: str) -> Iterator[Values]:
    import serial
    from dt8852 import Dt8852

    meter = Dt8852(serial.Serial(port, 9600, timeout=2))
    for what, value, _new in meter.decode_next_token(changes_only=False):
        if what == "current_spl":
            yield {"level": value}


def kld7(port: str) -> Iterator[Values]:
    from kld7 import KLD7, FrameCode

    with KLD7(port) as radar:
        radar.timeout = 3  # for a machine that is busy
        radar.params.RSPI, radar.params.RRAI = 3, 2  # up to 100 km/h and 30 m; from the factory 25 km/h and 10 m
        for _code, target in radar.stream_frames(FrameCode.TDAT, min_frame_interval=0.05):
            if target:
                near_m_s = -target.speed / 3.6
                yield {"distance": target.distance, "speed": near_m_s, "angle": target.angle}


def omnipresense(port: str) -> Iterator[Values]:
    from omnipresense import RadarConnectionError, Units, create_radar

    heard: list[float] = []
    while True:
        try:
            radar = create_radar("OPS243-A", port, auto_detect_baudrate=False)
            radar.open()
            break
        except RadarConnectionError:  # its test of the line needs a vehicle within 0.2 s
            continue
    radar.set_units(Units.METERS_PER_SECOND)
    radar.enable_json_output()
    radar.start_streaming(lambda reading: heard.append(reading.speed))
    while True:
        time.sleep(0.05)
        while heard:
            speed = heard.pop(0)
            if speed:  # it takes an answer of the part to a command for a vehicle of speed 0
                yield {"abs speed": speed}


def pymodbus(port: str) -> Iterator[Values]:
    from pymodbus.client import ModbusSerialClient

    with ModbusSerialClient(port, baudrate=4800, timeout=1) as client:
        while True:
            yield {"level": client.read_holding_registers(0, count=1, device_id=1).registers[0] / 10}
            time.sleep(0.5)


def minimalmodbus(port: str) -> Iterator[Values]:
    from minimalmodbus import Instrument

    meter = Instrument(port, 1)
    meter.serial.baudrate = 4800
    meter.serial.timeout = 1
    while True:
        yield {"level": meter.read_register(0, 1)}
        time.sleep(0.5)


def adafruit_pm25_uart(port: str) -> Iterator[Values]:
    import serial
    from adafruit_pm25.uart import PM25_UART

    yield from _adafruit_pm25(PM25_UART(serial.Serial(port, 9600, timeout=3), None))


def adafruit_tfmini(port: str) -> Iterator[Values]:
    import serial
    from adafruit_tfmini import TFmini

    lidar = TFmini(serial.Serial(port, timeout=1))
    while True:
        yield {"distance": lidar.distance / 100}
        time.sleep(0.2)


def pymhz19_async(port: str) -> Iterator[Values]:
    import serial_asyncio
    from mhz19_async import MHZ19Protocol

    class Listener(MHZ19Protocol):  # type: ignore[misc]
        def event_received(self, event: dict[str, Any]) -> None:
            self.heard.set_result({"co2": event["CO2"]})

    async def ask() -> Values:
        loop = asyncio.get_running_loop()
        Listener.heard = heard = loop.create_future()
        options = {"exclusive": True, **MHZ19Protocol.SERIAL_OPTIONS}
        transport, protocol = await serial_asyncio.create_serial_connection(
            loop, lambda: Listener(loop), port, **options
        )
        await protocol.connected.wait()
        protocol.send_command(MHZ19Protocol.Codes.GET_CLAMPED_CO2_TEMPERATURE)
        seen: Values = await heard
        transport.close()
        return seen

    while True:
        yield asyncio.run(ask())
        time.sleep(0.5)


# -- I2C ---------------------------------------------------------------------------------------------------------


def _busio(endpoint: str) -> Any:
    return BusioI2c(SocketBus(endpoint))


def _connection(endpoint: str) -> Any:
    from sensirion_i2c_driver import I2cConnection

    return I2cConnection(Transceiver(SocketBus(endpoint)))


def _channel(endpoint: str, address: int) -> Any:
    from sensirion_driver_adapters.i2c_adapter.i2c_channel import I2cChannel
    from sensirion_i2c_driver import CrcCalculator

    crc = CrcCalculator(8, 0x31, 0xFF, 0x0)
    return I2cChannel(_connection(endpoint), slave_address=address, crc=crc)


def sensirion_sen5x(endpoint: str) -> Iterator[Values]:
    from sensirion_i2c_sen5x import Sen5xI2cDevice

    device = Sen5xI2cDevice(_connection(endpoint))
    device.device_reset()
    device.start_measurement()
    while True:
        time.sleep(1.1)
        if device.read_data_ready():
            seen = device.read_measured_values()
            values = {
                "pm1_0": seen.mass_concentration_1p0.physical,
                "pm2_5": seen.mass_concentration_2p5.physical,
                "pm4_0": seen.mass_concentration_4p0.physical,
                "pm10": seen.mass_concentration_10p0.physical,
                "humidity": seen.ambient_humidity.percent_rh,
                "temperature": seen.ambient_temperature.degrees_celsius,
                "voc_index": seen.voc_index.scaled,
                "nox_index": seen.nox_index.scaled,
            }
            yield {channel: value for channel, value in values.items() if value == value}  # not NaN


def sensirion_sen66(endpoint: str) -> Iterator[Values]:
    from sensirion_i2c_sen66.device import Sen66Device

    device = Sen66Device(_channel(endpoint, 0x6B))
    device.device_reset()
    time.sleep(1.2)
    device.start_continuous_measurement()
    names = ("pm1_0", "pm2_5", "pm4_0", "pm10", "humidity", "temperature")  # the others are unknown in the first minute
    while True:
        time.sleep(1.1)
        yield {channel: signal.value for channel, signal in zip(names, device.read_measured_values(), strict=False)}


def sensirion_scd30(endpoint: str) -> Iterator[Values]:
    from sensirion_i2c_scd30.device import Scd30Device

    device = Scd30Device(_channel(endpoint, 0x61))
    device.start_periodic_measurement(0)
    while True:
        co2, temperature, humidity = device.blocking_read_measurement_data()
        yield {"co2": co2, "temperature": temperature, "humidity": humidity}


def sensirion_sgp40(endpoint: str) -> Iterator[Values]:
    from sensirion_i2c_sgp4x import Sgp40I2cDevice

    device = Sgp40I2cDevice(_connection(endpoint))
    while True:
        yield {"voc_raw": device.measure_raw().ticks}
        time.sleep(1)


def sensirion_sgp41(endpoint: str) -> Iterator[Values]:
    from sensirion_i2c_sgp4x import Sgp41I2cDevice

    device = Sgp41I2cDevice(_connection(endpoint))
    device.conditioning()
    time.sleep(1)
    while True:
        voc, nox = device.measure_raw()
        yield {"voc_raw": voc.ticks, "nox_raw": nox.ticks}
        time.sleep(1)


def sensirion_sht4x(endpoint: str) -> Iterator[Values]:
    from sensirion_i2c_sht.sht4x import Sht4xI2cDevice

    device = Sht4xI2cDevice(_connection(endpoint))
    while True:
        temperature, humidity = device.single_shot_measurement()
        yield {"temperature": temperature.degrees_celsius, "humidity": humidity.percent_rh}
        time.sleep(0.5)


def sensirion_sht3x(endpoint: str) -> Iterator[Values]:
    from sensirion_i2c_sht.sht3x import Sht3xI2cDevice

    device = Sht3xI2cDevice(_connection(endpoint))
    while True:
        temperature, humidity = device.single_shot_measurement()
        yield {"temperature": temperature.degrees_celsius, "humidity": humidity.percent_rh}
        time.sleep(0.5)


def adafruit_scd4x(endpoint: str) -> Iterator[Values]:
    from adafruit_scd4x import SCD4X

    device = SCD4X(_busio(endpoint))
    device.start_periodic_measurement()
    while True:
        if device.data_ready:
            yield {
                "co2": device.CO2,
                "temperature": device.temperature,
                "humidity": device.relative_humidity,
            }
        time.sleep(0.5)


def _adafruit_pm25(device: Any) -> Iterator[Values]:
    names = {
        "pm1_0": "pm10 env", "pm2_5": "pm25 env", "pm10": "pm100 env",
        "pm1_0_cf1": "pm10 standard", "pm2_5_cf1": "pm25 standard", "pm10_cf1": "pm100 standard",
    }  # fmt: skip
    counts = {"n0_3": "03um", "n0_5": "05um", "n1_0": "10um", "n2_5": "25um", "n5_0": "50um", "n10": "100um"}
    while True:
        time.sleep(1)
        seen = device.read()
        values = {channel: seen[name] for channel, name in names.items()}
        yield values | {channel: seen[f"particles {name}"] / 100 for channel, name in counts.items()}


def adafruit_pm25_i2c(endpoint: str) -> Iterator[Values]:
    from adafruit_pm25.i2c import PM25_I2C

    yield from _adafruit_pm25(PM25_I2C(_busio(endpoint), None))


def adafruit_bme280(endpoint: str) -> Iterator[Values]:
    from adafruit_bme280.basic import Adafruit_BME280_I2C

    device = Adafruit_BME280_I2C(_busio(endpoint), address=0x76)
    while True:
        device.mode = 1  # one measurement, so that all three values belong together
        time.sleep(0.3)
        temperature = device.temperature
        yield {"temperature": temperature}
        yield {"humidity": device.relative_humidity}
        yield {"pressure": device.pressure * 100}


def rpi_bme280(endpoint: str) -> Iterator[Values]:
    import bme280

    bus = SMBus(endpoint)
    calibration = bme280.load_calibration_params(bus, 0x76)
    while True:
        seen = bme280.sample(bus, 0x76, calibration)
        yield {"temperature": seen.temperature, "humidity": seen.humidity, "pressure": seen.pressure * 100}
        time.sleep(0.5)


def bme680(endpoint: str) -> Iterator[Values]:
    import bme680 as package

    device = package.BME680(0x76, SMBus(endpoint))
    device.set_gas_heater_temperature(320)
    device.set_gas_heater_duration(50)  # it polls for 100 ms: of its own 150 ms it would rarely see the end
    device.select_gas_heater_profile(0)
    while True:
        if device.get_sensor_data():
            seen = device.data
            values = {"temperature": seen.temperature, "humidity": seen.humidity, "pressure": seen.pressure * 100}
            yield values | ({"gas_resistance": seen.gas_resistance} if seen.heat_stable else {})
        time.sleep(0.5)


def adafruit_ads1x15(endpoint: str) -> Iterator[Values]:
    from adafruit_ads1x15 import ADS1115, AnalogIn

    device = ADS1115(_busio(endpoint), gain=2)
    pins = [AnalogIn(device, pin) for pin in range(4)]
    while True:
        yield {f"v{number}": pin.voltage for number, pin in enumerate(pins)}
        time.sleep(0.3)


def adafruit_lidarlite(endpoint: str) -> Iterator[Values]:
    from adafruit_lidarlite import LIDARLite

    device = LIDARLite(_busio(endpoint))
    while True:
        yield {"distance": device.distance / 100}
        time.sleep(0.2)


def sps30_i2c(bus: str) -> Iterator[Values]:
    """Opens /dev/i2c-N by itself, so it can only be read from a true node."""
    from sps30 import SPS30

    device = SPS30(int(bus))
    device.start_measurement()
    while True:
        time.sleep(0.5)
        measured = device.get_measurement()
        if not measured:  # its thread has none yet
            continue
        seen = measured["sensor_data"]["mass_density"]
        yield {"pm1_0": seen["pm1.0"], "pm2_5": seen["pm2.5"], "pm4_0": seen["pm4.0"], "pm10": seen["pm10"]}


def main() -> None:
    """Print what was asked for."""
    reader, endpoint, count = sys.argv[1:]
    for values in islice(globals()[reader](endpoint), int(count)):
        print(json.dumps(values), flush=True)
    os._exit(0)  # threads of a driver are not waited for


if __name__ == "__main__":
    main()
