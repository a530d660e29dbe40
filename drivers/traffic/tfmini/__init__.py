"""Benewake TFmini-S and TF-Luna on a serial port: distance by time of flight, a hundred times a second."""
