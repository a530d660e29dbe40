"""Benewake TF-Luna in its I2C mode: distance by time of flight."""
