from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from experiment_framework._config import load
from experiment_framework._registry import Registry
from experiment_framework.errors import ConfigError, UnknownPluginError
from experiment_framework.plugin import Problem
from experiment_framework_sql import SqlBackplane, SqlOptions

CANARY = "canary-p4ss"


def check(**options: Any) -> list[Problem]:
    made = SqlOptions(**options)
    return list(SqlBackplane(made).check(made))


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///experiments.db",
        "sqlite:////tmp/experiments.db",
        "postgresql://user@host/db",
        "postgresql+psycopg://user:pass@host:5432/db?sslmode=require",
        "postgres://user@host/db",
    ],
)
def test_a_url_of_a_database_is_right(url: str) -> None:
    assert check(url=url) == []
    assert check(connection_string=url) == []


@pytest.mark.parametrize(
    ("options", "path", "said"),
    [
        ({}, "url", "a database is required"),
        ({"url": ""}, "url", "a database is required"),
        ({"url": "Server=db;Database=x;Password=p"}, "url", "is no SQLAlchemy URL"),
        ({"connection_string": "Server=db"}, "connectionString", "is no SQLAlchemy URL"),
        ({"url": "sqlite://"}, "url", "needs the path of a file"),
        ({"url": "sqlite:///:memory:"}, "url", "needs the path of a file"),
        ({"url": "sqlite:///file:x.db?uri=true"}, "url", "needs the path of a file"),
        ({"url": "sqlite:////no/such/folder/x.db"}, "url", "there is no folder"),
        ({"url": "sqlite:////tmp"}, "url", "is a folder"),
        ({"url": "sqlite:///x.db", "schema": "a"}, "schema", "SQLite has no schemas"),
        ({"url": "oracle://host/db"}, "url", "'oracle' is not supported"),
        ({"url": "nothing://host/db"}, "url", "'nothing' is not supported"),
        ({"url": "postgresql+nothing://host/db"}, "url", "knows no driver 'nothing'"),
        ({"url": "postgresql+asyncpg://host/db"}, "url", "asynchronous"),
        ({"url": "mysql+pymysql://host/db"}, "url", "pymysql is not installed"),
        ({"url": "mssql+pyodbc://host/db"}, "url", "pyodbc is not installed"),
        ({"url": "sqlite:///x.db", "connection_string": "y"}, "connectionString", "another name"),
        (
            {"url": "postgresql://h/d", "password": "a", "password_file": "/dev/null"},
            "passwordFile",
            "two places",
        ),
        (
            {"url": "postgresql://h/d", "password_file": "/no/such"},
            "passwordFile",
            "there is no such file",
        ),
    ],
)
def test_what_cannot_work_is_a_problem(options: dict[str, Any], path: str, said: str) -> None:
    problems = check(**options)
    assert any(problem.path == (path,) and said in problem.message for problem in problems)


@pytest.mark.parametrize("name", ['e"v', "e; DROP TABLE x", "a.b", "1st", "", "x" * 41, "naïve"])
@pytest.mark.parametrize("option", ["table_name", "schema"])
def test_a_name_is_a_plain_identifier(option: str, name: str) -> None:
    with pytest.raises(ConfigError):
        SqlOptions(url="sqlite:///x.db", **{option: name})


@pytest.mark.parametrize(
    "options",
    [
        {"url": f"postgresql://user:{CANARY}@127.0.0.1:9/db"},
        {"connection_string": f"postgresql://user:{CANARY}@127.0.0.1:9/db"},
        {"url": "postgresql://user@127.0.0.1:9/db", "password": CANARY},
        {"url": f"postgresql://user@127.0.0.1:9/db?password={CANARY}"},
        {"url": f"mssql+pyodbc://?odbc_connect=DRIVER%3Dx%3BPWD%3D{CANARY}"},
        {"url": f"oracle://user:{CANARY}@host/db"},
        {"url": f"user:{CANARY}@host"},
    ],
)
def test_a_password_is_shown_nowhere(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    made = SqlOptions(**options)
    backplane = SqlBackplane(made)
    problems = check(**options)
    shown = [repr(made), repr(backplane), *map(str, problems), *map(repr, problems)]
    if not problems and made.url is not None and "odbc" not in made.url:
        shown.append(repr(backplane.client_settings(made)))
        backplane.open()
        shown += [repr(backplane.health()), caplog.text]
        for call in (lambda: backplane.write_batch([]), backplane.provision):
            try:
                call()
            except Exception:  # noqa: BLE001  # whatever it is, its text is what counts
                shown.append(traceback.format_exc())
        backplane.close(1)
    assert CANARY not in "\n".join(shown)


def test_a_configuration_that_is_wrong_does_not_show_the_password(tmp_path: Path) -> None:
    config = tmp_path / "experiments.yaml"
    config.write_text(
        "experimentFramework:\n  dataPlane:\n    backplane:\n      type: sql\n      options:\n"
        f"        url: user:{CANARY}@host\n        tableNam: x\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(config)
    assert "tableName" in str(caught.value)
    assert "is no SQLAlchemy URL" in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("sqlServer", "mssql+pyodbc://"),
        ("SQLSERVER", "mssql+pyodbc://"),
        ("postgres", "postgresql://"),
        ("mysql", "mysql+pymysql://"),
        ("sqlite", "sqlite:///"),
    ],
)
def test_the_name_of_a_database_is_answered_with_how_it_is_reached(written: str, said: str) -> None:
    with pytest.raises(UnknownPluginError, match="`type: sql`") as caught:
        Registry(environ={}).load_backplane(written)
    assert said in str(caught.value)


def test_a_password_file_is_read_for_each_connection(
    tmp_path: Path, make_backplane: Callable[..., SqlBackplane], postgresql: Any
) -> None:
    file = tmp_path / "password"
    file.write_text("wrong\n")
    url = postgresql.url.replace(":canary-p4ssw0rd@", "@")
    options = SqlOptions(url=url, password_file=str(file))
    backplane = SqlBackplane(options)
    assert "PWD" not in (trouble := str(backplane._pulse.ask()))
    assert "password" in trouble or "SQLSTATE 28P01" in trouble
    file.write_text("canary-p4ssw0rd\n")
    assert backplane._pulse.ask() is None
    backplane.close(1)
