"""A key of small shape and a file it is sealed in."""

from pathlib import Path

import pytest

from xnn.secret import KeyFile, KeyScope, SecretKey

PASSPHRASE = "correct horse"


@pytest.fixture
def scope() -> KeyScope:
    return KeyScope(
        dataset="vectors", extractor_digest="ab" * 32, n=7, d=12, scheme="paper", scheme_version=1
    )


@pytest.fixture
def keyfile(scope: KeyScope, tmp_path: Path) -> KeyFile:
    key = SecretKey.generate(scope)
    return KeyFile.create(
        tmp_path / "owner.key", key, PASSPHRASE, extractor={"name": "tiny"}, log2_n=10
    )
