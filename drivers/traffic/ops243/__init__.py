"""OmniPreSense OPS243-A: Doppler radar that reports speed and direction, on USB or a serial port."""
