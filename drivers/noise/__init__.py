"""Sensors of the domain noise, one folder each."""
