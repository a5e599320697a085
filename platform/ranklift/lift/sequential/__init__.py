"""Decisions over time: when a look at a running experiment may be acted on.

`spending` says how the error is shared out over the looks, `bounds` turns that into bounds of z,
`confidence_sequence` holds at every look without a plan, `information` says how much a look knows,
and `monitor` puts them together for the looks of one metric.
"""
