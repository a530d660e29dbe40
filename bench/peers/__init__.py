"""The same job done by others: one module each, run in a process of its own."""
