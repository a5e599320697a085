"""The protocol: generated messages and services, and how they are spoken.

`errors` and `status` carry a refused request to the caller; `hosting` puts
services on a socket with health checking and reflection.
"""
