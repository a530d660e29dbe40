"""Noise transmitters on RS-485 with Modbus RTU: Renke, GEMHO, and any other by its register."""
