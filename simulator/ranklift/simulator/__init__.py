"""Simulated users with a known truth, for experiments on rankers.

A `world` is a judged collection (loaded or synthetic), users and how they
behave. Its pages are played in one of two ways that agree page for page:
`vectorised`, from rankings computed beforehand, or `replay`, through real
services over gRPC. `truth` says what the lift of one ranker over another
really is, to hold the report against.
"""
