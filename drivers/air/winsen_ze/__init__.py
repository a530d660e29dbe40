"""Winsen ZE07, ZE08 and ZE25: one gas each by an electrochemical cell, on a serial port."""
