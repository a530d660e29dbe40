"""Sensirion SPS30: mass and number of particles in five sizes, on UART or I2C."""
