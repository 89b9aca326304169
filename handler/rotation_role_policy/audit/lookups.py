"""Look-ups in threads: each once, until all are done or the audit is stopped."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Event, Lock
from types import TracebackType
from typing import Any, Generic, TypeVar

from rotation_role_policy.audit.bulk import StoppedError
from rotation_role_policy.audit.facts import (
    FailedCall,
    InternalError,
    Known,
    Problem,
    Stopped,
    Unknown,
    Unusable,
    UnusableKey,
)
from rotation_role_policy.audit.messages import failures
from rotation_role_policy.errors import AccessDeniedError, AwsApiError, CallError, RequestError
from rotation_role_policy.lookup.keys import KeyUnusableError

logger = logging.getLogger(__name__)

CONTAINED_ERRORS: tuple[type[Exception], ...] = (Exception,)
"""Errors of the audit itself that become a finding about what they belong to. Tests let them fail the test."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

Progress = Callable[[str, int, int], None]
"""Gets what was looked up, how many look-ups are done, and how many there are so far. Called in many threads."""

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


class UnusableError(Exception):
    """What AWS returned cannot be used. `str()` of the error says why, without a part of the response."""


class Workers:
    """The threads of an audit, which the caller passes in. Use it as a context manager.

    Args:
        progress: is told of each look-up that is done.
    """

    def __init__(self, progress: Progress = lambda *_: None) -> None:
        self._progress = progress
        self._executors: list[ThreadPoolExecutor] = []
        self._lock = Lock()
        self._unfinished: set[Future[Any]] = set()
        self._begun: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self.stopped = Event()
        """Set when the audit is stopped. The clients share it (`bulk.Adaptive`)."""
        self.reason = ""
        """Why the audit was stopped, as a sentence."""

    def __enter__(self) -> Workers:
        """Return the workers."""
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        """End the threads. Look-ups that have not started are dropped, and nobody waits for them any more."""
        self.stop(self.reason)
        for executor in self._executors:
            executor.shutdown(wait=False, cancel_futures=True)

    def executor(self, threads: int) -> ThreadPoolExecutor:
        """Return a new pool of threads."""
        executor = ThreadPoolExecutor(threads)
        self._executors.append(executor)
        return executor

    def stop(self, reason: str) -> None:
        """End the audit: all look-ups that are not done have the result `Stopped`. The first reason counts."""
        with self._lock:
            self.reason = self.reason or reason
            self.stopped.set()
            unfinished, self._unfinished = self._unfinished, set()
        for future in unfinished:
            future.set_result(Unknown(Stopped()))

    def promise(self) -> Future[Known[Any] | Unknown]:
        """Return the future result of a look-up (`run`). If the audit is stopped meanwhile, the result is `Stopped`."""
        future: Future[Known[Any] | Unknown] = Future()
        with self._lock:
            if self.stopped.is_set():
                future.set_result(Unknown(Stopped()))
            else:
                self._unfinished.add(future)
        return future

    def expect(self, what: str) -> None:
        """Count a look-up that will run. `what` names it for the progress."""
        with self._lock:
            self._begun[what] += 1

    def run(
        self, future: Future[Known[Value] | Unknown], what: str, look_up: Callable[[], Known[Value] | Unknown]
    ) -> None:
        """Run a look-up in this thread, unless the audit is stopped."""
        if future.done():
            return
        try:
            result: Known[Value] | Unknown | None = look_up()
            failure: Exception | None = None
        except Exception as error:  # raised again in the thread that needs the result
            result, failure = None, error
        with self._lock:
            self._done[what] += 1
        try:
            self._progress(what, self._done.total(), self._begun.total())
        finally:
            self._finish(future, result, failure)

    def _finish(
        self, future: Future[Known[Value] | Unknown], result: Known[Value] | Unknown | None, failure: Exception | None
    ) -> None:
        with self._lock:
            # Otherwise the audit was stopped in the meantime.
            is_wanted = future in self._unfinished
            self._unfinished.discard(future)
        if is_wanted and failure:
            future.set_exception(failure)
        elif is_wanted and result:
            future.set_result(result)


