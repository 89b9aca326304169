"""Look-ups in threads: each once, until all are done or the audit is stopped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Event, Lock
from typing import Any, Generic, TypeVar

from rotation_role_policy.audit.bulk import StoppedError
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
        self._executors: list[ThreadPoolExecutor] = []
        self._lock = Lock()
        self._begun = self._done = 0
        self.stopped = Event()
        """Set when the audit is stopped. The clients share it (`BulkAws.stopped`)."""
        self.reason = ""
        """Why the audit was stopped, as a sentence."""

    def executor(self, threads: int) -> ThreadPoolExecutor:
        """Return a new pool of threads, which `close` ends."""
        executor = ThreadPoolExecutor(threads)
        self._executors.append(executor)
        return executor

    def watch(self, future: Future[None]) -> None:
        """Count a look-up for the progress."""
        with self._lock:
            self._begun += 1
        future.add_done_callback(self._count_done)

    def _count_done(self, _: Future[None]) -> None:
        with self._lock:
            self._done += 1

    def wait(self, what: str, futures: Collection[Future[None]]) -> None:
        """Wait for look-ups, and report the progress of all. Raises KeyboardInterrupt at Ctrl-C."""
        pending = set(futures)
        while pending:
            # The time limit lets Python handle Ctrl-C.
            _, pending = wait(pending, timeout=0.2)
            self._progress(what, self._done, self._begun)
        for future in futures:
            future.result()

    def stop(self, reason: str) -> None:
        """Start no further look-up, and let those that are running fail. The first reason counts."""
        self.reason = self.reason or reason
        self.stopped.set()

    def close(self) -> None:
        """End the threads. Look-ups that have not started are dropped."""
        for executor in self._executors:
            executor.shutdown(wait=False, cancel_futures=True)


class Lookups(Generic[Key, Value]):
    """The results of one kind of look-up, by what was looked up.

    Args:
        workers: of the audit.
        what: the name of the look-ups, for the progress.
        threads: how many are looked up at the same time.
        look_up: makes one look-up. A `RequestError` becomes one of `errors`.
    """

    def __init__(self, workers: Workers, what: str, threads: int, look_up: Callable[[Key], Value]) -> None:
        self._workers = workers
        self._what = what
        self._executor = workers.executor(threads)
        self._look_up = look_up
        self._futures: dict[Key, Future[None]] = {}
        """Of the look-ups for which nobody has waited."""
        self._added: set[Key] = set()
        self.values: dict[Key, Value] = {}
        self.errors: dict[Key, RequestError] = {}

    def add(self, key: Key) -> None:
        """Look `key` up, unless this was requested before."""
        if key not in self._added and not self._workers.stopped.is_set():
            self._added.add(key)
            future = self._executor.submit(self._run, key)
            self._futures[key] = future
            self._workers.watch(future)

    def add_all(self, keys: Iterable[Key]) -> None:
        """Look all `keys` up."""
        for key in keys:
            self.add(key)

    def wait(self, keys: Iterable[Key] | None = None) -> None:
        """Wait until `keys`, by default all, have been looked up."""
        wanted = list(self._futures) if keys is None else [key for key in keys if key in self._futures]
        self._workers.wait(self._what, [self._futures[key] for key in wanted])
        # A future takes more memory than most results.
        for key in wanted:
            del self._futures[key]

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
