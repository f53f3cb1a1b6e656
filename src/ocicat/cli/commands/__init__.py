"""One module per command, each with a click object called `command`; loaded when it is used."""
