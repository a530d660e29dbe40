"""Time-series stores behind one protocol: import the module of the store you need, the others cost nothing."""
