"""Where the passphrase of a key file comes from: a file, the environment, or a prompt."""

import os
import stat
import sys
from pathlib import Path
from typing import Annotated

import typer

from xnn.cli.output import warn
from xnn.errors import ConfigError
from xnn.files import disk_errors

ENVIRONMENT_NAME = "XNN_PASSPHRASE"

PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help=f"File whose first line is the passphrase; else ${ENVIRONMENT_NAME}, else a prompt.",
        show_default=False,
    ),
]


def read_passphrase(file: Path | None, *, confirm: bool = False) -> str:
    """Return the passphrase.

    Args:
        file: Its first line is taken; None looks in the environment, then asks.
        confirm: Ask twice.

    Raises:
        ConfigError: There is none and nobody to ask.
    """
    if file is not None:
        with disk_errors("read", file):
            if stat.S_IMODE(file.stat().st_mode) & 0o077:
                warn(f"{file.name!r} can be read by others; run chmod 600 on it")
            content = file.read_bytes()
        try:
            first = content.decode().splitlines()[:1]
        except UnicodeDecodeError:  # not chained: the error would hold the bytes
            raise ConfigError(f"{file.name!r} is not UTF-8 text; write it again") from None
        if not first:
            raise ConfigError(f"{file.name!r} is empty; its first line must be the passphrase")
        return first[0]
    if from_environment := os.environ.get(ENVIRONMENT_NAME):
        return from_environment
    if not sys.stdin.isatty():
        raise ConfigError(
            f"no passphrase: give --passphrase-file or set {ENVIRONMENT_NAME} (no terminal to ask)"
        )
    return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True))
