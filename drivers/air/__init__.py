"""Sensors of the domain air, one folder each."""
