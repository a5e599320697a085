"""What difference an experiment made.

Event tables become exact sums per unit (`sums`), these become moments per arm
(`moments`), these become lifts with intervals and p-values (`ratio`), and all of
it together with the data checks (`checks`) becomes one value, the `LiftReport`
(`report`). `render` shows the report, `service` serves it over gRPC.
"""
