"""What sound level meters make of the street: time constants, and what lies above the A-weighted level."""

FAST_S, SLOW_S = 0.125, 1.0
C_ABOVE_A_DB, Z_ABOVE_A_DB = 8.0, 10.0  # the spectrum of a street
