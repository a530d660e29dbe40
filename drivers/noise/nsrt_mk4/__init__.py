"""Convergence Instruments NSRT_mk4_Dev: A-weighted sound level, on USB."""
