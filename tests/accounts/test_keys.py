"""API keys: shown once, kept as digests, refused in one way."""

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from xnn.accounts import Accounts, secret_of
from xnn.database import Database, open_database
from xnn.errors import AccessError, ConfigError, UnknownNameError

EVERY = ("enrol", "search", "admin")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(str(tmp_path / "a.db"))
    yield opened
    opened.close()


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(database)


def test_there_are_no_keys_until_one_is_made(accounts: Accounts) -> None:
    assert accounts.all_keys() == []
    assert accounts.num_active() == 0
    key, text = accounts.create("acme", ["admin"], label="first")
    assert accounts.num_active() == 1
    assert accounts.authenticate(text) == key
    assert (key.tenant, key.roles, key.label) == ("acme", {"admin"}, "first")


def test_the_text_has_the_agreed_form_and_two_are_never_equal(accounts: Accounts) -> None:
    texts = [accounts.create("t", ["search"])[1] for _ in range(20)]
    assert len(set(texts)) == len({secret_of(text) for text in texts}) == 20
    for text in texts:
        assert re.fullmatch(r"xnn_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", text)
        assert len(secret_of(text)) == 32


def test_the_secret_is_nowhere_in_the_file_or_in_a_repr(
    accounts: Accounts, database: Database, tmp_path: Path
) -> None:
    key, text = accounts.create("t", EVERY)
    secret = secret_of(text)
    database.scrub()
    held = b"".join(p.read_bytes() for p in tmp_path.iterdir()) + repr(key).encode()
    assert key.name.encode() in held
    for form in (secret, secret.hex().encode(), text.encode(), text[17:].encode()):
        assert form not in held
    assert base64.b64encode(secret)[:20] not in held
    assert hashlib.sha256(b"xnn api key v1" + secret).digest() in held


def altered(text: str, place: int) -> str:
    other = "A" if text[place] != "A" else "B"
    return text[:place] + other + text[place + 1 :]


def test_what_is_not_the_key_is_refused(accounts: Accounts) -> None:
    key, text = accounts.create("t", EVERY)
    unknown = f"xnn_{'0' * 12}_{text[17:]}"
    for wrong in (altered(text, 20), altered(text, 58), unknown):
        with pytest.raises(AccessError, match="unknown or revoked"):
            accounts.authenticate(wrong)
    for odd in (
        "",
        "x",
        text[:-1],
        text + "A",
        text.upper(),
        " " + text,
        text + "\n",
        altered(text, 5),
    ):
        with pytest.raises(AccessError) as caught:
            accounts.authenticate(odd)
        assert text[17:] not in str(caught.value)
    assert accounts.authenticate(text) == key


def test_every_character_of_the_secret_counts(accounts: Accounts) -> None:
    _, text = accounts.create("t", EVERY)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for last in alphabet.replace(text[-1], ""):  # some differ only in unused bits of base64
        with pytest.raises(AccessError):
            accounts.authenticate(text[:-1] + last)


def test_roles(accounts: Accounts) -> None:
    key, _ = accounts.create("t", ["search"])
    key.require("search")
    with pytest.raises(AccessError, match="lacks the role 'admin'"):
        key.require("admin")


def test_a_revoked_key_opens_nothing(accounts: Accounts) -> None:
    first, text = accounts.create("t", EVERY)
    second, other = accounts.create("u", EVERY)
    with pytest.raises(UnknownNameError):
        accounts.revoke(first.name, tenant="u")
    accounts.authenticate(text)
    revoked = accounts.revoke(first.name, tenant="t")
    assert revoked.revoked_ms is not None
    assert accounts.revoke(first.name) == revoked
    with pytest.raises(AccessError, match="unknown or revoked"):
        accounts.authenticate(text)
    assert accounts.authenticate(other) == second
    assert accounts.num_active() == 1
    assert [key.name for key in accounts.all_keys()] == [first.name, second.name]
    assert accounts.all_keys("u") == [second]
    with pytest.raises(UnknownNameError, match="no such API key"):
        accounts.revoke("0" * 12)


@pytest.mark.parametrize(
    ("tenant", "roles", "label", "text"),
    [
        ("", ["admin"], "", "tenant of 0"),
        ("a b", ["admin"], "", "no name"),
        ("t", [], "", "at least one"),
        ("t", ["root"], "", "at least one"),
        ("t", ["admin"], "x" * 101, "label"),
        ("t", ["admin"], "a\nb", "label"),
    ],
)
def test_bad_settings(accounts: Accounts, tenant, roles, label, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        accounts.create(tenant, roles, label=label)
    assert accounts.all_keys() == []
