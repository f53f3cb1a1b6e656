"""Futures of jobs: always settled, and not begun when given up."""

import logging

import pytest

from ocicat.dataplane.jobs import AfterPass, BeforePass, Settled
from ocicat.errors import Bug, Conflict, Unavailable

ERROR = Unavailable("no")


def fail(error):
    def work(engine):
        raise error

    return work


@pytest.mark.parametrize("kind", [BeforePass, Settled, AfterPass])
def test_the_result_arrives(kind):
    job = kind(lambda engine: engine * 2)
    job.before_pass(21)
    job.after_pass(21, None)
    assert job.future.result(0) == 42


@pytest.mark.parametrize("kind", [BeforePass, Settled, AfterPass])
def test_an_error_of_the_work_arrives(kind):
    job = kind(fail(Conflict("twice")))
    job.before_pass(None)
    job.after_pass(None, ERROR if kind is Settled else None)
    assert isinstance(job.future.exception(0), Conflict)


@pytest.mark.parametrize("kind", [BeforePass, Settled, AfterPass])
def test_what_nobody_expected_is_a_bug(kind, caplog):
    job = kind(fail(ValueError("odd")))
    with caplog.at_level(logging.ERROR):
        job.before_pass(None)
        job.after_pass(None, None)
    assert isinstance(job.future.exception(0), Bug)
    assert "odd" in caplog.text


@pytest.mark.parametrize(("kind", "hurt"), [(BeforePass, False), (Settled, True), (AfterPass, True)])
def test_a_pass_that_fails(kind, hurt):
    job = kind(lambda engine: 1)
    job.before_pass(None)
    job.after_pass(None, ERROR)
    assert (job.future.exception(0) is ERROR) == hurt


@pytest.mark.parametrize("kind", [BeforePass, Settled, AfterPass])
def test_a_cancelled_job_is_not_begun(kind):
    job = kind(fail(AssertionError("begun")))
    assert job.future.cancel()
    job.before_pass(None)
    job.after_pass(None, None)
    job.refuse(ERROR)
    assert job.future.cancelled()


@pytest.mark.parametrize("kind", [BeforePass, Settled, AfterPass])
def test_a_refused_job_knows_why(kind):
    job = kind(lambda engine: 1)
    job.refuse(ERROR)
    assert job.future.exception(0) is ERROR


def test_a_job_refused_between_its_halves():
    job = Settled(lambda engine: 1)
    job.before_pass(None)
    job.refuse(ERROR)
    assert job.future.exception(0) is ERROR
