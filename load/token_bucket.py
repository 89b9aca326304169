"""A token bucket, by which the benchmarks admit calls at the rate of a quota."""

import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class TokenBucket:
    """A bucket that holds the tokens of one second, and the calls that it has admitted and throttled."""

    rate: float
    """Calls per second."""
    admitted: Counter[str] = field(default_factory=Counter)
    """By IAM action."""
    throttled: int = 0
    first: float = 0.0
    """Time of the first call."""
    last: float = 0.0
    """Time of the last admitted call."""

    def __post_init__(self) -> None:
        self._tokens = self.rate
        self._filled = time.monotonic()

    def admits(self, action: str) -> bool:
        """Return whether there is a token for a call, and take it."""
        now = time.monotonic()
        self.first = self.first or now
        self._tokens = min(self.rate, self._tokens + (now - self._filled) * self.rate)
        self._filled = now
        if self._tokens < 1:
            self.throttled += 1
            return False
        self._tokens -= 1
        self.admitted[action] += 1
        self.last = now
        return True
