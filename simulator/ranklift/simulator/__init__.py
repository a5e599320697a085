"""Simulated users with a known truth, for experiments on rankers.

A `world` is a judged collection (loaded, synthetic, or made of a click log by
`fitting`), users and how they behave. Its pages are played from rankings
computed beforehand, as event frames (`vectorised`) or numbers by the million
(`compact`), or through real services over gRPC (`replay`); all agree page for
page. `truth` and `paired` say what the lift of one ranker over another really
is, `calibration` what statistics make of it.
"""
