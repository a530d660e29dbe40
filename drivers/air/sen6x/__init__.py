"""Sensirion SEN63C, SEN65, SEN66 and SEN68: particles, humidity, temperature and gases in one box, on I2C."""
