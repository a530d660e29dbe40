"""Bosch BME680 and BME688: temperature, pressure, humidity and the resistance of a heated gas sensor, on I2C."""
