"""Honeywell HPMA115S0 and HPMA115C0: particles by light scattering, on a serial port."""
