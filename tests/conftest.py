"""For all tests: programs that a test starts can be interrupted, also where the runner itself was started in the background.

A shell starts what runs in its background with SIGINT ignored, and children inherit that.
"""

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
