"""Sensors of the domain weather, one folder each."""
