"""Texas Instruments ADS1115: four voltages, 16 bits each, on I2C."""
