"""The log: one JSON object a line, whatever the runtime's own log format.

It says what was decided and why. The event as it came, its signed ResponseURL and a secret's value are never in it.
"""

import json
import logging
import sys
import time
from typing import Any

METRICS_NAMESPACE = "RotationRolePolicy"
"""Of the provider's own metrics; template.yaml has an alarm and a dashboard of them."""

_FACTS = "facts"


def facts(**facts: Any) -> dict[str, Any]:
    """The `extra` of a logger's call: `facts` become members of the line's JSON object."""
    return {_FACTS: facts}


def measured(provider: str, kind: str, **values: float) -> dict[str, Any]:
    """Facts of which CloudWatch makes metrics, by the name of the provider function.

    `values` are counts, but for ``Duration``, which is in milliseconds. `kind` says what a request failed of, and is
    empty for one that did not: by kind there is the metric ``FailedRequests`` alone.
    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    directives = [_directive(["Provider"], list(values))]
    by_kind = {}
    if kind:
        directives.append(_directive(["Provider", "Kind"], ["FailedRequests"]))
        by_kind = {"Kind": kind}
    embedded = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": directives}
    return {"_aws": embedded, "Provider": provider, **by_kind, **values}


def _directive(dimensions: list[str], names: list[str]) -> dict[str, Any]:
    units = [{"Name": name, "Unit": "Milliseconds" if name == "Duration" else "Count"} for name in names]
    return {"Namespace": METRICS_NAMESPACE, "Dimensions": [dimensions], "Metrics": units}


def start(**request: str) -> None:
    """Begins the lines of one request; each carries `request`, such as its RequestType and LogicalResourceId."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonFormatter(request))
    package = logging.getLogger(__package__)
    package.handlers = [handler]
    package.setLevel(logging.INFO)
    # The runtime's own handler would write each line a second time, as text.
    package.propagate = False


class _JsonFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def __init__(self, request: dict[str, str]) -> None:
        super().__init__()
        self._request = request

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "timestamp": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "message": record.getMessage(),
            **self._request,
            **getattr(record, _FACTS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
