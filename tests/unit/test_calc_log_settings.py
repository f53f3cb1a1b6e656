"""How much Log rules may write."""

import pytest

from ocicat.calc.configuration import Configuration
from ocicat.calc.log_settings import limit, problems
from ocicat.calc.sequencer import Sequencer
from ocicat.model.v3.felix import FelixConfigurationSpec
from ocicat.model.wanted import LogLimit


def spec(rate="", burst=None):
    return FelixConfigurationSpec(log_action_rate_limit=rate, log_action_rate_limit_burst=burst)


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        ([], None),
        ([spec()], None),
        ([spec(burst=3)], None),
        ([spec("10/minute")], LogLimit(10, "minute")),
        ([spec("9999/day", 0)], LogLimit(9999, "day", 0)),
        ([spec("1/second"), spec("2/hour", 7)], LogLimit(1, "second", 7)),
        ([spec(burst=1), spec("2/hour", 7)], LogLimit(2, "hour", 1)),
        ([spec("10/fortnight", 10_000), spec("2/hour", 7)], LogLimit(2, "hour", 7)),
        ([spec("0/second")], None),
        ([spec("1/second accept")], None),
    ],
)
def test_the_most_special_limit_that_is_one(specs, expected):
    assert limit(specs) == expected


def test_what_is_no_limit_is_a_problem():
    assert list(problems(spec("10/minute", 5))) == []
    assert ["logActionRateLimit " in text for text in problems(spec("often"))] == [True]
    assert ["logActionRateLimitBurst" in text for text in problems(spec("1/day", -1))] == [True]


def test_it_reaches_the_host():
    sequencer = Sequencer()
    configuration = Configuration("h", sequencer)
    sequencer.in_sync()
    configuration.set("default", spec("10/minute", 20_000))
    assert sequencer.flush(1)[0].log_limit == LogLimit(10, "minute")
    assert ["logActionRateLimitBurst" in problem.text for problem in configuration.problems()] == [True]
