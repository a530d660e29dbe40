"""The other side of the wire: sensors as their datasheets describe them."""
