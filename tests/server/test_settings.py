"""Settings: where they come from, and what is refused before anything listens."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from xnn.errors import ConfigError, StorageError
from xnn.server.problems import BY_STATUS, INTERNAL, INVALID_REQUEST, PROBLEMS
from xnn.server.settings import ServeSettings, load_settings

NEEDED = {"bundle": Path("b"), "gallery": "sqlite:///g.db"}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ServeSettings.model_fields:
        monkeypatch.delenv(f"XNN_{name.upper()}", raising=False)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_command_line_beats_environment_beats_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(
        tmp_path / "s.toml", 'port = 1001\nmax_batch = 11\nmax_queued = 101\nscores = "hidden"'
    )
    monkeypatch.setenv("XNN_PORT", "1002")
    monkeypatch.setenv("XNN_MAX_BATCH", "12")
    settings = load_settings(file, **NEEDED, port=1003, host=None)
    assert (settings.port, settings.max_batch, settings.max_queued) == (1003, 12, 101)
    assert (settings.scores, settings.host) == ("hidden", "127.0.0.1")


def test_all_of_it_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XNN_BUNDLE", "there")
    monkeypatch.setenv("XNN_GALLERY", "postgresql://u:secret-word@h/d")
    settings = load_settings()
    assert settings.bundle == Path("there")
    assert "secret-word" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 1", "unknown setting 'prot'; did you mean 'port'"),
        ("port = 70000", "port: Input should be less than or equal to 65535"),
        ("port = ", "is not TOML"),
        ("port = 'x'", "port: Input should be a valid integer"),
        ('scores = "all"', "scores: Input should be 'exact', 'rounded' or 'hidden'"),
        ("max_records = 0", "max_records: Input should be greater than or equal to 1"),
        ('tls_cert = "c.pem"', "tls_cert and tls_key belong together"),
        ('tls_client_ca = "c.pem"', "tls_client_ca needs tls_cert"),
        ('host = "0.0.0.0"', "there is no TLS: API keys would cross the network in the clear"),
        ('host = "::"', "there is no TLS"),
        ('host = "example.org"', "there is no TLS"),
        ('host = "192.0.2.7"', "there is no TLS"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(write(tmp_path / "s.toml", text), **NEEDED)
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named_with_the_ways_to_give_it() -> None:
    with pytest.raises(ConfigError, match=r"gallery: .*--gallery, XNN_GALLERY or the file"):
        load_settings(bundle=Path("b"))


def test_a_refusal_does_not_print_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(bundle=Path("b"), gallery="postgresql://u:secret-word@h/d", port=-1)
    assert "secret-word" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_needs_no_tls(host: str) -> None:
    assert load_settings(**NEEDED, host=host).host == host


def test_other_machines_need_tls_or_a_word(tmp_path: Path) -> None:
    tls = {"tls_cert": tmp_path / "c", "tls_key": tmp_path / "k"}
    assert load_settings(**NEEDED, host="0.0.0.0", **tls).tls_cert  # noqa: S104
    assert load_settings(**NEEDED, host="0.0.0.0", allow_plain_http=True)  # noqa: S104


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot read the settings 'no\.toml'"):
        load_settings(tmp_path / "no.toml", **NEEDED)


def load_generator() -> ModuleType:
    path = Path(__file__).parents[2] / "docs" / "generate_settings.py"
    spec = importlib.util.spec_from_file_location("generate_settings", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_every_setting_and_every_problem() -> None:
    generator = load_generator()
    text = generator.PAGE.read_text(encoding="utf-8")
    assert generator.page(text) == text, "run python docs/generate_settings.py"
    for problem in [*PROBLEMS.values(), *BY_STATUS.values(), INTERNAL, INVALID_REQUEST]:
        rows = [row for row in text.splitlines() if f"`{problem.name}`" in row and "| " in row]
        assert any(str(problem.status) in row for row in rows), problem.name


def test_own_thresholds_take_the_place_of_the_bundles(tmp_path: Path) -> None:
    file = write(tmp_path / "s.toml", '[thresholds]\n"0.001" = 0.42\n"0.1" = 0.2')
    settings = load_settings(file, **NEEDED)
    assert settings.thresholds == {0.001: 0.42, 0.1: 0.2}
    for wrong in ('"0" = 0.4', '"1.5" = 0.4', '"0.1" = 2.0'):
        with pytest.raises(ConfigError, match="thresholds: rates are fractions"):
            load_settings(write(tmp_path / "t.toml", f"[thresholds]\n{wrong}"), **NEEDED)
