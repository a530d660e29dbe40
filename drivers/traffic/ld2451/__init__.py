"""Hi-Link HLK-LD2451: vehicle radar with distance, speed, direction and angle of each target, on a serial port."""
