"""The only files that open a device."""
