"""RFbeam K-LD7: Doppler radar that tracks speed, distance and angle of what moves, on a serial port."""
