"""Logs as one JSON object a line. No biometric data; no subject unless the operator asks."""

import json
import logging
import sys
import time
import traceback
from typing import Any, final

LOGGER = logging.getLogger("xnn.server")
FIELDS = "xnn_fields"
"""Name under which a record carries its own fields."""


@final
class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, and the event's fields.

    Of an exception its class and the places of its trace are written, not its text: libraries put
    values into texts, and a value could be a vector or a name.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _describe(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def log(level: int, event: str, *, error: BaseException | None = None, **fields: Any) -> None:
    """Write a line of the service's own log."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, event, exc_info=error, extra={FIELDS: fields})


def configure(level: str) -> None:
    """Send everything to stderr as JSON; uvicorn's own access log stays off, ours replaces it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("xnn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(level.upper())
    logging.getLogger("uvicorn.access").disabled = True


def _describe(error: BaseException) -> dict[str, Any]:
    places = [
        f"{frame.filename.rpartition('/')[2]}:{frame.lineno}:{frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]
    return {"class": type(error).__name__, "trace": places[-12:]}
