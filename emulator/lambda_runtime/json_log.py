"""Lambda's JSON log format, for functions that do not run in Lambda's own runtime: in MiniStack, in unit tests.

A test compares it with the runtime's own formatter (tests/e2e/test_runtime.py).
"""

import json
import logging
import sys
import time
import traceback
from typing import Any

_ATTRIBUTES = set(logging.makeLogRecord({}).__dict__)
"""What each log record has. Anything else is an `extra` field."""


class JsonFormatter(logging.Formatter):
    """Formats a record as Lambda's runtime does: `extra` fields are at the top level."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, Any] = {
            "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info and record.exc_info[0]:
            line["stackTrace"] = traceback.format_tb(record.exc_info[2])
            line["errorType"] = record.exc_info[0].__name__
            line["errorMessage"] = str(record.exc_info[1])
        line |= {name: value for name, value in record.__dict__.items() if name not in _ATTRIBUTES}
        return json.dumps(line, default=str, ensure_ascii=False)


class StdoutHandler(logging.Handler):
    """Writes to the `sys.stdout` of the moment, which MiniStack and pytest replace."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        sys.stdout.write(f"{self.format(record)}\n")
        sys.stdout.flush()


def install() -> StdoutHandler:
    """Add a handler with this format to the root logger, as Lambda's runtime does."""
    handler = StdoutHandler()
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)
    return handler
