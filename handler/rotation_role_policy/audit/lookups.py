"""Look-ups in threads: each once, until all are done or the audit is stopped."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event
from typing import Any, Generic, TypeVar

from rotation_role_policy.aws.bulk import StoppedError
from rotation_role_policy.errors import AwsApiError, RequestError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

Progress = Callable[[str, int, int], None]
"""Gets what is looked up, how many look-ups are done, and how many there are so far."""

_EXPIRED_CODES = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "RequestExpired",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
}
_EXPIRED_ERRORS = {"NoCredentialsError", "SSOTokenLoadError", "TokenRetrievalError", "UnauthorizedSSOTokenError"}
"""botocore's own errors, by name: no call can succeed any more."""


class Workers:
    """The threads of an audit.

    Args:
        progress: called in the thread that waits.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._futures: list[Future[None]] = []
        self._executors: list[ThreadPoolExecutor] = []
        self.stopped = Event()
        """Set when the audit is stopped. The clients share it (`BulkAws.stopped`)."""
        self.reason = ""
        """Why the audit was stopped, as a sentence."""

    def executor(self, threads: int) -> ThreadPoolExecutor:
        """Return a new pool of threads, which `close` ends."""
        executor = ThreadPoolExecutor(threads)
        self._executors.append(executor)
        return executor

    def add(self, future: Future[None]) -> None:
        """Make `wait` wait for a look-up."""
        self._futures.append(future)

    def wait(self, phase: str) -> None:
        """Wait for all look-ups. Reports the progress under the name `phase`. Raises KeyboardInterrupt at Ctrl-C."""
        pending = set(self._futures)
        while pending:
            # The time limit lets Python handle Ctrl-C.
            _, pending = wait(pending, timeout=0.2)
            self._progress(phase, len(self._futures) - len(pending), len(self._futures))
        for future in self._futures:
            future.result()
        self._futures.clear()

    def stop(self, reason: str) -> None:
        """Start no further look-up, and let those that are running fail. The first reason counts."""
        self.reason = self.reason or reason
        self.stopped.set()

    def close(self) -> None:
        """End the threads. Look-ups that have not started are dropped."""
        for executor in self._executors:
            executor.shutdown(wait=False, cancel_futures=True)


class Lookups(Generic[Key, Value]):
    """The results of one kind of look-up, by what was looked up."""

    def __init__(self, workers: Workers, threads: int, look_up: Callable[[Key], Value]) -> None:
        self._workers = workers
        self._executor = workers.executor(threads)
        self._look_up = look_up
        self._added: set[Key] = set()
        self.values: dict[Key, Value] = {}
        self.errors: dict[Key, RequestError] = {}

    def add(self, key: Key) -> None:
        """Look `key` up, unless this was requested before."""
        if key not in self._added and not self._workers.stopped.is_set():
            self._added.add(key)
            self._workers.add(self._executor.submit(self._run, key))

    def add_all(self, keys: Iterable[Key]) -> None:
        """Look all `keys` up."""
        for key in keys:
            self.add(key)

    def _run(self, key: Key) -> None:
        if self._workers.stopped.is_set():
            return
        try:
            self.values[key] = self._look_up(key)
        except StoppedError:
            pass
        except RequestError as error:
            if is_expired(error):
                self._workers.stop(f"The credentials have expired ({describe(error)}).")
            else:
                self.errors[key] = error


def is_expired(error: RequestError) -> bool:
    """Return whether every further call would fail, because of the credentials."""
    return isinstance(error, AwsApiError) and error.code in _EXPIRED_CODES | _EXPIRED_ERRORS


def describe(error: RequestError) -> str:
    """Return AWS's error in words, without the provider's advice."""
    action: Any = getattr(error, "action", "")
    message: Any = getattr(error, "message", "") or str(error)
    code: Any = getattr(error, "code", "")
    if code:
        return f"{action} failed with {code}: {message}"
    return f"AWS denies {action}: {message}" if action else str(error)
