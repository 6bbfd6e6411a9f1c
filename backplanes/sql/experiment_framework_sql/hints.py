"""What is meant by names that other frameworks have for their SQL backplanes.

An unknown ``type`` of one of these names is answered with the text.
"""

from typing import Final

__all__ = ["MYSQL", "POSTGRESQL", "SQLITE", "SQL_SERVER"]

SQL_SERVER: Final = (
    "SQL Server is reached by `type: sql` with `url: mssql+pyodbc://user@host/database"
    "?driver=ODBC+Driver+18+for+SQL+Server` (pip install pyodbc); schema, tableName, batchSize, "
    "enableIdempotency and autoMigrate are called the same"
)
POSTGRESQL: Final = (
    "PostgreSQL is reached by `type: sql` with `url: postgresql://user@host:5432/database`"
)
MYSQL: Final = (
    "MySQL and MariaDB are reached by `type: sql` with `url: mysql+pymysql://user@host/database` "
    "(pip install pymysql)"
)
SQLITE: Final = "SQLite is reached by `type: sql` with `url: sqlite:///experiments.db`"
