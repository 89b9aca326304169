"""The provider's log and metrics: one JSON object per line, in the same form whatever log format Lambda is set to.

Each line says what was decided and why. The event, its signed ResponseURL and a secret's value are never logged.

Lambda's own JSON log format cannot replace this formatter: it puts `extra` fields at the top level, but it drops a
field that is a dict, such as ``_aws``, from which CloudWatch makes the metrics (tests/e2e/test_runtime.py).
"""

import json
import logging
import sys
import time
from typing import Any

METRICS_NAMESPACE = "RotationRolePolicy"
"""Namespace of the provider's metrics. template.yaml has alarms and a dashboard for them."""

_LOG_FIELDS = "log_fields"


def log_fields(**fields: Any) -> dict[str, Any]:
    """Return the `extra` argument of a logger call that adds `fields` to the line's JSON object."""
    return {_LOG_FIELDS: fields}


def emf_metrics(provider: str, error_code: str, **values: float) -> dict[str, Any]:
    """Return log fields from which CloudWatch makes metrics (embedded metric format).

    Args:
        provider: name of the provider function, the dimension ``Provider``.
        error_code: the `ErrorCode` of a failed request, else empty. It adds the metric ``FailedRequests`` by
            ``ErrorCode``.
        values: the metrics by name. All are counts, except ``Duration`` in milliseconds.

    Source:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    directives = [_directive(["Provider"], list(values))]
    dimensions = {"Provider": provider}
    if error_code:
        directives.append(_directive(["Provider", "ErrorCode"], ["FailedRequests"]))
        dimensions["ErrorCode"] = error_code
    metadata = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": directives}
    return {"_aws": metadata, **dimensions, **values}


def _directive(dimensions: list[str], names: list[str]) -> dict[str, Any]:
    metrics = [{"Name": name, "Unit": "Milliseconds" if name == "Duration" else "Count"} for name in names]
    return {"Namespace": METRICS_NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics}


def configure(**request_fields: str) -> None:
    """Start the log of one request. Each of its lines has `request_fields`, such as ``stack`` and ``resource``."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonFormatter(request_fields))
    package_logger = logging.getLogger(__package__)
    package_logger.handlers = [handler]
    package_logger.setLevel(logging.INFO)
    # The runtime's own handler would write each line a second time, as text.
    package_logger.propagate = False


class _JsonFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def __init__(self, request_fields: dict[str, str]) -> None:
        super().__init__()
        self._request_fields = request_fields

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "timestamp": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "message": record.getMessage(),
            **self._request_fields,
            **getattr(record, _LOG_FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
