"""Guarded ramps: more traffic step by step, as long as nothing says not to.

`position` says which step an experiment stands on and since when, `evidence` what its log shows,
`decision` what follows from both, and `controller` has the registry do it.
"""
