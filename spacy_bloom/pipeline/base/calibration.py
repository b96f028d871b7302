"""Probabilities that mean what they say: of all that have 0.8, eight in ten are right.

A network that has learnt its training data by heart is surer than it should be. One number, the temperature, fitted on
data that it has not learnt from, mends that without changing what is predicted.

SOURCE: Guo et al. 2017 (On Calibration of Modern Neural Networks, arXiv 1706.04599).
"""

from collections.abc import Callable

import numpy
from numpy.typing import NDArray

Floats = NDArray[numpy.float32]
# Least and greatest temperature that is fitted.
COLDEST, HOTTEST = 0.05, 20.0
N_BINS, N_TURNS = 15, 40
TINY = 1e-12  # a probability that has a logarithm


def tempered(probabilities: Floats, temperature: float) -> Floats:
    """What a softmax would have given had its inputs been divided by the temperature.

    probabilities (NDArray): Rows that sum to 1. Shape (rows, labels).
    temperature (float): Above 1 evens them out, below 1 sharpens them.
    RETURNS (NDArray): Shape (rows, labels), float32.
    """
    if temperature == 1.0 or not probabilities.size:
        return probabilities
    logits = numpy.log(probabilities + TINY) / temperature
    exponentials = numpy.exp(logits - logits.max(axis=1, keepdims=True))
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(numpy.float32)


def tempered_odds(probabilities: Floats, temperature: float) -> Floats:
    """What a sigmoid would have given had its inputs been divided by the temperature.

    probabilities (NDArray): Each on its own.
    RETURNS (NDArray): Of the same shape, float32.
    """
    if temperature == 1.0:
        return probabilities
    double = probabilities.astype(numpy.float64)
    logits = numpy.log(double + TINY) - numpy.log1p(TINY - double)
    return (1.0 / (1.0 + numpy.exp(-logits / temperature))).astype(numpy.float32)


def calibration_error(certainties: NDArray, right: NDArray) -> float:
    """Expected calibration error: how far certainty and accuracy are apart, on average over equal bins of certainty.

    certainties (NDArray): Probability of each prediction. Shape (predictions,).
    right (NDArray): Whether it was right. Shape (predictions,).
    RETURNS (float): Between 0 and 1; 0 without predictions.
    """
    bins = numpy.minimum((certainties * N_BINS).astype(int), N_BINS - 1)
    gaps = numpy.bincount(bins, weights=certainties - right, minlength=N_BINS)
    return float(numpy.abs(gaps).sum() / max(len(certainties), 1))


def log_loss(certainties: NDArray, right: NDArray) -> float:
    """RETURNS (float): Minus the mean log probability of what was the case, in nats. Arguments as above."""
    given = numpy.where(right, certainties, 1.0 - certainties.astype(numpy.float64))
    return float(-numpy.log(given + TINY).mean())


def fit_temperature(loss: Callable[[float], float]) -> float:
    """RETURNS (float): The temperature of the least loss, to three digits. Golden-section search over its logarithm.

    loss (Callable[[float], float]): Of a temperature; with one valley.
    """
    ratio = (5**0.5 - 1) / 2
    low, high = numpy.log(COLDEST), numpy.log(HOTTEST)
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = loss(numpy.exp(left)), loss(numpy.exp(right))
    for _ in range(N_TURNS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = loss(numpy.exp(left))
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = loss(numpy.exp(right))
    return float(f"{numpy.exp((low + high) / 2):.3g}")
