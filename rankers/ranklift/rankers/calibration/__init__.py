"""Scores into probabilities: maps that keep the order, and how right they are on other queries.

A ranker's score is a logit of arbitrary scale and offset. Rank by it; read it
as a probability only after a map was fitted. Scores stay 64-bit floats up to
the probability: a sigmoid in 16 bits makes ties of good documents.
"""

from ranklift.rankers.calibration.cross_fit import Calibrated, cross_fit
from ranklift.rankers.calibration.maps import (
    AsIs,
    Increasing,
    Isotonic,
    Logistic,
    fit_affine,
    fit_isotonic,
    fit_temperature,
)
from ranklift.rankers.calibration.reliability import Bin, Reliability, reliability

__all__ = [
    "AsIs",
    "Bin",
    "Calibrated",
    "Increasing",
    "Isotonic",
    "Logistic",
    "Reliability",
    "cross_fit",
    "fit_affine",
    "fit_isotonic",
    "fit_temperature",
    "reliability",
]
