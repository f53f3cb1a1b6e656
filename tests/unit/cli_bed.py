"""The command line as its user sees it: words in; exit code, standard output and standard error out."""

from __future__ import annotations

import asyncio
import io
import sys
from dataclasses import dataclass

from ocicat.cli.main import main
from ocicat.store.open import open_store


@dataclass
class Ended:
    code: int
    out: str
    err: str


class Shell:
    """A user with a datastore of their own."""

    def __init__(self, directory, monkeypatch, capsys):
        self.url = f"sqlite://{directory}/store.db"
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.setenv("OCICAT_STORE", self.url)

    def __call__(self, *words, stdin=None):
        self._monkeypatch.setattr(sys, "argv", ["ocicat", *words])
        if stdin is not None:
            self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        self._capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as ending:
            code = ending.code or 0
        return Ended(code, *self._capsys.readouterr())

    def ok(self, *words, stdin=None):
        ended = self(*words, stdin=stdin)
        assert (ended.code, ended.err.count("Traceback")) == (0, 0), ended
        return ended

    def write(self, *operations):
        """As another program would."""

        async def commit():
            store = await open_store(self.url)
            await store.commit([], operations)
            await store.close()

        asyncio.run(commit())

    def read(self, key):
        async def get():
            store = await open_store(self.url)
            found = await store.get(key)
            await store.close()
            return found and found.value

        return asyncio.run(get())
