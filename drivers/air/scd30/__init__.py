"""Sensirion SCD30: carbon dioxide, temperature and humidity on I2C."""
