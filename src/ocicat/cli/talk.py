"""What is said on standard error. Nothing but click is loaded for it."""

from __future__ import annotations

import click


def say(text: str, *, hint: str = "") -> None:
    """One line, with our name before it; and one with the hint."""
    click.echo(f"ocicat: {one_line(text)}", err=True)
    if hint:
        click.echo(f"  {one_line(hint)}", err=True)


def one_line(text: str) -> str:
    """What others have named or written can neither begin a line of its own nor steer the terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
