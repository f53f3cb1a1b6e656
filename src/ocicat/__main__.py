"""`python -m ocicat` is the command line."""

from ocicat.cli.main import main

main()
