"""What pages show is held to the code, as far as a machine can."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from experiment_framework._config import load
from experiment_framework._registry import Registry
from experiment_framework_kafka.errors import REASONS
from new_plugin_sample import add_new_plugin
from webhook_sample import registry_with_webhook

ROOT = Path(__file__).resolve().parents[2]
READMES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(
        path
        for folder in ("core", "backplanes/*", "plugins/*")
        for path in sorted(ROOT.glob(f"{folder}/README.md"))
    ),
]
PAGES = [*READMES, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def blocks(language: str, *, containing: str = "") -> list[Any]:
    """Give the code blocks of a language, on all pages."""
    return list(_blocks(language, containing))


def _blocks(language: str, containing: str) -> Iterator[Any]:
    for page in PAGES:
        found = BLOCK.findall(page.read_text(encoding="utf-8"))
        for number, (_, own, text) in enumerate(found, start=1):
            if own == language and containing in text:
                name = f"{page.relative_to(ROOT)}:{number}"
                yield pytest.param(textwrap.dedent(text), id=name)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    registry = registry_with_webhook()
    add_new_plugin(registry, tmp_path_factory.mktemp("new-plugin"))
    return registry


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """What configurations on pages ask for."""
    password, authority = tmp_path / "password", tmp_path / "ca.pem"
    password.write_text("secret\n", encoding="utf-8")
    trustme.CA().cert_pem.write_to_path(str(authority))
    return {
        "KAFKA_USERNAME": "experiments",
        "KAFKA_PASSWORD_FILE": str(password),
        "KAFKA_CA_FILE": str(authority),
        "DATABASE_PASSWORD": "secret",
    }


@pytest.mark.parametrize("text", blocks("python"))
def test_python_on_a_page_compiles(text: str) -> None:
    compile(text, "page", "exec")


@pytest.mark.parametrize("text", blocks("yaml", containing="experimentFramework:"))
def test_a_configuration_on_a_page_loads(
    text: str, registry: Registry, environ: dict[str, str]
) -> None:
    load(text, registry=registry, environ=environ)


@pytest.mark.parametrize("text", blocks("python", containing="memory = MemoryBackplane()"))
def test_the_program_on_the_page_about_memory_runs(text: str) -> None:
    exec(compile(text, "page", "exec"), {})  # noqa: S102  # it is our own page


@pytest.mark.parametrize("page", READMES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_outside_the_site_leads_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))

    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]

    assert missing == []


def test_the_page_about_kafka_names_reasons_that_there_are() -> None:
    page = (ROOT / "docs" / "how-to" / "kafka.md").read_text(encoding="utf-8")
    section = page.split("## When events fail")[1].split("\n## ")[0]

    named = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))

    assert named
    assert named <= set(REASONS.values())


def test_the_picture_of_the_demo_asks_no_other_host_for_anything() -> None:
    picture = (ROOT / "docs" / "assets" / "demo.svg").read_text(encoding="utf-8")

    assert not re.search(r"@import|@font-face|url\(.?http|href=.http|src=.http", picture)
    assert len(picture) < 100_000
