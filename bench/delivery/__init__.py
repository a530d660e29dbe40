"""Delivery against peers: the same load, the same outages in the same seconds, in one run on one machine.

`python -m bench.delivery` runs lamppost with and without its raw log, the ThingsBoard IoT gateway with either of its
stores on disk, and a mosquitto that bridges to the city's. What is counted and how stands in
docs/explanation/performance.md.
"""
