"""The single-user strategy: the user sets its own password.

It makes the calls of SecretsManagerRDSPostgreSQLRotationSingleUser.
"""

from psycopg import sql

from .steps import connect, log_in, read, read_pending, run, secrets


def handler(event: dict[str, str], context: object) -> None:  # noqa: ARG001  # Lambda passes two
    """Run one step of a rotation."""
    run(event, lambda user: user, set_password)


def set_password(secret_id: str, token: str) -> None:
    """Set the new password, logged in with the current or the previous one."""
    try:
        previous = read(secret_id, "AWSPREVIOUS")
    except secrets.exceptions.ResourceNotFoundException:
        previous = None
    current, pending = read(secret_id), read_pending(secret_id, token)
    if connection := connect(pending):
        connection.close()
        return
    with connect(current) or log_in(previous or current, "current and the previous") as connection:
        user, password = sql.Identifier(pending["username"]), sql.Literal(pending["password"])
        connection.execute(sql.SQL("ALTER USER {} PASSWORD {}").format(user, password))
