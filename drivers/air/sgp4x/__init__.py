"""Sensirion SGP40 and SGP41: raw signals of a metal-oxide gas sensor on I2C."""
