"""Write docs/reference/attacks.md from the suite itself.

With --check nothing is written; the exit status is 1 if the page is not what would be written.
"""

import argparse
import sys
from pathlib import Path

from xnn.attacks.knowledge import LEVELS
from xnn.attacks.suite import ATTACKS

PAGE = Path(__file__).parent / "reference" / "attacks.md"

_INTRODUCTION = """\
# Attacks

Written by `docs/generate_attacks.py` from the program; do not edit.

An attack sees an `Observation` and nothing else: what crossed the border, and what the stated
knowledge grants. It answers in parts (scores, features, pictures, a key, membership), and a judge
that knows the truth measures each part. `xnn attack list` shows the same table; `xnn board` and
`xnn attack run NAME` run them, `xnn bench noise` those on the inference phase.

What they reach is on the [board](../schemes.md); by number of records, on rebuilt faces and on a
secret ReLU layer in the [research log](../research/redteam.md).

## What an attacker may hold

| level | beside the records |
|---|---|
"""

_ATTACKS = """
## The suite

Every attack has a positive control: the scheme named here, which it must break in the same run
with the same budget. Where the control fails, the result is *not working*, which says nothing of
any scheme.

| attack | phase | asks for | control | what it does | source |
|---|---|---|---|---|---|
"""


def page() -> str:
    """Return the whole page."""
    levels = [f"| {level} | {words} |" for level, words in LEVELS.items()]
    rows = []
    for name, attack in sorted(ATTACKS.items(), key=lambda one: (one[1].card.phase[::-1], one[0])):
        card = attack.card
        learned = " (trains a network)" if card.learned else ""
        rows.append(
            f"| `{name}` | {card.phase} | {card.goal} | `{card.control}` | {card.summary}{learned} "
            f"| {card.source} |"
        )
    return f"{_INTRODUCTION}{chr(10).join(levels)}\n{_ATTACKS}{chr(10).join(rows)}\n"


def main() -> int:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        return int(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
