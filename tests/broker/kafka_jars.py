"""The jars of Apache Kafka, fetched once by Maven and kept between runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

__all__ = ["KafkaUnavailableError", "fetch_jars", "find_java"]

POM = Path(__file__).with_name("pom.xml")
REPOSITORY = Path(__file__).parents[2]
LEAST_JAVA = 17
FETCH_SECONDS = 240


class KafkaUnavailableError(Exception):
    """Apache Kafka cannot be started here; the text says what is missing."""


def find_java() -> str:
    """Find a Java that Kafka runs on, in ``JAVA_HOME`` or on ``PATH``."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None) or shutil.which("java")
    if java is None:
        raise KafkaUnavailableError(f"no java on PATH (Java {LEAST_JAVA} or later)")
    banner = subprocess.run(
        [java, "-version"], capture_output=True, text=True, check=False, timeout=30
    ).stderr
    version = re.search(r'version "(\d+)', banner)
    if version is None or int(version[1]) < LEAST_JAVA:
        found = banner.partition("\n")[0] or "no version"
        raise KafkaUnavailableError(f"Java {LEAST_JAVA} or later is needed, {java} says: {found}")
    return java


def fetch_jars() -> Path:
    """Give the folder of jars; the first call on a machine asks Maven for about 45 MB."""
    version = ET.parse(POM).getroot().findtext("{*}version")  # noqa: S314  # our own file
    folder = _cache() / f"apache-kafka-{version}"
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaUnavailableError("no mvn on PATH (Apache Maven fetches the broker's jars)")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        jars = Path(scratch) / "jars"
        _copy_dependencies(maven, jars)
        try:
            jars.rename(folder)
        except OSError:
            # Another run has put its own copy there in the meantime.
            if not folder.is_dir():
                raise
    return folder


def _copy_dependencies(maven: str, jars: Path) -> None:
    command = [maven, "--batch-mode", "--quiet", "-f", str(POM)]
    command += ["dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=FETCH_SECONDS
        )
    except subprocess.TimeoutExpired as expired:
        raise KafkaUnavailableError(
            f"Maven did not fetch the broker's jars within {FETCH_SECONDS} s"
        ) from expired
    if done.returncode != 0:
        lines = [line for line in done.stdout.splitlines() if line.startswith("[ERROR]")]
        reason = lines[0].removeprefix("[ERROR] ") if lines else f"exit code {done.returncode}"
        raise KafkaUnavailableError(f"Maven could not fetch the broker's jars: {reason}")


def _cache() -> Path:
    shared = os.environ.get("XDG_CACHE_HOME")
    return Path(shared) / "experiment-framework" if shared else REPOSITORY / ".kafka"
