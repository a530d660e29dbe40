"""Winsen MH-Z19B and MH-Z19C: carbon dioxide by infrared absorption, on a serial port."""
