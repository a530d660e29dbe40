"""CEM DT-8852 sound level meter (PeakTech 8005, Voltcraft SL-451, Trotec SL400): twenty levels a second on USB."""
