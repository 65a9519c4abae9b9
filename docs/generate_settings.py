"""Write the table of settings in docs/guides/service.md from the program itself."""

from pathlib import Path
from typing import get_args

from pydantic_core import PydanticUndefined

from xnn.server.settings import ServeSettings

PAGE = Path(__file__).parent / "guides" / "service.md"
BEGIN, END = "<!-- settings:begin -->", "<!-- settings:end -->"


def table() -> str:
    """Return the rows: name, what may be given, default, meaning."""
    rows = ["| name | takes | default | meaning |", "|---|---|---|---|"]
    for name, field in ServeSettings.model_fields.items():
        rows.append(f"| `{name}` | {_kind(field)} | {_default(field)} | {field.description} |")
    return "\n".join(rows)


def page(text: str) -> str:
    """Return the page with the table anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def _kind(field: object) -> str:
    annotation = field.annotation  # type: ignore[attr-defined]
    kinds = [kind for kind in (get_args(annotation) or (annotation,)) if kind is not type(None)]
    if "dict" in str(annotation):
        return "table"
    if all(isinstance(kind, str) for kind in kinds):
        return ", ".join(f"`{kind}`" for kind in kinds)
    names = {"str": "text", "int": "integer", "float": "number", "bool": "`true`, `false`"}
    return ", ".join(names.get(kind.__name__, kind.__name__.lower()) for kind in kinds)


def _default(field: object) -> str:
    default = field.default  # type: ignore[attr-defined]
    if default is PydanticUndefined:
        return "required"
    if default in (None, "", {}):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
