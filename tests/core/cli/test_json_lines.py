import io

from experiment_framework._cli.json_lines import KEPT, read_lines
from hypothesis import given
from hypothesis import strategies as st


def test_lines_are_counted_from_one_and_blank_ones_passed_over() -> None:
    lines = list(read_lines(io.BytesIO(b"a\n\n  \nb\r\nc")))

    assert [(line.number, line.content) for line in lines] == [(1, b"a"), (4, b"b"), (5, b"c")]


def test_a_byte_order_mark_is_passed_over() -> None:
    (line,) = read_lines(io.BytesIO(b"\xef\xbb\xbf{}\n"))

    assert line.content == b"{}"


def test_a_line_that_is_too_long_is_cut_and_the_next_one_is_whole() -> None:
    long = b"x" * 5000
    lines = list(read_lines(io.BytesIO(b"a\n" + long + b"\nb\n"), longest=2000))

    assert [line.is_too_long for line in lines] == [False, True, False]
    assert lines[1].content == long[:KEPT]
    assert lines[1].size == len(long) + 1
    assert (lines[2].number, lines[2].content) == (3, b"b")


def test_a_line_of_exactly_the_longest_size_is_taken() -> None:
    (line,) = read_lines(io.BytesIO(b"x" * 2000 + b"\n"), longest=2000)

    assert not line.is_too_long
    assert len(line.content) == 2000


@given(
    st.lists(st.text("ab \t\r{", max_size=40).map(str.encode)),
    st.integers(min_value=1, max_value=30),
)
def test_every_line_is_given_or_blank(parts: list[bytes], longest: int) -> None:
    parts = b"\n".join(parts).split(b"\n")
    lines = list(read_lines(io.BytesIO(b"\n".join(parts)), longest=longest))

    assert [(line.number, line.is_too_long) for line in lines] == [
        (number, len(part) > longest)
        for number, part in enumerate(parts, start=1)
        if part[: longest + 1].strip()
    ]
    assert all(line.size - len(parts[line.number - 1]) in {0, 1} for line in lines)
