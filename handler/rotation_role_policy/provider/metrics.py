"""The provider's log and metrics, in Lambda's JSON log format.

The Lambda runtime formats each log record as one JSON object, with the `extra` fields of the logger call at the top
level (template.yaml, LoggingConfig). Each line says what was decided and why. The event, its signed ResponseURL and a
secret's value are never logged.
Source: https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html
"""

import logging
import time
from typing import Any

METRICS_NAMESPACE = "RotationRolePolicy"
"""Namespace of the provider's metrics. template.yaml has alarms and a dashboard for them."""

WARNINGS = ("AccessCheckWarnings", "RollbackWarnings")
"""Metrics of warnings: grants that the access check could not decide, and Updates of a rollback that kept the existing
policy."""

_request_fields: dict[str, str] = {}


def configure(**request_fields: str) -> None:
    """Start the log of one request. Each of its lines has `request_fields`, such as ``stack`` and ``resource``."""
    _request_fields.clear()
    _request_fields.update(request_fields)
    logging.getLogger("rotation_role_policy").setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_add_request_fields)


def _add_request_fields(record: logging.LogRecord) -> bool:
    record.__dict__.update(_request_fields)
    return True


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
