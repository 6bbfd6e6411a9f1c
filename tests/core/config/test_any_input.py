"""Whatever is loaded: a configuration, or a ConfigError whose places are in the text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from experiment_framework.errors import ConfigError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Loaded = Callable[..., Any]

relaxed = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=100,
    deadline=None,
)
GOOD = """\
x-a: &a {name: b, size: 3}
experimentFramework:
  dataPlane:
    backplane:
      type: sink
      options: {<<: *a, url: "${U:-u}", hosts: [a, b], login: {user: me, password: s3cret}}
"""
# All that is in a secret, and nothing else, is the letter Ж.
SECRETIVE = (
    """\
x-login: &l {user: me, password: ЖЖЖЖ}
experimentFramework:
  dataPlane:
    backplane:
      type: sink
      options: {url: u, login: *l, extra: {db.password: 'ЖЖ ЖЖ', s: 1}, name: n}
""",
    """\
experimentFramework:
  dataPlane:
    backplane:
      type: sink
      options:
        url: here
        login:
          password: >
            ЖЖЖ ЖЖЖ
            ЖЖЖ:ЖЖЖ
          user: me
        extra:
          client.secret: "ЖЖ, ЖЖ
            Ж: 'ЖЖЖ'"
          api.token: ЖЖЖЖ
            ЖЖЖЖ
        hosts: [a, b]
""",
    """\
{"experimentFramework": {"dataPlane": {"backplane": {"type": "sink", "options": {
  "url": "u", "login": {
    "password": "ЖЖ: ЖЖ",
    "user": "me"},
  "extra": {"apiToken":"ЖЖЖЖ","size":3}}}}}}
""",
)
SIGNS = ":-?[]{},&*#|>!%@`'\"$ \n\r\t~<\\=."
edits = st.sampled_from(f"ab0{SIGNS}")
names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Cn"]), max_size=8)
plain = st.one_of(st.booleans(), st.integers(-(10**15), 10**15), names)
trees = st.recursive(
    st.one_of(st.none(), plain, st.floats()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)


def _check(load_config: Loaded, source: Any) -> None:
    error = _error(load_config, source)
    if error is None:
        return
    assert error.problems
    if "password" in str(source):  # what its name was, nobody else can know
        assert "s3cret" not in str(error)
        assert "s3cret" not in str(error.problems)
    lines = source.count("\n") + 1 if isinstance(source, str) else 0
    for problem in error.problems:
        assert problem.location is None or 1 <= problem.location.line <= lines


def _error(load_config: Loaded, source: Any) -> ConfigError | None:
    try:
        load_config(source)
    except ConfigError as error:
        return error
    return None


@relaxed
@given(text=st.text(st.sampled_from("ab:-?[]{},&*#|>!%@`'\"$ \n\t0.~<\\"), max_size=60))
def test_any_text_loads_or_has_problems(load_config: Loaded, text: str) -> None:
    _check(load_config, f"{text}\n")


@relaxed
@given(
    at=st.integers(0, len(GOOD)),
    cut=st.integers(0, 6),
    added=st.text(st.sampled_from("ab:-?[]{},&*#|>!%'\"$ \n\t0~<\\"), max_size=4),
)
def test_any_edit_of_a_good_file_loads_or_has_problems(
    load_config: Loaded, at: int, cut: int, added: str
) -> None:
    _check(load_config, GOOD[:at] + added + GOOD[at + cut :])


@settings(relaxed, max_examples=300)
@given(text=st.sampled_from(SECRETIVE), data=st.data())
def test_no_edit_of_a_good_file_shows_a_secret(
    load_config: Loaded, text: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(text)), label="at")
    cut = data.draw(st.integers(0, 1), label="cut")
    added = data.draw(st.text(edits, max_size=1), label="added")
    error = _error(load_config, text[:at] + added + text[at + cut :])
    if error is not None:
        assert "Ж" not in f"{error}{error.problems}"


@settings(relaxed, max_examples=300)
@given(text=st.sampled_from(SECRETIVE), data=st.data())
def test_no_signs_show_a_secret_where_nothing_can_be_parsed(
    load_config: Loaded, text: str, data: st.DataObject
) -> None:
    for _ in range(data.draw(st.integers(1, 3), label="edits")):
        at = data.draw(st.integers(0, len(text)), label="at")
        text = text[:at] + data.draw(st.sampled_from(SIGNS), label="added") + text[at:]
    error = _error(load_config, text)
    if error is not None and "not valid YAML" in str(error):  # else structure says what is secret
        assert "Ж" not in f"{error}{error.problems}"


@pytest.mark.parametrize("text", SECRETIVE)
def test_no_line_break_shows_a_secret(load_config: Loaded, text: str) -> None:
    for at in range(len(text)):
        for added in ("\n", "\n\n", "\n  ", "\r\n"):
            error = _error(load_config, text[:at] + added + text[at:])
            assert error is None or "Ж" not in f"{error}{error.problems}", (at, added)


@relaxed
@given(tree=trees)
def test_any_mapping_loads_or_has_problems(load_config: Loaded, tree: Any) -> None:
    options = {"url": "u", "extra": tree, "login": tree, "size": tree}
    source = {
        "experimentFramework": {"dataPlane": {"backplane": {"type": "sink", "options": options}}}
    }
    _check(load_config, source)


@relaxed
@given(
    extra=st.dictionaries(
        names.filter(lambda name: not name.startswith("x-") and "$" not in name), plain, max_size=4
    )
)
def test_json_text_and_the_mapping_it_stands_for_load_alike(
    load_config: Loaded, extra: dict[str, Any]
) -> None:
    extra = {
        key: value.replace("$", "") if isinstance(value, str) else value
        for key, value in extra.items()
    }
    options = {"url": "u", "extra": extra}
    source = {
        "experimentFramework": {"dataPlane": {"backplane": {"type": "sink", "options": options}}}
    }
    assert load_config(source).backplane_options.extra == extra
    for text in (json.dumps(source), json.dumps(source, indent=1, ensure_ascii=False)):
        assert load_config(text).backplane_options.extra == extra
