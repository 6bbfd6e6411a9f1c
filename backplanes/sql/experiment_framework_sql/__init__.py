"""The backplane that appends events to a table of a database, on SQLAlchemy."""

from experiment_framework_sql.options import SqlOptions
from experiment_framework_sql.plugin import SqlBackplane

__all__ = ["SqlBackplane", "SqlOptions"]
