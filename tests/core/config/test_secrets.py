"""A secret is in nothing that is shown, whatever is wrong with the file that holds it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from experiment_framework._config.secrets import is_secret_name, scrubbed
from experiment_framework.errors import ConfigError

Failure = Callable[..., ConfigError]

CANARY = "CaN4rY"
WHOLE = f"""\
x-login: &login
  user: me
  password: {CANARY}
experimentFramework:
  dataPlane:
    backplane:
      type: sink
      options:
        url: here
        login: *login
        extra: {{db.password: {CANARY}}}
"""


def _shown(error: ConfigError) -> str:
    trace = "".join(traceback.format_exception(error))
    problems = msgspec.json.encode(error.problems).decode()
    return "\n".join([str(error), repr(error), repr(error.problems), trace, problems])


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        # The secret itself is what is wrong.
        (f"password: {CANARY}", f"password: [{CANARY}]"),
        (f"password: {CANARY}", f"password: [x, [{CANARY}]]"),
        (f"password: {CANARY}", f"password: {{{CANARY}: x}}"),
        (f"password: {CANARY}", f"password: {{x: {CANARY}}}"),
        (f"password: {CANARY}", f"password:\n    - {CANARY}"),
        (f"password: {CANARY}", f"password:\n    x: {CANARY}"),
        (f"password: {CANARY}", f"password: !tag {CANARY}"),
        (f"password: {CANARY}", f"password: !{CANARY} x"),
        (f"password: {CANARY}", f"password: ${{UNSET}}{CANARY}"),
        (f"password: {CANARY}", f"password: ${{{CANARY}"),
        (f"password: {CANARY}", f"password: a${{x y{CANARY}}}"),
        (f"password: {CANARY}", f"password: {CANARY}\n  password: {CANARY}2"),
        (f"password: {CANARY}", f'password: {CANARY}\n  "password": {CANARY}2'),
        (f"password: {CANARY}", f'password: "\\ud83d{CANARY}"'),
        # Its key is.
        (f"password: {CANARY}", f"pasword: {CANARY}"),
        (f"password: {CANARY}", f"PASSWORD: {CANARY}"),
        (f"password: {CANARY}", f"passwort: {CANARY}"),
        (f"password: {CANARY}", f"paswrod: '{CANARY} and more {CANARY}'"),
        (f"password: {CANARY}", f"pass_word: |\n    {CANARY}\n    {CANARY}"),
        (f"password: {CANARY}", f"apiToken: {CANARY}"),
        (f"password: {CANARY}", f"clientSecret: {{a: {CANARY}}}"),
        # Another thing on the same line is.
        ("login: *login", f"login: {{usr: x, password: {CANARY}}}"),
        ("login: *login", f"login: {{password: {CANARY}, usr: x}}"),
        ("login: *login", f"login: {{usr: x, password: '{CANARY}, {CANARY}'}}"),
        ("login: *login", f"login: password={CANARY}"),
        ("login: *login", f"login: [password, '{CANARY} password: {CANARY}']"),
        ("url: here", f"url: {{password: {CANARY}}}"),
        ("url: here", f"url: here  # password: {CANARY}\n        urll: x  # password: {CANARY}"),
        ("url: here", f"hosts: 'http://me:{CANARY}@host'\n        size: x"),
        ("url: here", f"url: here\n        size: 'https://me:{CANARY}@host/'"),
        ("url: here", f"url: here\n        size: 'key password={CANARY};'"),
        (f"{{db.password: {CANARY}}}", f"{{db.password: [{CANARY}]}}"),
        (f"{{db.password: {CANARY}}}", f"{{a: [], db.password: {CANARY}}}"),
        (f"{{db.password: {CANARY}}}", f"{{sasl.jaas.config: [{CANARY}]}}"),
        # The type is, so that nobody knows what is declared.
        ("type: sink", "type: snik"),
        ("type: sink", "typ: sink"),
        ("type: sink", f"type: snik\n      password: {CANARY}"),
        # Everything has moved.
        ("      options:\n", ""),
        ("experimentFramework:", "experimentframework:"),
        ("  dataPlane:", "  dataplane:"),
        # The syntax is wrong, and there is no tree.
        (f"password: {CANARY}", f'password: "{CANARY}'),
        (f"password: {CANARY}", f"password: '{CANARY}"),
        (f"password: {CANARY}", f"password: '{CANARY}' {CANARY}"),
        (f"password: {CANARY}", f"password: x: {CANARY}"),
        (f"password: {CANARY}", f"password: {CANARY}: x"),
        (f"password: {CANARY}", f"password: *{CANARY}"),
        (f"password: {CANARY}", f"password: &{CANARY} &{CANARY}"),
        (f"password: {CANARY}", f"password: @{CANARY}"),
        (f"password: {CANARY}", f"password: %{CANARY}"),
        (f"password: {CANARY}", f"password: `{CANARY}"),
        (f"password: {CANARY}", f"password: [{CANARY}"),
        (f"password: {CANARY}", f"password: {{{CANARY}"),
        (f"password: {CANARY}", f"password: ]{CANARY}"),
        (f"password: {CANARY}", f"password: |{CANARY}"),
        (f"password: {CANARY}", f"password: !<{CANARY}"),
        (f"password: {CANARY}", f"password: !{CANARY}!{CANARY} x"),
        (f"password: {CANARY}", f'password: "\\q{CANARY}"'),
        (f"password: {CANARY}", f'password: "\\UFFFFFFFF{CANARY}"'),
        (f"password: {CANARY}", f"password: {CANARY}\x07"),
        (f"password: {CANARY}", f"password:{CANARY}"),
        (f"password: {CANARY}", f"password:\n  - {CANARY}\n   - {CANARY}: [\n"),
        (f"password: {CANARY}", f"password:\n\t{CANARY}"),
        (f"password: {CANARY}", f"password:\n    {CANARY}: [a"),
        (f"password: {CANARY}", f" password: {CANARY}"),
        ("login: *login", f"login: {{usr: x, password\n: {CANARY}}}"),
        ("user: me", "user: 'me"),
        ("user: me", "user: [me"),
        ("user: me", "\tuser: me"),
        ("login: *login", f"login: {{password: {CANARY}"),
        ("login: *login", f"login: {{password: {CANARY} ]}}"),
        ("url: here", f"url: 'http://me:{CANARY}@host"),
        ("experimentFramework:", "%YAML 1.1\n---\nexperimentFramework:"),
        ("experimentFramework:", "---\nexperimentFramework:"),
    ],
)
def test_a_secret_in_a_file_is_never_shown(
    error_of: Failure, caplog: pytest.LogCaptureFixture, written: str, wrong: str
) -> None:
    assert written in WHOLE
    caplog.set_level(logging.DEBUG)
    shown = _shown(error_of(WHOLE.replace(written, wrong), {}))
    assert CANARY not in shown
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    "lines",
    [
        "login: {password: '${PW}', usr: x}",
        "login: {password: '${PW}'}\nname: ['${PW}']\nsize: '${PW}'",
        "login: {password: 'a${PW}b'}\nacks: 'a${PW}b'",
        "login: {pasword: '${PW}'}\nratio: '${PW}'",
        "extra: {db.password: '${PW}'}\ncode: '${PW}'",
        "login: {password: '${NO:-" + CANARY + "}', usr: x}",
        "login: {password: ['${PW}']}",
        "login: '${PW} password=${PW}'",
    ],
)
def test_a_secret_from_the_environment_is_never_shown(error_of: Failure, lines: str) -> None:
    options = "".join(f"        {line}\n" for line in lines.split("\n"))
    text = WHOLE.split("        url:", maxsplit=1)[0] + "        url: here\n" + options
    assert CANARY not in _shown(error_of(text, {"PW": CANARY}))


def test_a_secret_in_a_mapping_is_never_shown(error_of: Failure) -> None:
    options = {"login": {"password": [CANARY], "pasword": CANARY}, "size": f"password={CANARY}"}
    source = {
        "experimentFramework": {"dataPlane": {"backplane": {"type": "sink", "options": options}}}
    }
    assert CANARY not in _shown(error_of(source))


def test_a_secret_is_masked_in_what_a_configuration_comes_to(
    load_config: Callable[..., object],
) -> None:
    config = load_config(WHOLE)
    assert CANARY not in repr(config)
    assert CANARY not in repr(config.values)  # type: ignore[attr-defined]  # a Config
    assert "'***'" in repr(config.values)  # type: ignore[attr-defined]  # a Config


def test_a_name_of_a_variable_is_no_secret(error_of: Failure) -> None:
    text = WHOLE.replace("login: *login", "login: {password: '${PW}', usr: x}")
    assert "password: '${PW}', usr: x" in str(error_of(text, {"PW": CANARY}))


def test_where_a_secret_is_kept_is_no_secret(error_of: Failure) -> None:
    text = WHOLE.replace("login: *login", "login: {passwordFile: [/run/pw]}")
    assert "passwordFile: [/run/pw]" in str(error_of(text))


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("password", True),
        ("keyPassword", True),
        ("sasl.password", True),
        ("ssl.key.pem", True),
        ("SASL_PASSWORD", True),
        ("pasword", True),
        ("client-secret", True),
        ("accessKey", True),
        ("passwordFile", False),
        ("tokenEndpointUrl", False),
        ("ssl.key.location", False),
        ("partitionBy", False),
        ("topic", False),
        ("key", False),
        ("selectionMode", False),
    ],
)
def test_names_of_secrets_are_recognized(name: str, is_secret: bool) -> None:
    assert is_secret_name(name) is is_secret


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:pw@host/db", "postgresql://***@host/db"),
        ("http://host/a@b", "http://host/a@b"),
        ("user=me password=pw; x", "user=me password=***; x"),
        ("{'password': 'a b', 'x': 1}", "{'password': ***, 'x': 1}"),
        ("passwordFile=/run/x", "passwordFile=/run/x"),
        ("password: ${PW}", "password: ${PW}"),
    ],
)
def test_what_looks_like_a_secret_is_masked_in_text(text: str, shown: str) -> None:
    assert scrubbed(text) == shown


def test_every_bad_file_of_the_golden_tests_keeps_its_secret(error_of: Failure) -> None:
    files = sorted((Path(__file__).parent / "golden").glob("*.yaml"))
    assert files
    for file in files:
        text = file.read_text().replace("s3cret", CANARY)
        assert CANARY not in _shown(error_of(text)), file.name


@pytest.mark.parametrize(
    "wrong",
    [
        f"login: {{user: me, password {CANARY}}}",
        f"login: {{user: me, password '{CANARY}'}}",
        f"login: password {CANARY}",
        f"login:\n          user: me\n          password {CANARY}",
        f"login:\n          password {CANARY}",
        f"login: [password {CANARY}]",
        f"login: {{user: me, password={CANARY}}}",
    ],
)
def test_a_secret_after_a_forgotten_colon_is_never_shown(error_of: Failure, wrong: str) -> None:
    assert CANARY not in _shown(error_of(WHOLE.replace("login: *login", wrong)))
