"""One run as one readable HTML page, with no network and no scripts."""

from xnn.report.demo_report import demo_page, write_demo_report
from xnn.report.results import (
    AttackRow,
    CurveWithBand,
    DemoResults,
    TrainingCurve,
    UtilityRow,
)

__all__ = [
    "AttackRow",
    "CurveWithBand",
    "DemoResults",
    "TrainingCurve",
    "UtilityRow",
    "demo_page",
    "write_demo_report",
]
