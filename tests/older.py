"""SQLite files as an older Optuna made them."""

import sqlite3
from contextlib import closing

import alembic.command
from optuna.storages import RDBStorage


def downgraded(path, version):
    """Bring the tables of a SQLite file to an older version, by Optuna's own migrations."""
    with closing(sqlite3.connect(path)) as connection:
        # New tables have this index under another name than a file that was upgraded.
        connection.execute("DROP INDEX ix_trials_study_id")
        connection.execute("CREATE INDEX trials_study_id_key ON trials (study_id)")
        connection.commit()
    opened = RDBStorage(f"sqlite:///{path}")
    alembic.command.downgrade(opened._version_manager._create_alembic_config(), version)
    opened.remove_session()
    opened.engine.dispose()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


def renumbered(path, version):
    """Write another version into a SQLite file, whose tables stay."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
        connection.commit()
