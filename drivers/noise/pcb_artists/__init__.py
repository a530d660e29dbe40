"""PCB Artists decibel meter module: a sound level in whole decibels, on I2C."""
