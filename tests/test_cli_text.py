"""What a terminal is given: escaped, cut and laid out."""

from __future__ import annotations

import io
import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.cli.check import Far, ticking
from ml_dash.cli.json_text import json_text
from ml_dash.cli.quantities import count, duration, moment, moments, rate, size
from ml_dash.cli.screen import Screen
from ml_dash.cli.table import Column, lines
from ml_dash.cli.text import cut, pad, printable, printable_lines, width
from ml_dash.reading.check_report import CheckReport

ANY_TEXT = st.text(st.characters())  # lone surrogates among them


def is_harmless(text: str) -> bool:
    """Whether no character of a text is a control, a mark of direction or half a character."""
    return not any(
        ord(char) < 0x20
        or 0x7F <= ord(char) < 0xA0
        or "\ud800" <= char <= "\udfff"
        or char in "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068"
        for char in text
    )


@given(ANY_TEXT)
def test_no_text_drives_a_terminal(text: str) -> None:
    """Whatever was recorded, what is printed has no control character."""
    assert is_harmless(printable(text))
    assert all(is_harmless(line) for line in printable_lines(text))


def test_what_is_escaped_can_be_recognised() -> None:
    """An escape names the character that it stands for; other text stays as it is."""
    assert printable("\x1b[31mred\x07\n\t\x9b\u202e\ud800") == (
        r"\x1b[31mred\x07\n\t\x9b\u202e\ud800"
    )
    assert printable("Grüße, 世界 👋🏽") == "Grüße, 世界 👋🏽"


def test_a_message_of_several_lines_keeps_them() -> None:
    """Lines are kept, with either ending, and a carriage return alone is shown."""
    assert printable_lines("a\r\nb\n\tc\rd") == ["a", "b", r"    c\rd"]


@given(ANY_TEXT, st.integers(1, 30), st.booleans())
def test_a_cut_text_fits(text: str, columns: int, middle: bool) -> None:
    """A cut text is never wider than asked for, and a text that fits is not cut."""
    shown = printable(text)
    result = cut(shown, columns, middle=middle)
    assert width(result) <= columns
    assert result == shown or width(shown) > columns


def test_width_counts_columns_and_not_characters() -> None:
    """Wide characters take two columns, combining ones none."""
    assert width("世界") == 4
    assert width("e\u0301") == 1
    assert pad("世", 4) == "世  "
    assert pad("7", 3, right=True) == "  7"


def test_cutting_the_middle_keeps_both_ends() -> None:
    """The end of a name, which tells most, stays."""
    assert cut("robotics/arm/seed-17", 13, middle=True) == "robo…/seed-17"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (12_345_678, "12.3 MB"), (10**15, "1,000 TB")],
)
def test_a_size_has_three_digits(number: int, text: str) -> None:
    """Bytes are told in the unit that fits."""
    assert size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0042, "0.004s"),
        (4.21, "4.2s"),
        (59.97, "1m 00s"),
        (3599.6, "1h 00m"),
        (7500, "2h 05m"),
        (200_000, "2d 07h"),
        (-5, "-5.0s"),
        (math.inf, "?"),
    ],
)
def test_a_duration_is_told_in_two_units(seconds: float, text: str) -> None:
    """Seconds become what one would say; rounding never gives 60."""
    assert duration(seconds) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_timestamp_can_be_shown(timestamp: float) -> None:
    """Also one that no calendar has."""
    assert moment(timestamp, decimals=3)


def test_a_robots_own_clock_is_shown_as_a_number() -> None:
    """A timestamp that is no date of this century is not made one."""
    assert moment(12345.67) == "12,345.67"
    assert moments(0.0, 1.5) == "0 to 1.5"


def test_a_moment_is_local_time() -> None:
    """Seconds since 1970 are shown as the clock on the wall; decimals carry over into them."""
    noon = time.mktime((2025, 1, 31, 12, 0, 0, 0, 0, -1))
    assert moment(noon) == "2025-01-31 12:00:00"
    assert moment(noon + 0.9996, decimals=3) == "2025-01-31 12:00:01.000"
    assert moments(noon, noon + 60) == "2025-01-31 12:00:00 to 12:01:00"
    assert moments(noon, noon) == "2025-01-31 12:00:00"


def test_rates_and_counts() -> None:
    """A rate is that of the intervals; one row, or all at once, has none."""
    assert rate(101, 10.0) == "10.0 Hz"
    assert rate(2, 3600.0) == "1 in 1h 00m"
    assert rate(1, 10.0) == rate(5, 0.0) == ""
    assert count(1234, "row") == "1,234 rows"
    assert count(1, "row") == "1 row"


