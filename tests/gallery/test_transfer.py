"""Export and import: whole, sealed, refused when altered, finished when interrupted."""

import json
import stat
from pathlib import Path

import pytest

from xnn.errors import (
    BundleMismatchError,
    ConfigError,
    CorruptError,
    DuplicateError,
    FormatError,
    OutputExistsError,
    PassphraseError,
    ShapeError,
    StorageError,
    VersionError,
    XnnError,
)
from xnn.gallery import GalleryLimits, open_gallery
from xnn.gallery.transfer import export_gallery, import_gallery

BUNDLE = "ab" * 32
PASSPHRASE = "correct horse"


def rid(number: int) -> str:
    return f"{number:032x}"


@pytest.fixture
def filled(gallery, draw):
    for number in range(5):
        key = "owner" if number == 4 else None
        gallery.enrol(
            "t",
            f"s{number}",
            draw(2, seed=number),
            bundle_id=BUNDLE,
            key_id=key,
            request_id=rid(number),
            create=True,
        )
    gallery.create_subject("t", "empty")
    gallery.enrol("u", "x", draw(1), bundle_id=BUNDLE, request_id=rid(9), create=True)
    return gallery


@pytest.fixture
def export(filled, tmp_path: Path) -> Path:
    path = tmp_path / "export.xnn"
    result = export_gallery(filled, "t", path, PASSPHRASE, log2_n=10)
    assert (result.subjects, result.templates, result.bundle_ids) == (6, 10, (BUNDLE,))
    return path


@pytest.fixture
def target(tmp_path: Path, master_key):
    gallery = open_gallery(str(tmp_path / "target.db"), master_key)
    yield gallery
    gallery.close()


def test_round_trip(filled, export: Path, target, draw) -> None:
    assert stat.S_IMODE(export.stat().st_mode) == 0o600
    result = import_gallery(target, "v", export, PASSPHRASE, bundle_id=BUNDLE)
    assert (result.subjects, result.templates, result.stored) == (6, 10, 10)
    assert target.subjects("v") == filled.subjects("t")
    for name in filled.subjects("t"):
        assert set(target.templates("v", name)) == set(filled.templates("t", name))
    probes = draw(20, seed=77)
    for key in (None, "owner"):
        options = {"bundle_id": BUNDLE, "key_id": key, "top_k": 9}
        assert target.search("v", probes, **options) == filled.search("t", probes, **options)
    assert target.count("t") == target.count("u") == (0, 0)


def test_importing_twice_or_after_an_interruption_adds_what_is_missing(
    export: Path, target, monkeypatch
) -> None:
    import_gallery(target, "t", export, PASSPHRASE, bundle_id=BUNDLE)
    assert import_gallery(target, "t", export, PASSPHRASE, bundle_id=None).stored == 0
    target.delete_subject("t", "s1")
    (gone, _) = target.templates("t", "s2")
    target.erase_template("t", gone.template_id)
    assert import_gallery(target, "t", export, PASSPHRASE, bundle_id=BUNDLE).stored == 3
    assert target.count("t") == (6, 10)


def test_an_erased_template_that_comes_back_is_found_by_every_process(
    filled, export: Path, reopen, draw
) -> None:
    other = reopen()
    probe = draw(2, seed=1)[:1]
    assert other.search("t", probe, bundle_id=BUNDLE, top_k=1)[0][0].subject_id == "s1"
    filled.delete_subject("t", "s1")
    assert import_gallery(filled, "t", export, PASSPHRASE, bundle_id=None).stored == 2
    for opened in (other, filled, reopen()):
        (found,) = opened.search("t", probe, bundle_id=BUNDLE, top_k=9)
        assert found[0].subject_id == "s1"
        assert len(found) == 4


def test_it_tells_nothing_without_the_passphrase(filled, export: Path, draw) -> None:
    content = export.read_bytes()
    header, _, rest = content.partition(b"\n")
    assert set(json.loads(header)) == {"format", "version", "stretching"}
    for word in (b"s0", b"owner", BUNDLE.encode()):
        assert word not in header
    assert BUNDLE.encode() not in rest
    assert filled.templates("t", "s0")[0].template_id.encode() not in rest


def test_every_alteration_is_refused_and_nothing_is_stored(export: Path, target) -> None:
    good = export.read_bytes()
    end = good.rindex(b"\x01\x00\x00")
    places = {0, 20, 60, good.index(b"\n") + 3, good.index(b"\n") + 40, len(good) // 2, end}
    bad = [good[:p] + bytes([good[p] ^ 1]) + good[p + 1 :] for p in places]
    bad += [good[:cut] for cut in (0, 10, len(good) // 2, end, len(good) - 1)]
    bad += [good + b"x", good + good[end:], good[: good.index(b"\n") + 1] + good[end:]]
    for content in bad:
        export.write_bytes(content)
        with pytest.raises(XnnError) as caught:
            import_gallery(target, "t", export, PASSPHRASE, bundle_id=None)
        assert isinstance(caught.value, FormatError | PassphraseError | CorruptError)
        assert target.count("t") == (0, 0)
    export.write_bytes(good)
    assert import_gallery(target, "t", export, PASSPHRASE, bundle_id=None).stored == 10


def test_refusals(filled, export: Path, target, tmp_path: Path, draw) -> None:
    with pytest.raises(OutputExistsError):
        export_gallery(filled, "t", export, PASSPHRASE, log2_n=10)
    with pytest.raises(StorageError):
        export_gallery(filled, "t", tmp_path / "absent" / "x", PASSPHRASE, log2_n=10)
    with pytest.raises(ConfigError, match="at least 8"):
        export_gallery(filled, "t", tmp_path / "x", "short", log2_n=10)
    with pytest.raises(PassphraseError, match="passphrase is wrong"):
        import_gallery(target, "t", export, "another horse", bundle_id=None)
    with pytest.raises(BundleMismatchError, match="the file holds templates of bundle abab"):
        import_gallery(target, "t", export, PASSPHRASE, bundle_id="cd" * 32)
    with pytest.raises(DuplicateError, match="another subject or tenant"):
        import_gallery(filled, "v", export, PASSPHRASE, bundle_id=None)
    target.retire("t", bundle_id=BUNDLE)
    with pytest.raises(BundleMismatchError, match="retired"):
        import_gallery(target, "t", export, PASSPHRASE, bundle_id=None)
    with pytest.raises(StorageError):
        import_gallery(target, "t", tmp_path / "absent", PASSPHRASE, bundle_id=None)
    export.write_text('{"format": "xnn-gallery", "version": 9}\n')
    with pytest.raises(VersionError, match="format 9, this program reads 1"):
        import_gallery(target, "t", export, PASSPHRASE, bundle_id=None)
    assert target.count("t")[1] == 0


def test_a_vector_that_is_no_unit_is_not_restored(gallery, filled, draw) -> None:
    (info, _) = filled.read("t", limit=1)[0]
    with pytest.raises(ShapeError, match="not of unit length"):
        gallery.restore("t", [info], draw(1) * 3)


def test_imports_respect_no_smaller_limit_of_a_call(
    export: Path, tmp_path: Path, master_key
) -> None:
    small = open_gallery(
        str(tmp_path / "small.db"), master_key, limits=GalleryLimits(vectors_per_call=3)
    )
    assert import_gallery(small, "t", export, PASSPHRASE, bundle_id=None).stored == 10
    small.close()
