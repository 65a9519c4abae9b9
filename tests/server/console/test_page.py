"""The page for everybody: keyboard, phone, refusals, policy, camera."""

from pathlib import Path

import numpy as np
import pytest
from browser import ARGUMENTS, CHROMIUM, Watched, need_browser, watch
from people_at_the_page import go_to, photograph, show_pictures, sign_in
from PIL import Image
from playwright.sync_api import Browser, Page

from served import Running

VIEWS = ("Recognise", "Enrol", "Subjects", "Service", "Privacy")
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def console(shared: Running) -> str:
    return f"{shared.url}/console/"


@pytest.fixture
def key(shared: Running) -> str:
    return shared.site.keys["b"]


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.id || document.activeElement.innerText")


def tab_to(page: Page, wanted: str) -> None:
    """Press the tabulator until something has the focus, and see that one sees where it is."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if focused(page) == wanted:
            return
    pytest.fail(f"{wanted!r} is not reached by the keyboard")


def test_by_keyboard_alone(
    open_page, console: str, key: str, orl_photos: Path, tmp_path: Path
) -> None:
    page = open_page(console).page
    page.wait_for_selector("input[type=password]:focus")  # the first field has the focus
    page.keyboard.type(key)
    page.keyboard.press("Enter")
    page.wait_for_selector("main h1:text-is('Recognise')")
    assert focused(page) == "main"  # a reader goes on at the new content
    page.keyboard.press("Shift+Tab")
    tab_to(page, "Enrol")
    page.keyboard.press("Enter")
    page.wait_for_selector("main h1:text-is('Enrol')")
    page.keyboard.press("Tab")
    page.keyboard.type("by-keyboard")
    tab_to(page, "Choose pictures")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(photograph(orl_photos, tmp_path, 5, 1))
    page.wait_for_selector(".border-card")
    tab_to(page, "Enrol 1 picture")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=status]:has-text('by-keyboard is enrolled')")
    tab_to(page, "Find them with another picture")
    page.keyboard.press("Enter")
    page.wait_for_selector("main h1:text-is('Recognise')")
    tab_to(page, "mode-search")
    page.keyboard.press("ArrowRight")
    assert focused(page) == "mode-verify"
    page.wait_for_selector("label:text-is('Subject')")
    page.evaluate("document.getElementById('main').focus()")
    page.keyboard.press("Shift+Tab")
    assert focused(page) == "out"
    page.keyboard.press("Enter")
    page.wait_for_selector("input[type=password]")


def test_on_a_phone_nothing_is_wider_than_the_page(
    open_page, console: str, key: str, orl_photos: Path, tmp_path: Path
) -> None:
    watched = open_page(console, **PHONE)
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert watched.run(wide) <= 0
    sign_in(watched, key)
    for title in VIEWS:
        if title == "Privacy":
            watched.page.click("nav a:text-is('Privacy')")
        else:
            go_to(watched, title)
        if title in ("Recognise", "Enrol"):
            show_pictures(watched, photograph(orl_photos, tmp_path, 5, 2))
        assert watched.run(wide) <= 0, title
        small = watched.run(
            """() => [...document.querySelectorAll('main button, main .button, nav a')]
                 .filter((e) => e.offsetParent && e.getBoundingClientRect().height < 28)
                 .map((e) => e.innerText)"""
        )
        assert small == [], title


NAMELESS = """() => [...document.querySelectorAll('input, select, button, a, canvas, img')]
  .filter((e) => !(e.labels?.length || e.innerText?.trim() ||
                   e.getAttribute('aria-label') || e.hasAttribute('alt')))
  .map((e) => e.outerHTML.slice(0, 80))"""

# Contrast of every text with its ground, by WCAG 2; the ground is the nearest one that is painted.
FAINT = """() => {
  const parse = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.offsetParent) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push(`${e.innerText.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return faint;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_a_name_and_can_be_read(
    open_page, console: str, key: str, scheme: str, orl_photos: Path, tmp_path: Path
) -> None:
    watched = open_page(console, color_scheme=scheme, reduced_motion="reduce")
    watched.page.wait_for_selector("h1")
    grounds = [watched.run("getComputedStyle(document.body).backgroundColor")]
    assert watched.run(NAMELESS) == []
    assert watched.run(FAINT) == []
    sign_in(watched, key)
    for title in VIEWS:
        watched.page.click(f"nav a:text-is('{title}')")
        if title == "Recognise":
            show_pictures(watched, photograph(orl_photos, tmp_path, 5, 2))
            watched.page.click("button[type=submit]")
            watched.page.wait_for_selector(".answer")
        if title == "Service":
            watched.page.wait_for_selector(".tile")
        assert watched.page.locator("main h1").count() == 1
        assert watched.run(NAMELESS) == [], title
        assert watched.run(FAINT) == [], title
    assert grounds == [{"light": "rgb(246, 247, 249)", "dark": "rgb(14, 20, 27)"}[scheme]]


def test_refusals_are_said_in_words(open_page, console: str, key: str, shared: Running) -> None:
    watched = open_page(console)
    page = watched.page
    page.fill("input[type=password]", "secret")
    page.click("button[type=submit]")
    page.wait_for_selector("[role=alert]:has-text('This is no API key')")
    page.fill("input[type=password]", f"xnn_{'0' * 12}_{'A' * 43}")
    page.click("button[type=submit]")
    page.wait_for_selector("[role=alert]:has-text('valid API key')")
    assert all("401" in line for line in watched.complaints)
    watched.complaints.clear()
    sign_in(watched, shared.site.new_key("b", ["search"]))
    go_to(watched, "Subjects")
    page.get_by_label("New subject").fill("somebody")
    page.click("button:text-is('Add')")
    page.wait_for_selector("[role=alert]:has-text('role')")
    assert all("403" in line for line in watched.complaints)
    watched.complaints.clear()


def test_a_picture_without_a_face_is_refused_here(
    open_page, console: str, key: str, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    (tmp_path / "text.png").write_text("no picture")
    watched = open_page(console)
    sign_in(watched, key)
    go_to(watched, "Enrol")
    show_pictures(watched, tmp_path / "noise.png", tmp_path / "text.png")
    words = watched.page.locator(".refused").all_inner_texts()
    assert "No face was found" in words[0]
    assert "no picture that the browser can read" in words[1]
    watched.page.get_by_label("Subject").fill("nobody")
    watched.page.click("button[type=submit]")
    watched.page.wait_for_selector("[role=alert]:has-text('Choose pictures')")
    assert [seen for seen in watched.requests if seen.body] == []


def test_the_key_is_kept_on_request_only(open_page, console: str, key: str) -> None:
    watched = open_page(console)
    page = watched.page
    sign_in(watched, key)
    stored = "JSON.stringify({ ...sessionStorage, ...localStorage }) + document.cookie"
    assert watched.run(stored) == "{}"
    page.reload()
    page.wait_for_selector("input[type=password]")
    page.check("#keep")
    sign_in(watched, key)
    page.reload()
    page.wait_for_selector("nav a[aria-current]")
    page.click("text=Sign out")
    page.wait_for_selector("input[type=password]")
    assert watched.run(stored) == "{}"
    assert not any(key in seen.url for seen in watched.requests)


def test_the_policy_stops_what_does_not_belong(open_page, console: str) -> None:
    """Positive control: the tests would see a violation."""
    watched = open_page(console)
    watched.page.wait_for_selector("h1")
    watched.run(
        """() => { const s = document.createElement('script'); s.textContent = 'window.bad = 1';
                   document.body.append(s); document.body.setAttribute('style', 'color: red'); }"""
    )
    watched.run("() => fetch('http://127.0.0.1:9/').catch(() => null)")
    assert watched.run("window.bad") is None
    assert len([line for line in watched.complaints if "Content Security Policy" in line]) >= 3
    watched.complaints.clear()


def test_it_says_what_it_does_not_protect(open_page, console: str) -> None:
    page = open_page(f"{console}#/privacy").page
    text = page.locator("main").inner_text()
    assert "An operator who changes it could make it send the photograph" in text
    assert "xnn device" in text
    assert page.locator("nav").is_hidden()  # readable before anybody signs in


def test_a_console_that_was_not_built_says_so(open_page, console: str) -> None:
    watched = open_page("about:blank")
    watched.page.route("**/vendor/*", lambda route: route.fulfill(status=404, body="{}"))
    watched.page.goto(console)
    watched.page.wait_for_selector(".alert:has-text('make console')")
    watched.complaints.clear()


@pytest.fixture
def before_a_camera(orl_photos: Path, tmp_path: Path, chromium: Browser) -> Browser:
    """A browser whose camera sees a real face: a film of one picture."""
    need_browser()
    with Image.open(orl_photos / "s5" / "3.pgm") as image:
        grey = np.asarray(image.resize((276, 336), Image.Resampling.BICUBIC))
    frame = np.full((480, 640), 90, np.uint8)
    frame[72:408, 182:458] = grey
    colour = np.full(640 * 480 // 2, 128, np.uint8).tobytes()
    film = tmp_path / "camera.y4m"
    film.write_bytes(
        b"YUV4MPEG2 W640 H480 F10:1 Ip A1:1 C420\n" + (b"FRAME\n" + frame.tobytes() + colour) * 3
    )
    film_argument = f"--use-file-for-fake-video-capture={film}"
    return chromium.browser_type.launch(
        executable_path=CHROMIUM, headless=True, args=[*ARGUMENTS, film_argument]
    )


def test_a_face_before_the_camera_is_found(
    before_a_camera: Browser, console: str, key: str
) -> None:
    watched: Watched = watch(before_a_camera, permissions=["camera"])
    page = watched.page
    page.goto(console)
    sign_in(watched, key)
    page.click("text=Use the camera")
    page.wait_for_function("() => document.querySelector('video').videoWidth > 0")
    page.click("text=Take a picture")
    page.wait_for_selector(".border-card:not(.refused)")
    assert "640 \N{MULTIPLICATION SIGN} 480" in page.locator(".stays").inner_text()
    page.click("text=Close the camera")
    assert watched.run("document.querySelector('video').srcObject") is None
    assert [seen for seen in watched.requests if seen.body] == []
    assert watched.complaints == []
    before_a_camera.close()
