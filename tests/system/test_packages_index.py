"""Where pip is told of an index, uv, which makes the packages, asks the same one."""

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from packages_bed import environment

PIP = r"""global.index-url='https://mirror.example/simple'
global.cert='/etc/ca.crt'
install.extra-index-url='\nhttps://one.example/simple\nhttps://two.example/simple'
global.timeout='60'
:env:.cert='/etc/own.crt'
:env:.trusted-host='one.example'
"""


def test_what_pip_is_told_uv_is_told_and_what_uv_was_told_stays():
    assert environment().uv_variables(PIP, {"UV_INSECURE_HOST": "two.example"}) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "SSL_CERT_FILE": "/etc/own.crt",
    }
    assert environment().uv_variables("", {}) == {}


def test_uv_asks_the_index_of_pips_configuration(tmp_path):
    config = tmp_path / "pip.conf"
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    bare |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    with index() as (url, asked):
        config.write_text(f"[global]\nindex-url = {url}\n")
        pip = [sys.executable, "-m", "pip", "config", "list"]
        listing = subprocess.run(
            pip, env={**bare, "PIP_CONFIG_FILE": str(config)}, capture_output=True, text=True, check=True
        ).stdout
        line = [environment().uv(), "pip", "install", "--dry-run", "--no-cache", "--target", str(tmp_path), "click"]
        subprocess.run(
            line, env={**bare, **environment().uv_variables(listing, bare)}, capture_output=True, check=False
        )
    assert "/simple/click/" in asked


@contextmanager
def index():
    """An index that has nothing; what it was asked for."""
    asked = []

    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/simple", asked
        finally:
            server.shutdown()
