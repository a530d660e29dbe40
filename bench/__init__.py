"""Measurements: ratios against peers in one run, medians of several; never asserted in tests."""
