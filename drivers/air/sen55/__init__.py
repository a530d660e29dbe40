"""Sensirion SEN55: particles, humidity, temperature, VOC and NOx index, on I2C."""
