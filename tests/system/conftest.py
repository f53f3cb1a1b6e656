"""One lab for each module that names it: `LAB = "t-main"`, with `LAB_HOSTS` hosts where three are not wanted."""

import pytest
from lab_bed import running_lab


@pytest.fixture(scope="module")
def lab(request):
    with running_lab(request.module.LAB, hosts=getattr(request.module, "LAB_HOSTS", 3)) as lab:
        yield lab
