"""One lab for each module that names it: `LAB = "t-main"`, with `LAB_HOSTS` hosts where three are not wanted."""

import signal

import pytest
from lab_bed import running_lab

# Programs that a test starts can be interrupted, also where the runner was started in the background: with these ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="module")
def lab(request):
    with running_lab(request.module.LAB, hosts=getattr(request.module, "LAB_HOSTS", 3)) as lab:
        yield lab
