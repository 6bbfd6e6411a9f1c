from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, version
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import Result
from experiment_framework._cli import commands
from experiment_framework._cli.main import experiment
from experiment_framework_kafka import flushing
from interrupts import InterruptedLock

Run = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[bytes]"]

EXPERIMENT = str(Path(sys.executable).with_name("experiment"))
COMMANDS = (
    "demo",
    "init",
    "validate",
    "describe",
    "schema",
    "plugins",
    "provision",
    "health",
    "publish",
    "tail",
    "completion",
)


def test_the_help_lists_every_command_and_the_exit_codes(run: Run) -> None:
    result = run("--help")

    assert result.exit_code == 0
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\S", result.stdout, re.MULTILINE)
    for code in (0, 1, 2, 130, 141):
        assert re.search(rf"^ +{code} ", result.stdout, re.MULTILINE)


def test_the_help_loads_no_command() -> None:
    program = (
        "import sys\n"
        "from experiment_framework._cli.main import experiment\n"
        "try:\n"
        "    experiment.main(['--help'])\n"
        "except SystemExit:\n"
        "    heavy = {'rich', 'cattrs', 'ruamel.yaml', 'confluent_kafka'} & set(sys.modules)\n"
        "    sys.exit(', '.join(heavy) or 0)\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_says_what_its_exit_codes_are(run: Run, name: str) -> None:
    result = run(name, "--help")

    assert result.exit_code == 0
    assert "Exit codes:" in result.stdout
    assert f"experiment {name}" in result.stdout


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "completion"])
def test_each_command_that_prints_can_print_json(run: Run, name: str) -> None:
    assert "--json" in run(name, "--help").stdout


def test_the_version_is_that_of_the_distribution(run: Run) -> None:
    result = run("--version")

    assert result.stdout.strip() == f"experiment {version('experiment-framework-core')}"


def test_a_misspelt_command_is_a_usage_error_that_names_the_nearest(run: Run) -> None:
    result = run("pubish")

    assert result.exit_code == 2
    assert "Did you mean 'publish'?" in result.stderr


def test_a_missing_file_is_a_usage_error(run: Run) -> None:
    result = run("validate", "nowhere.yaml")

    assert result.exit_code == 2
    assert "nowhere.yaml" in result.stderr


