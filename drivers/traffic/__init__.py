"""Sensors of the domain traffic, one folder each."""
