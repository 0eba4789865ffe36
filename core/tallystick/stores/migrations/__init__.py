"""
The history of the schema, run by Alembic from inside the package.

There is no ``env.py`` and no ``alembic.ini``: Alembic's environment and its ``op`` are variables of
the whole process, and a ledger may well be opened in another thread, or by what a user's own
``env.py`` imports. Each revision is handed its operations as an argument instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError

from tallystick.stores._revision import MARIADB, VERSION_TABLE

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["FAILURES", "VERSIONS", "context", "downgrade", "head", "known", "upgrade"]

#: one file per revision
VERSIONS = Path(__file__).parent / "versions"
#: what Alembic itself raises, also where another process was faster
FAILURES = (CommandError, RevisionError)


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(VERSIONS.parent, version_locations=[str(VERSIONS)])


def head() -> str | None:
    """The newest revision that the package brings."""
    return _scripts().get_current_head()


def known(revision: str) -> bool:
    """Whether the package brings *revision*, by its full name."""
    return any(script.revision == revision for script in _scripts().walk_revisions())


def context(connection: Connection, **options: Any) -> MigrationContext:
    """Alembic's view of *connection*; changes nothing."""
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, **options})


def upgrade(connection: Connection, target: str) -> None:
    """
    Bring the tables from where they are to *target*, in the caller's transaction.

    MariaDB and MySQL know none for this: there, what was cut off is finished by the next call.
    """
    scripts = _scripts()

    def steps(heads: tuple[str, ...], _: MigrationContext) -> list[RevisionStep]:
        newest_first = list(scripts.iterate_revisions(target, heads, implicit_base=True))
        up = MigrationStep.upgrade_from_script
        return [up(scripts.revision_map, script) for script in reversed(newest_first)]

    alembic = context(connection, fn=steps)
    if _on_mariadb(connection):
        from tallystick.stores._mariadb_schema import begin

        begin(_operations(alembic))
    _run(alembic)


def downgrade(connection: Connection) -> None:
    """Drop our tables, what is in them, and the version table, in the caller's transaction."""
    scripts = _scripts()

    def steps(heads: tuple[str, ...], _: MigrationContext) -> list[RevisionStep]:
        newest_first = scripts.iterate_revisions(heads, "base", select_for_downgrade=True)
        down = MigrationStep.downgrade_from_script
        return [down(scripts.revision_map, script) for script in newest_first]

    alembic = context(connection, fn=steps)
    _run(alembic)
    operations = _operations(alembic)
    operations.drop_table(VERSION_TABLE)
    if _on_mariadb(connection):
        from tallystick.stores._mariadb_sql import GUARD

        operations.drop_table(GUARD)


def _run(alembic: MigrationContext) -> None:
    alembic.run_migrations(op=_operations(alembic))


def _operations(alembic: MigrationContext) -> Operations:
    if alembic.dialect.name not in MARIADB:
        return Operations(alembic)
    from tallystick.stores._mariadb_schema import MariaOperations

    return MariaOperations(alembic)


def _on_mariadb(connection: Connection) -> bool:
    return connection.dialect.name in MARIADB
