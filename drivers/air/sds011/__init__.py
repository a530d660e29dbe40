"""Nova SDS011: particles PM2.5 and PM10 by light scattering, on a serial port."""
