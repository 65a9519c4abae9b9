"""Lets the site show the pages that live in the repository's root, as mkdocs reads `docs` only."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
ROOT_PAGES = ("THREAT_MODEL.md", "WIRE_FORMAT.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")

_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:)([^)#]+)(#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of the root beside those of `docs`."""
    for name in ROOT_PAGES:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Point links into the site; a link to source code becomes the name of the file."""
    name = page.file.src_uri
    source = ROOT / name if name in ROOT_PAGES else ROOT / "docs" / name

    def rewritten(match: re.Match[str]) -> str:
        text, target, anchor = match[1], match[2], match[3] or ""
        path = (source.parent / target).resolve().relative_to(ROOT).as_posix()
        on_site = path.removeprefix("docs/") if path not in ROOT_PAGES else path
        if files.src_uris.get(on_site) is None:
            return text
        return f"[{text}]({'../' * name.count('/')}{on_site}{anchor})"

    return _LINK.sub(rewritten, markdown)
