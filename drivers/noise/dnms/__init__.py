"""DNMS of sensor.community: LAeq, LAmin and LAmax, on I2C."""
