"""The page as a reader and a browser meet it: whole, alone, escaped, accessible."""

import dataclasses
import re
import stat
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from xnn.errors import ConfigError, ShapeError
from xnn.report import DemoResults, demo_page, write_demo_report
from xnn.report.limits import NOT_PROTECTED

VOID = {"meta", "img", "br", "hr", "link"}


class Reader(HTMLParser):
    """Collects what the tests ask about, and checks that every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def all_of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page(demo_results: DemoResults) -> str:
    return demo_page(demo_results)


@pytest.fixture(scope="module")
def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_the_page_asks_for_nothing_from_elsewhere(page: str, read: Reader) -> None:
    assert not re.search(r"https?:|//[a-z]+\.|@import|@font-face", page)
    assert all(url.startswith("#") for url in re.findall(r"url\(([^)]*)\)", page))
    for _, attributes in read.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))
    assert not {name for name, _ in read.tags} & {"script", "link", "iframe", "object", "base"}
    policy = next(m for m in read.all_of("meta") if m.get("http-equiv"))["content"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_a_hostile_name_is_text(page: str, read: Reader, demo_results: DemoResults) -> None:
    hostile = demo_results.names[-1]
    assert "<img" in hostile
    assert hostile not in page
    assert "".join(read.texts["div"]).count(hostile) >= 1
    assert not any("onerror" in attributes for _, attributes in read.tags)


def test_every_section_is_there_in_order(read: Reader) -> None:
    anchors = [s["id"] for s in read.all_of("section")]
    expected = "what faces cloud utility training attack fronts limits making"
    assert anchors == expected.split()
    links = [a["href"] for a in read.all_of("a")]
    assert links == [f"#{anchor}" for anchor in anchors]


def test_pictures_figures_and_tables_have_their_words(read: Reader) -> None:
    images = read.all_of("img")
    assert len(images) == 8 + 3 * 6
    assert all(len(image["alt"] or "") > 10 for image in images)
    drawings = read.all_of("svg")
    assert len(drawings) == 6
    assert all(d["role"] == "img" and len(d["aria-label"] or "") > 20 for d in drawings)
    assert len(read.all_of("table")) == len(read.all_of("caption")) == 6
    assert {th["scope"] for th in read.all_of("th")} == {"col", "row"}
    assert len(read.all_of("h1")) == 1


def test_names_inside_the_page_are_unique_and_all_references_meet_one(page: str) -> None:
    names = re.findall(r'\sid="([^"]+)"', page)
    assert len(names) == len(set(names))
    wanted = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert wanted <= set(names)


def test_drawings_follow_light_and_dark(page: str) -> None:
    assert "var(--series-1)" in page
    drawn = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
    assert not re.search(r"#0[0-9a]0[0-9]0[0-9]", drawn)


def test_the_numbers_are_the_numbers_given(read: Reader) -> None:
    cells = " ".join(read.texts["td"] + read.texts["span"])
    for shown in (
        "0.925",
        "[0.894, 0.953]",
        "0.913",
        "[0.882, 0.941]",
        "0.860",
        "180 probes",
        "180 mated pairs",
    ):
        assert shown in cells
    lead = " ".join(read.texts["p"])
    assert "92.5% of searches without a key (plain) and 91.3% of searches under" in lead
    assert "reaches 9.0%, where guessing gives 5.0%" in lead


def test_no_limit_is_left_out_and_the_owner_is_warned(read: Reader) -> None:
    listed = " ".join(read.texts["strong"] + read.texts["li"])
    assert all(lead in listed and rest in listed for lead, rest in NOT_PROTECTED)
    assert "It stays with the owner" in " ".join(read.texts["p"])


def test_obfuscation_is_never_called_what_it_is_not(page: str) -> None:
    words = re.sub(r"is not encryption", "", re.sub(r"base64,[^\"]*", "", page))
    assert not re.search(r"encrypt|\bsecure\b|anonym", words, flags=re.IGNORECASE)


def test_a_failed_control_is_said_aloud(demo_results: DemoResults) -> None:
    broken = tuple(dataclasses.replace(row, control_ok=False) for row in demo_results.attacks)
    page = demo_page(dataclasses.replace(demo_results, attacks=broken))
    assert "says nothing about the leak" in page
    assert page.count("no: proves nothing") == 2


def test_fronts_are_drawn_with_guessing_and_the_strongest_attacker(
    read: Reader, demo_results: DemoResults
) -> None:
    drawn = next(d for d in read.all_of("svg") if "strongest attacker" in (d["aria-label"] or ""))
    assert "gaussian: student 0.700, attacker 0.990" in (drawn["aria-label"] or "")
    cells = " ".join(read.texts["td"])
    assert "ridge-denoiser" in cells
    assert "noisy-gallery" not in cells  # weaker, and its control failed besides
    without = demo_page(dataclasses.replace(demo_results, fronts=()))
    assert "Not run: with so few people" in without
    assert without.count("<svg") == 5


def test_the_same_results_give_the_same_bytes(page: str, demo_results: DemoResults) -> None:
    assert demo_page(demo_results) == page


def test_the_file_is_for_its_owner(tmp_path: Path, demo_results: DemoResults, page: str) -> None:
    path = tmp_path / "report.html"
    write_demo_report(path, demo_results)
    assert path.read_text(encoding="utf-8") == page
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_refuses_results_that_do_not_fit(demo_results: DemoResults) -> None:
    with pytest.raises(ShapeError, match="8 crops, 1 names, 8 plain"):
        dataclasses.replace(demo_results, names=("one",))
    with pytest.raises(ConfigError, match="at least one utility row"):
        dataclasses.replace(demo_results, utility=())
    with pytest.raises(ShapeError, match="196 tokens do not fill a grid of 7x7"):
        demo_page(dataclasses.replace(demo_results, grid=(7, 7)))


def test_a_log_of_the_results_shows_no_face_and_no_name(demo_results: DemoResults) -> None:
    text = repr(demo_results)
    assert "ORL faces" in text
    assert "array(" not in text.split("training=")[0]
    assert not any(name in text for name in demo_results.names)


def test_without_matplotlib_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from xnn.errors import MissingExtraError\n"
        "import xnn.report\n"
        "from xnn.report.svg import draw\n"
        "try: draw(lambda axes: None, name='x', alt='x')\n"
        "except MissingExtraError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'xnn-face[report]'" in done.stdout


def test_nan_tokens_are_refused(demo_results: DemoResults) -> None:
    tokens = demo_results.plain_tokens.copy()
    tokens[0, 0, 0] = np.nan
    with pytest.raises(ShapeError, match="NaN or infinity"):
        demo_page(dataclasses.replace(demo_results, plain_tokens=tokens))