COLUMNS = (Column("STATUS"), Column("RUN", least=10, middle=True), Column("TAGS", least=4, spare=1))
ROWS = [("FAILED", "robotics/arm/with-a-long-name", "lab, left"), ("RUNNING", "a", "世界")]


def table(room: int | None) -> list[str]:
    """The lines of a table, columns apart."""
    return ["  ".join(cells) for cells in lines(COLUMNS, ROWS, room)]


@pytest.mark.parametrize("room", [200, 60, 40, 30, 24, 20])
def test_a_table_fits_the_terminal(room: int) -> None:
    """Columns are cut, then left out, so that no line is wider than the terminal."""
    assert max(map(width, table(room))) <= room


def test_a_table_is_whole_where_no_terminal_bounds_it() -> None:
    """Into a pipe everything is printed as it is, columns aligned."""
    shown = table(None)
    assert shown[1] == "FAILED   robotics/arm/with-a-long-name  lab, left"
    assert shown[2].index("a") == shown[1].index("robotics")


def test_what_cannot_be_cut_is_left_out_when_narrow() -> None:
    """The tags go first; status and name stay."""
    assert "TAGS" in table(25)[0]
    assert "TAGS" not in table(24)[0]
    assert "STATUS" in table(20)[0]


def test_an_empty_column_is_not_shown() -> None:
    """No run has tags: no column for them."""
    assert next(lines(COLUMNS, [("FAILED", "a", "")], None)) == ["STATUS", "RUN"]


@given(
    st.dictionaries(
        ANY_TEXT,
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
            lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
            max_leaves=6,
        ),
    )
)
def test_json_is_strict_and_plain_ascii(value: dict[str, object]) -> None:
    """Any row prints as JSON that strict parsers read and that drives no terminal."""
    text = json_text(value)
    assert text.isascii() and is_harmless(text)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    json.loads(text, parse_constant=refuse)


def test_a_non_finite_number_is_null_and_named() -> None:
    """As in a run's segments: `null`, and `_nonfinite` says where and what."""
    found = json.loads(json_text([{"a/b": [1.0, math.nan]}, {"x": -math.inf, "y": 1.5}]))
    assert found == [
        {"a/b": [1.0, None], "_nonfinite": {"/a~1b/1": "NaN"}},
        {"x": None, "y": 1.5, "_nonfinite": {"/x": "-Infinity"}},
    ]


class Terminal(io.StringIO):
    """A terminal that keeps what it is given."""

    def isatty(self) -> bool:
        """That it is one."""
        return True


def test_progress_is_for_terminals_and_leaves_no_trace() -> None:
    """A pipe gets nothing of it; on a terminal it is wiped out before the next line."""
    pipe, terminal = io.StringIO(), Terminal()
    Screen(io.StringIO(), pipe).progress("reading")
    assert pipe.getvalue() == ""
    screen = Screen(io.StringIO(), terminal)
    screen.progress("reading \x1b[31m")
    screen.progress("too soon after the other to be seen")
    screen.say("done")
    assert terminal.getvalue() == "\r\x1b[K" + r"reading \x1b[31m" + "\r\x1b[Kml-dash: done\n"


def test_a_long_check_shows_that_it_goes_on() -> None:
    """Whoever watches a check of a big run sees the seconds pass, and what was looked at."""
    terminal = Terminal()
    screen = Screen(io.StringIO(), terminal)
    far = Far()
    report = CheckReport("/f", "p/one", "COMPLETED", rows=12_000, files=34)
    with ticking(screen, "p/one", far):
        for shown in ("\r\x1b[Kchecking p/one: 0.", "s, 12,000 rows, 34 of 5,678 files"):
            deadline = time.monotonic() + 20
            while shown not in terminal.getvalue() and time.monotonic() < deadline:
                time.sleep(0.01)
            far.take(report, 5678)
    screen.close()
    assert terminal.getvalue().startswith("\r\x1b[Kchecking p/one: 0.")
    assert "s, 12,000 rows, 34 of 5,678 files" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_a_check_for_a_script_shows_no_progress() -> None:
    """With `--json` not even a terminal is told how far it is."""
    terminal = Terminal()
    with ticking(Screen(io.StringIO(), terminal), "p/one", Far(), quiet=True):
        time.sleep(0.6)
    assert terminal.getvalue() == ""
