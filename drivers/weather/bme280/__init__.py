"""Bosch BME280: temperature, pressure and humidity, on I2C."""
