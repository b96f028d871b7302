import numpy
import pytest

from spacy_bloom.pipeline.base.calibration import (
    HOTTEST,
    calibration_error,
    fit_temperature,
    log_loss,
    tempered,
    tempered_odds,
)

LOGITS = numpy.random.default_rng(0).normal(scale=3, size=(50, 4))


def softmax(logits):
    exponentials = numpy.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + numpy.exp(-logits))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7, 8.0])
def test_a_temperature_divides_the_logits(temperature):
    for activate, temper in ((softmax, tempered), (sigmoid, tempered_odds)):
        found = temper(activate(LOGITS).astype("float32"), temperature)
        assert found.dtype == numpy.float32
        numpy.testing.assert_allclose(found, activate(LOGITS / temperature), atol=2e-6)
    assert tempered(numpy.zeros((0, 4), dtype="float32"), temperature).shape == (0, 4)


@pytest.mark.parametrize("temperature", [0.3, 3.0])
def test_certain_probabilities_stay_finite(temperature):
    assert tempered(numpy.array([[1.0, 0.0]], dtype="f"), temperature)[0] == pytest.approx([1, 0], abs=1e-3)
    assert tempered_odds(numpy.array([0.0, 1.0], dtype="f"), temperature) == pytest.approx([0, 1], abs=1e-3)


def test_the_error_is_the_gap_between_certainty_and_accuracy():
    certainties = numpy.array([0.9, 0.9, 0.9, 0.9, 0.2, 0.2])
    right = numpy.array([True, True, False, False, False, False])
    assert calibration_error(certainties, right) == pytest.approx((4 * 0.4 + 2 * 0.2) / 6)
    assert calibration_error(numpy.array([1.0, 0.0]), numpy.array([True, False])) == 0
    assert calibration_error(numpy.zeros(0), numpy.zeros(0, dtype=bool)) == 0


def test_the_log_loss():
    assert log_loss(numpy.array([0.8, 0.4]), numpy.array([True, False])) == pytest.approx(
        -(numpy.log(0.8) + numpy.log(0.6)) / 2
    )


def test_the_temperature_of_overconfident_logits_is_found():
    random = numpy.random.default_rng(1)
    true = random.normal(scale=2, size=20_000)
    right = random.random(20_000) < sigmoid(true)
    probabilities = sigmoid(2.5 * true)

    def loss(temperature):
        return log_loss(tempered_odds(probabilities, temperature), right)

    found = fit_temperature(loss)
    assert found == pytest.approx(2.5, rel=0.05)
    assert calibration_error(tempered_odds(probabilities, found), right) < 0.02
    assert calibration_error(probabilities, right) > 0.05


def test_a_temperature_stays_within_limits():
    assert fit_temperature(lambda t: -t) == HOTTEST
