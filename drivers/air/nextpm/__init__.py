"""Tera Sensor NextPM: particles by light scattering in dried air, on a serial port."""
