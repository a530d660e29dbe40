"""Plantower PMSx003: particles by light scattering, some with formaldehyde or humidity, on a serial port or I2C."""
