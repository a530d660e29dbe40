"""Garmin LIDAR-Lite v3: distance by time of flight up to 40 m, on I2C."""
