"""Sensirion SHT4x: humidity and temperature on I2C."""
