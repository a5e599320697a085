"""What leaves a server beside its replies: metrics for Prometheus, traces for OpenTelemetry.

The servers know none of this: they tell observers, and these are the observers.
"""
