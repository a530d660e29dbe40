"""Sensirion SCD4x: carbon dioxide, temperature and humidity on I2C."""