def test_the_problems_of_a_configuration_go_to_stderr(run: Run, bad_config: Path) -> None:
    result = run("describe", bad_config)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"{bad_config}:3:5" in result.stderr
    assert "^" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def contribute(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Make it look as if other distributions brought these commands."""

    def contribute(**values: str) -> None:
        found = [EntryPoint(name, value, commands.GROUP) for name, value in values.items()]
        monkeypatch.setattr(commands, "entry_points", lambda **_: found)
        vars(experiment).pop("_entry_points", None)

    yield contribute
    vars(experiment).pop("_entry_points", None)


def test_a_bug_keeps_its_traceback(
    run: Run, contribute: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "brought.py").write_text(
        "import click\n\n@click.command\ndef command():\n    1 / 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    contribute(divide="brought:command")

    with pytest.raises(ZeroDivisionError):
        run("divide")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_completion_script_for_each_shell(run: Run, shell: str) -> None:
    result = run("completion", shell)

    assert result.exit_code == 0
    assert "_EXPERIMENT_COMPLETE" in result.stdout


def test_a_shell_completes_commands_without_loading_them(start: Start) -> None:
    environ = {
        "_EXPERIMENT_COMPLETE": "bash_complete",
        "COMP_WORDS": "experiment p",
        "COMP_CWORD": "1",
    }

    out, _ = start(environ=environ).communicate(timeout=30)

    assert out.decode().split() == ["plain,plugins", "plain,provision", "plain,publish"]


def test_without_its_distribution_the_demo_says_what_to_install(
    run: Run, contribute: Callable[..., None]
) -> None:
    contribute()

    result = run("demo")

    assert result.exit_code == 2
    assert 'pip install "experiment-framework[kafka]"' in result.stderr


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_module:command", "No module named"),
        ("os:path", "no click command"),
    ],
)
def test_a_broken_command_says_why_and_spoils_nothing_else(
    run: Run, contribute: Callable[..., None], value: str, reason: str
) -> None:
    contribute(report=value)

    result = run("report")

    assert result.exit_code == 2
    assert reason in result.stderr
    assert re.search(r"^  report +\(cannot be used", run("--help").stdout, re.MULTILINE)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGPIPE")
def test_a_reader_that_goes_away_is_no_error(start: Start) -> None:
    process = start("schema")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()

    assert process.stderr.read() == b""
    assert process.wait(timeout=30) == 141


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals for a child alone")
@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_quietly_and_what_it_took_arrives(
    start: Start, file_config: Path, signal_number: int, code: int
) -> None:
    process = start("publish", file_config, "--json", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stderr is not None
    envelope = b'{"eventType": "Error", "payload": {"errorType": "E", "message": "m"}}\n'
    process.stdin.write(envelope + b"broken\n")
    process.stdin.flush()
    assert process.stderr.readline().startswith(b"line 2")  # it is at work now

    process.send_signal(signal_number)
    out, err = process.communicate(timeout=30)

    assert process.returncode == code
    assert b"Traceback" not in err
    assert b'"interrupted": true' in out
    assert b'"delivered": 1' in out


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a child alone")
def test_ctrl_c_while_fates_are_awaited_still_sums_up(start: Start, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        "experimentFramework:\n"
        "  dataPlane: {backplane: {type: kafka, options: {brokers: '127.0.0.1:1'}}}\n"
    )
    lines = tmp_path / "in.jsonl"
    lines.write_text('{"eventType": "Error", "payload": {"errorType": "E", "message": "m"}}\n')
    process = start("publish", config, lines)
    assert process.stderr is not None
    assert b"refused" in process.stderr.readline()  # it is at work now

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert b"Traceback" not in err
    assert b"interrupted  by Ctrl-C" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_wait_for_fates_begins_still_sums_up(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def interrupted() -> threading.Condition:
        return threading.Condition(InterruptedLock(number))  # type: ignore[arg-type]  # as good as one

    parts = vars(threading) | {"Condition": interrupted}
    monkeypatch.setattr(flushing, "threading", SimpleNamespace(**parts))
    config = tmp_path / "c.yaml"
    config.write_text(
        "experimentFramework:\n"
        "  dataPlane: {backplane: {type: kafka, options: {brokers: '127.0.0.1:1'}}}\n"
    )
    lines = tmp_path / "in.jsonl"
    lines.write_text('{"eventType": "Error", "payload": {"errorType": "E", "message": "m"}}\n')

    result = run("publish", config, lines, "--json")

    assert result.exit_code == 128 + number
    assert '"interrupted": true' in result.stdout
    assert "failed to flush" not in result.stderr


def test_output_in_a_pipe_has_no_colours_and_no_wrapped_lines(
    start: Start, file_config: Path
) -> None:
    out, _ = start("describe", file_config).communicate(timeout=30)

    assert b"\x1b" not in out
    assert str(file_config.parent / "events.jsonl").encode() in out


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo terminals")
@pytest.mark.parametrize(("no_color", "has_colours"), [("", True), ("1", False)])
def test_a_terminal_gets_colours_unless_no_color_says_otherwise(
    start: Start, file_config: Path, no_color: str, *, has_colours: bool
) -> None:
    import pty

    ours, theirs = pty.openpty()
    process = start(
        "health",
        file_config,
        environ={"NO_COLOR": no_color, "TERM": "xterm-256color"},
        stdout=theirs,
    )
    os.close(theirs)
    output = b""
    with contextlib.suppress(OSError):  # Linux says so when the other end is closed
        while part := os.read(ours, 65536):
            output += part
    os.close(ours)
    assert process.wait(timeout=30) == 0

    assert b"HEALTHY" in output
    assert (re.search(rb"\x1b\[[0-9;]*3\dm", output) is not None) == has_colours


def test_a_full_disk_is_one_line(start: Start) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    with Path("/dev/full").open("wb") as full:
        process = start("schema", stdout=full)
        _, err = process.communicate(timeout=30)

    assert process.returncode == 1
    assert b"No space left" in err
    assert b"Traceback" not in err


@pytest.mark.skipif(os.name == "nt", reason="it takes a shell that closes streams")
def test_closed_streams_are_no_error(file_config: Path) -> None:
    command = f"'{EXPERIMENT}' describe '{file_config}' <&- >&-"

    done = subprocess.run(["sh", "-c", command], capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a child alone")
def test_ctrl_c_ends_the_demo_quietly(start: Start) -> None:
    process = start("demo", "--subjects", "1000000")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=2)  # it is at work, far from done

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert b"Traceback" not in err
