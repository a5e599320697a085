"""Whole experiments in a world whose truth is known, again and again: are the statistics honest?

`experiment` plays one, `readout` is what statistics say of it, `repeat` runs many in processes.
`aa`, `power`, `coverage` and `matrix` make of them false positives, power, the intervals' coverage,
and whether a decision holds in worlds of other click models; `truths` and `injection` know the
true lifts. Statistics come in from outside: `readout.Readout`.
"""
