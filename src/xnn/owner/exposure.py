"""The exposure budget of a key: how many records under it the red team needed, as measured.

Source: `exposure_budgets.json`, written by `benchmarks/exposure.py` from `xnn.redteam.exposure`.
Trust: owner.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from xnn.errors import ExposureError

_TABLE = "exposure_budgets.json"

POLICY_FACTOR = 10
"""A build is refused beyond this many times the measured count, unless told to go on: the leak is
then at or near its ceiling on every extractor measured. Where no count linked anybody, beyond this
many times what was tried: nothing is known of so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What was measured for a scheme behind one extractor."""

    scheme: str
    extractor: str
    records: int | None
    """Fewest records held at which linkage without any pair exceeded twice chance; None: never."""
    records_measured_to: int
    known_pairs: int | None
    """The same for known pairs, and people of whom none is known."""
    pairs_measured_to: int
    worst: float | None
    """Worst linkage rank-1 on the records curve, at any count."""
    chance: float | None

    @property
    def limit(self) -> int:
        """Records under one key beyond which a build is refused, unless told to go on."""
        return POLICY_FACTOR * (self.records or self.records_measured_to)

    def standing(self, num_records: int) -> str:
        """Say where a key with so many records stands."""
        first, tried, limit = self.records, self.records_measured_to, self.limit
        if num_records > limit:
            return f"{num_records} records: past the limit of {limit}; the next build is refused"
        if first is not None and num_records >= first:
            return f"{num_records} records: past the {first} that linked people; limit {limit}"
        if first is None and num_records > tried:
            return f"{num_records} records: past the {tried} that were tried; limit {limit}"
        return f"{num_records} records of {first or tried}; limit {limit}"

    def describe(self) -> str:
        """Say in one sentence what was measured."""
        behind = f"scheme {self.scheme!r} behind {self.extractor!r}"
        if self.records is None:
            return (
                f"{behind}: no attack of this suite linked records to people from the upload alone "
                f"with up to {self.records_measured_to} records under one key{self._pairs()}"
            )
        return (
            f"{behind}: {self.records} records under one key were enough to link records to people "
            f"without any known pair (worst rank-1 {self.worst:.2f}, guessing "
            f"{self.chance:.3f}){self._pairs()}"
        )

    def _pairs(self) -> str:
        """Say what known pairs add, for people of whom none is known."""
        if self.known_pairs is not None:
            return f"; {self.known_pairs} known pairs linked people of whom none was known"
        if self.pairs_measured_to:
            return f"; {self.pairs_measured_to} known pairs linked nobody else above twice chance"
        return ""


def find_budget(scheme: str, version: int, extractor: str) -> Budget | None:
    """Return the measured budget, or None where this scheme was not measured at all.

    Where it was measured behind other extractors only, the lowest of those is taken: hope is no
    measurement.
    """
    rows = [
        row
        for row in json.loads((files("xnn.owner") / _TABLE).read_text(encoding="utf-8"))["rows"]
        if (row["scheme"], row["scheme_version"]) == (scheme, version)
    ]
    if not rows:
        return None
    own = [row for row in rows if row["extractor"] == extractor.partition("@")[0]]
    return min((_read(row) for row in own or rows), key=_strictness)


def records_after(exposures: Mapping[str, int], upload: str, num_records: int) -> int:
    """Return all records under a key once an upload is built, which may have been begun before.

    Args:
        exposures: Records made under the key so far, by upload.
        upload: Name of the upload.
        num_records: Records in it.
    """
    others = sum(count for name, count in exposures.items() if name != upload)
    return others + max(num_records, exposures.get(upload, 0))


def check_exposure(
    budget: Budget | None, num_records: int, *, accept: bool, scheme: str
) -> str | None:
    """Decide about making more records under a key.

    Args:
        budget: From `find_budget`.
        num_records: All records under the key once the build is done.
        accept: Whether the owner said to go on past the limit.
        scheme: For the message.

    Returns:
        A warning to show, or None.

    Raises:
        ExposureError: The limit would be passed and `accept` is False.
    """
    if budget is None:
        return f"the exposure of scheme {scheme!r} was never measured: nothing is known of its leak"
    limit = budget.limit
    if num_records > limit and not accept:
        raise ExposureError(
            f"{num_records} records under one key, the limit is {limit}; {budget.describe()}; use "
            "another scheme, divide the data over keys, or pass --accept-exposure"
        )
    if budget.records is not None and num_records >= budget.records:
        return f"{num_records} records under one key: {budget.describe()}"
    if budget.records is None and num_records > budget.records_measured_to:
        return f"{num_records} records under one key are more than were tried: {budget.describe()}"
    return None


def _read(row: dict[str, Any]) -> Budget:
    names = (
        "scheme", "extractor", "records", "records_measured_to", "known_pairs",
        "pairs_measured_to", "worst", "chance",
    )  # fmt: skip
    return Budget(**{name: row[name] for name in names})


def _strictness(budget: Budget) -> float:
    return float("inf") if budget.records is None else float(budget.records)
