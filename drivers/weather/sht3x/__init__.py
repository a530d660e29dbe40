"""Sensirion SHT3x: humidity and temperature on I2C."""