class Lookups(Generic[Key, Value]):
    """One kind of look-up: each key once, in threads.

    Args:
        workers: of the audit.
        what: the name of the look-ups, for the progress.
        threads: how many are looked up at the same time.
        look_up: makes one look-up. A `RequestError` becomes `Unknown`.
    """

    def __init__(self, workers: Workers, what: str, threads: int, look_up: Callable[[Key], Value]) -> None:
        self._workers = workers
        self._what = what
        self._threads = threads
        self._executor = workers.executor(threads)
        self._look_up = look_up
        self._lock = Lock()
        # Thousands of keys wait. A future, or a task of an executor, takes ten times the memory of a key.
        self._waiting: deque[Key] = deque()
        self._running = 0
        self._results: dict[Key, Future[Known[Value] | Unknown] | Known[Value] | Unknown | None] = {}
        """None for a key that waits and that nobody waits for."""

    def start(self, key: Key) -> None:
        """Look `key` up in the background, unless this was requested before."""
        with self._lock:
            if key in self._results:
                return
            self._results[key] = None
            self._waiting.append(key)
            self._workers.expect(self._what)
            # After a stop, no thread starts any more (`Workers.promise`).
            is_thread_needed = self._running < self._threads and not self._workers.stopped.is_set()
            self._running += is_thread_needed
        if is_thread_needed:
            self._executor.submit(self._run)

    def get(self, key: Key) -> Known[Value] | Unknown:
        """Return the result for `key`. Wait until it is looked up, and start that if nobody has requested it."""
        self.start(key)
        with self._lock:
            result = self._promised(key)
        if isinstance(result, Future):
            result = self._results[key] = result.result()
        return result

    def _promised(self, key: Key) -> Future[Known[Value] | Unknown] | Known[Value] | Unknown:
        result = self._results[key]
        if result is None:
            result = self._results[key] = self._workers.promise()
        return result

    def _run(self) -> None:
        """Look keys up until none waits."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._running -= 1
                    return
                key = self._waiting.popleft()
                promised = self._promised(key)
            if isinstance(promised, Future):
                try:
                    self._workers.run(promised, self._what, partial(self._fact, key))
                except Exception:
                    # The other keys must not wait for ever.
                    logger.exception("the progress of the audit failed")
                if promised.exception() is None:
                    self._results[key] = promised.result()

    def failures(self) -> list[Problem]:
        """Return why look-ups that are done have failed, each reason of AWS once, without those that were stopped."""
        with self._lock:
            results = list(self._results.values())
        done = (each.result() if isinstance(each, Future) else each for each in results if _is_done(each))
        problems = [
            each.problem for each in done if isinstance(each, Unknown) and not isinstance(each.problem, Stopped)
        ]
        return list({_reason(each): each for each in problems}.values())

    def _fact(self, key: Key) -> Known[Value] | Unknown:
        try:
            return Known(self._look_up(key))
        except StoppedError:
            return Unknown(Stopped())
        except RequestError as error:
            problem = problem_of(error)
            if is_expired(error):
                self._workers.stop(f"The credentials have expired ({failures.problem(problem)}).")
                return Unknown(Stopped())
            return Unknown(problem)
        except UnusableError as error:
            return Unknown(Unusable(str(error)))
        except CONTAINED_ERRORS as error:
            return Unknown(internal_error(str(key), error))


def _is_done(result: object) -> bool:
    return result is not None and (not isinstance(result, Future) or result.done())


def _reason(problem: Problem) -> object:
    return (problem.action, problem.code) if isinstance(problem, FailedCall) else problem


def internal_error(what: str, error: Exception) -> InternalError:
    """Return an unexpected error as data, and log it. `what` is the ARN or name of what could not be inspected."""
    logger.error("internal error in the audit of %s", what, exc_info=error)
    return InternalError(type(error).__name__, str(error))


def is_expired(error: RequestError) -> bool:
    """Return whether every further call would fail, because of the credentials."""
    return isinstance(error, AwsApiError) and error.code in _EXPIRED_CODES | _EXPIRED_ERRORS


def problem_of(error: RequestError) -> Problem:
    """Return an error as data."""
    match error:
        case CallError():
            return FailedCall(error.action, error.code, error.message, isinstance(error, AccessDeniedError))
        case KeyUnusableError():
            return UnusableKey(error.secret_name, error.problem, error.labels)
    return Unusable(str(error))
