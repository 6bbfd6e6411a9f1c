"""SQL keeps what every backplane promises."""

from __future__ import annotations

from pathlib import Path

import pytest
from databases import Target
from experiment_framework.testing import BackplaneConformance, BackplaneUnderTest
from experiment_framework_sql import SqlBackplane
from postgresql import PostgreSQL


class TestSqlite(BackplaneConformance):
    @pytest.fixture
    def under_test(self, tmp_path: Path) -> BackplaneUnderTest:
        folder, aside = tmp_path / "events", tmp_path / "aside"
        folder.mkdir()
        target = Target(f"sqlite:///{folder}/experiments.db", "sqlite")
        return BackplaneUnderTest(
            plugin=SqlBackplane,
            options={"url": target.url, "autoMigrate": True, "statementTimeoutMs": 5000},
            arrived=target.bodies,
            take_away=lambda: folder.rename(aside),
            bring_back=lambda: aside.rename(folder),
        )


class TestPostgreSQL(BackplaneConformance):
    @pytest.fixture
    def under_test(self, postgresql: Target, postgresql_server: PostgreSQL) -> BackplaneUnderTest:
        return BackplaneUnderTest(
            plugin=SqlBackplane,
            options={"url": postgresql.url, "autoMigrate": True},
            arrived=postgresql.bodies,
            take_away=postgresql_server.kill,
            bring_back=postgresql_server.start,
        )
