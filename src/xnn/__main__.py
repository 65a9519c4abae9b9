"""`python -m xnn` is the command line."""

from xnn.cli.main import run

run()
