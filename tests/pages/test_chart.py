"""A chart by itself, driven in a browser with numbers that are known."""

from __future__ import annotations

import csv
import io
import math
import random
from typing import Any

import pytest
from PIL import Image

from .browser import Page, decode
from .site import Site

BLUE = [0, 0x72, 0xB2]


@pytest.fixture
def bench(page: Page, site: Site) -> Page:
    """The page of the harness; `bench` in it makes charts."""
    page.size(1000, 700)
    page.open(f"{site.url}/harness/chart.html")
    page.wait("window.bench")
    return page


def add(page: Page, options: dict[str, Any], *series: dict[str, Any]) -> int:
    """The number of a new chart that has been drawn."""
    number = page.evaluate("bench.add(arguments[0], arguments[1])", options, series)
    page.run("bench.charts[arguments[0]].element.scrollIntoView()", number)
    page.wait("bench.charts[arguments[0]].draws", number)
    settle(page)
    return int(number)


def settle(page: Page) -> None:
    """Wait until what was changed is drawn."""
    page.run("return bench.settled()")


def events(page: Page, name: str) -> list[Any]:
    """What charts told under this name."""
    found = page.evaluate("bench.events.filter(e => e[0] === arguments[0])", name)
    return [value for _, _, value in found]


def painted(page: Page, x: float, y: float, width: float, height: float) -> int:
    """Blue pixels in a part of the first chart's plot; all are parts of its width and height."""
    box = page.evaluate("bench.charts[0].plane.box")
    area = [
        round(box["left"] + x * box["width"]),
        round(box["top"] + y * box["height"]),
        max(1, round(width * box["width"])),
        max(1, round(height * box["height"])),
    ]
    return int(page.evaluate("bench.painted(0, arguments[0], arguments[1])", area, BLUE))


# -- pure functions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (-3, 3, ["−3", "−2", "−1", "0", "1", "2", "3"]),
        (0, 1_000_000, ["0", "0.2M", "0.4M", "0.6M", "0.8M", "1.0M"]),
        (0, 48_000, ["0", "10k", "20k", "30k", "40k"]),
        (640_000, 640_050, ["640000", "640010", "640020", "640030", "640040", "640050"]),
        (0, 5e-9, ["0", "1e−9", "2e−9", "3e−9", "4e−9", "5e−9"]),
        (7, 7, ["7"]),
    ],
)
def test_ticks_are_round_and_short(bench: Page, low: float, high: float, labels: list[str]) -> None:
    """Ticks are multiples of 1, 2 or 5, in labels that are as short as they can be."""
    script = "bench.scales.numberTicks({low: arguments[0], high: arguments[1]}, 5)"
    found = bench.evaluate(script, low, high)
    assert [tick["label"] for tick in found["ticks"]] == labels


@pytest.mark.parametrize(
    ("low", "high"), [(4.5672e-5, 4.5684e-5), (1.11055e-5, 1.11057e-5), (-3.0004e-7, -3.0001e-7)]
)
def test_labels_of_small_values_are_whole_and_differ(bench: Page, low: float, high: float) -> None:
    """Each label is the value of its tick, none reads as its neighbour, and all have room."""
    add(bench, {"title": "lr"}, {"y": [low, high]})
    scale = "bench.scales.numberTicks(bench.charts[0].plane.y, 5)"
    found = bench.evaluate(scale)
    labels = [tick["label"].replace("−", "-") for tick in found["ticks"]]
    base = float(found["base"].replace("−", "-") or 0)
    values = [tick["value"] for tick in found["ticks"]]
    assert len(set(labels)) == len(labels) > 2
    assert [base + float(label) for label in labels] == pytest.approx(values, rel=1e-9)
    widest = bench.evaluate(
        "(t => Math.max(...arguments[0].map(each => t.measureText(each).width)))"
        "(bench.charts[0].canvas.getContext('2d'))",
        labels,
    )
    assert bench.evaluate("bench.charts[0].plane.box.left") >= widest + 6
    edge = bench.evaluate(
        "Math.max(...bench.charts[0].canvas.getContext('2d').getImageData(0, 20, 2, 100).data)"
    )
    assert edge == 0, "a label touches the edge"


def test_ticks_far_from_zero_are_counted_from_a_base(bench: Page) -> None:
    """Labels of values that differ in late digits alone show those digits, and the base once."""
    found = bench.evaluate("bench.scales.numberTicks({low: 1763722000.1, high: 1763722000.9}, 4)")
    assert found["base"] == "1763722000"
    assert [tick["label"] for tick in found["ticks"]] == ["+0.2", "+0.4", "+0.6", "+0.8"]


def test_ticks_of_any_range_are_few_ascending_and_inside(bench: Page) -> None:
    """Whatever the range, ticks ascend, lie within it, and are no crowd."""
    dice = random.Random(3)
    ranges = [(0.0, 5e-324), (-1.7e308, 1.7e308), (1.0, math.nextafter(1.0, 2.0))]
    for _ in range(200):
        middle = dice.uniform(-1, 1) * 10 ** dice.randint(-12, 12)
        half = abs(middle) * 10 ** dice.randint(-12, 3) + 10 ** dice.randint(-9, 9)
        ranges.append((middle - half, middle + half))
    found = bench.evaluate(
        "arguments[0].map(([low, high]) => [false, true].map(log => bench.scales.numberTicks("
        "log ? {low: Math.abs(low) + 1e-12, high: Math.abs(low) * 2 + Math.abs(high) + 1e-11, log}"
        ": {low, high, log}, 5).ticks.map(t => t.value)))",
        ranges,
    )
    for (low, high), (linear, log) in zip(ranges, found, strict=True):
        for values in (linear, log):
            assert len(values) <= 20 and values == sorted(set(values)), (low, high, values)
        room = (high / 2 - low / 2) * 1e-6
        assert all(low - room <= value <= high + room for value in linear), (low, high, linear)


def test_ticks_of_time_follow_the_clock(bench: Page) -> None:
    """Durations are told in minutes and hours, moments at round times of the day."""
    found = bench.evaluate(
        "[[0, 100], [0, 3000], [0, 90000]].map(([low, high]) =>"
        "bench.ticks.durationTicks({low, high}, 4).ticks.map(t => t.label))"
    )
    assert found == [
        ["0 s", "20 s", "40 s", "60 s", "80 s", "100 s"],
        ["0:00", "15:00", "30:00", "45:00"],
        ["0:00 h", "12:00 h", "24:00 h"],
    ]
    moments = bench.evaluate(
        "bench.ticks.momentTicks({low: 1763722000, high: 1763725600}, 4).ticks.map(t => t.value)"
    )
    assert moments and all(value % 900 == 0 for value in moments)


def test_the_moving_average_has_no_pull_of_its_beginning(bench: Page) -> None:
    """Smoothing is the debiased exponential average; NaN is passed over."""
    dice = random.Random(1)
    y = [dice.uniform(0, 1) for _ in range(50)]
    script = (
        "[...bench.points.smoothed(Float64Array.from(arguments[0].keys()),"
        "Float64Array.from(arguments[0], v => v ?? NaN), 0.8, 1)].map(v => isNaN(v) ? null : v)"
    )
    found = bench.evaluate(script, y)
    sums, total, expected = 0.0, 0.0, []
    for value in y:
        sums, total = sums * 0.8 + value, total * 0.8 + 1
        expected.append(sums / total)
    assert found == pytest.approx(expected)
    assert found[0] == pytest.approx(y[0])
    assert bench.evaluate(script, [1, None, 1]) == [1, None, 1]


def test_fewer_points_keep_the_least_and_greatest(bench: Page) -> None:
    """Points of one pixel become a bucket with their least, greatest and mean value and count."""
    found = bench.run(
        "const n = 100000; const y = Array.from({length: n}, (_, i) => Math.sin(i));"
        "y[54321] = 7; y[12345] = -9; y[777] = NaN;"
        "const c = bench.points.prepare(bench.complete({y}));"
        "const r = bench.points.reduce(c, 0, n - 1, 500);"
        "const sum = a => a.reduce((s, v) => s + v, 0);"
        "return [r.x.length, Math.max(...r.max), Math.min(...r.min), sum(r.count),"
        " sum(r.nonfinite),"
        " sum(Array.from(r.mean, (m, i) => m * (r.count[i] - r.nonfinite[i]))),"
        " sum(y.filter(v => !isNaN(v)))]"
    )
    assert 490 <= found[0] <= 510
    assert found[1:5] == [7, -9, 100_000, 1]
    assert found[5] == pytest.approx(found[6], rel=1e-6)


# -- drawing -------------------------------------------------------------------------------------


def test_nan_breaks_the_line_and_is_marked_at_the_axis(bench: Page) -> None:
    """Between the neighbours of a NaN there is no line, and below it a mark."""
    y = [1.0] * 40 + [None] + [1.0] * 40 + [0.0, 2.0]
    add(bench, {}, {"y": y})
    assert painted(bench, 0.45, 0.45, 0.02, 0.1) > 0
    assert painted(bench, 40 / 82 - 0.004, 0.3, 0.008, 0.4) == 0
    assert painted(bench, 40 / 82 - 0.008, 0.95, 0.016, 0.05) > 10
    assert painted(bench, 0.1, 0.97, 0.3, 0.02) == 0


def test_a_gap_is_no_line(bench: Page) -> None:
    """Where nothing was recorded for long, there is at most a trace of dots."""
    x = [*range(100), *range(400, 500)]
    add(bench, {}, {"x": x, "y": [1.0] * 200}, {"y": [0.0, 2.0], "x": [0, 499], "colour": "red"})
    assert painted(bench, 0.05, 0.45, 0.1, 0.1) >= 40
    assert painted(bench, 0.4, 0.45, 0.2, 0.1) < 30


def test_the_envelope_is_filled_and_a_needle_reaches_its_end(bench: Page) -> None:
    """Buckets are a filled band; one that reaches far out is a line up to there."""
    n = 200
    greatest = [1.2] * n
    greatest[100] = 5.0
    least = [0.8] * n
    add(bench, {}, {"mean": [1.0] * n, "min": least, "max": greatest, "count": [50] * n})
    assert painted(bench, 99.5 / (n - 1), 0.05, 0.012, 0.5) > 60
    assert painted(bench, 0.1, 0.05, 0.3, 0.5) == 0
    bench.run("bench.charts[0].set({envelope: false})")
    settle(bench)
    assert painted(bench, 99.5 / (n - 1), 0.05, 0.012, 0.5) == 0


def test_points_that_stand_alone_are_dots(bench: Page) -> None:
    """A single value can be seen."""
    add(bench, {}, {"y": [3.0]})
    assert painted(bench, 0.48, 0.45, 0.04, 0.1) >= 6


def test_no_values_and_extreme_ones_are_drawn_without_trouble(bench: Page) -> None:
    """Nothing, only NaN, one value, huge and tiny values: the chart stays as it should."""
    for y in ([], [None], [0.0], [1e308, -1e308], [5e-324, 0.0], [1e300] * 3):
        for log in (False, True):
            number = add(bench, {"log": log}, {"y": y})
            bench.move(f".frame:nth-child({number + 1})")
            bench.evaluate("bench.charts[arguments[0]].csv()", number)


def test_screens_with_more_pixels_get_them(bench: Page) -> None:
    """On a screen with two pixels to one of CSS the canvas has both."""
    add(bench, {}, {"y": [1.0, 2.0]})
    before = bench.evaluate("bench.charts[0].canvas.width")
    bench.size(1001, 700, 2)
    bench.wait("Math.abs(bench.charts[0].canvas.width - 2 * arguments[0]) <= 2", before)


def test_dark_and_light(bench: Page) -> None:
    """When the system turns dark, charts are drawn anew in the colours of that."""
    add(bench, {}, {"y": [1.0, 2.0]})
    assert painted(bench, 0, 0, 1, 1) > 50
    bench.theme("dark")
    bench.wait(lambda: painted(bench, 0, 0, 1, 1) == 0)
    bench.theme("light")
    bench.wait(lambda: painted(bench, 0, 0, 1, 1) > 50)


# -- pointer and keys ----------------------------------------------------------------------------


def test_the_pointer_shows_values_and_draws_nothing_anew(bench: Page) -> None:
    """The values under the pointer are told, by a line and a box that move; nothing is redrawn."""
    add(bench, {}, {"y": [float(i) for i in range(101)], "label": "up"}, {"y": [50.0] * 101})
    before = bench.evaluate("bench.charts[0].draws")
    for part in (0.2, 0.4, 0.3):
        bench.move(".chart", part, 0.9)
    told = bench.wait_text(".chart-tip", "up")
    settle(bench)
    x = round(bench.evaluate("bench.events.findLast(e => e[0] === 'hover')[2]"))
    assert f"step {x}" in told and f"up{x}" in told
    assert bench.evaluate("bench.charts[0].draws") == before
    bench.move("#root", 0.99, 0.99)
    bench.wait("document.querySelector('.chart-tip').hidden")
    assert events(bench, "hover")[-1] is None


def test_a_label_that_is_markup_is_text(bench: Page) -> None:
    """Markup in a label is shown as it is, in the tip and for those who listen."""
    label = "<img src=x onerror=alert(1)>"
    add(bench, {"title": label}, {"y": [1.0, 2.0], "label": label})
    bench.move(".chart")
    bench.wait_text(".chart-tip", label)
    bench.wait_text(".chart > p.unseen", label)
    assert bench.evaluate("document.images.length") == 0


def test_a_box_zooms_and_a_double_click_shows_all(bench: Page) -> None:
    """A flat box zooms the x axis, a high one the y axis too; a double click ends both."""
    add(bench, {}, {"y": [float(i % 10) for i in range(1000)]})
    bench.run("bench.charts[0].cursor(77)")
    bench.drag(".chart", (0.3, 0.5), (0.6, 0.52))
    low, high = events(bench, "zoom")[-1]
    assert 150 < low < 300 < 500 < high < 650
    settle(bench)
    assert bench.evaluate("bench.charts[0].plane.y.high") > 9
    bench.drag(".chart", (0.3, 0.4), (0.6, 0.6))
    settle(bench)
    scale = bench.evaluate("bench.charts[0].plane.y")
    assert 2 < scale["low"] < scale["high"] < 8
    bench.double_click(".chart")
    settle(bench)
    assert events(bench, "zoom")[-1] is None
    assert events(bench, "cursor")[-1] == 77
    assert bench.evaluate("bench.charts[0].range") == [0, 999]


def test_the_wheel_scrolls_the_page_unless_a_key_is_held(bench: Page) -> None:
    """The wheel alone is the page's; with Control it zooms at the pointer, with Shift it moves."""
    add(bench, {}, {"y": [float(i) for i in range(1000)]})
    bench.wheel(".chart", -300)
    assert events(bench, "zoom") == []
    bench.wheel(".chart", -300, holding="CONTROL")
    low, high = bench.wait("bench.events.filter(e => e[0] === 'zoom').at(-1)")[2]
    assert 0 < low < 500 < high < 999
    bench.wheel(".chart", 100, holding="SHIFT")
    bench.wait("bench.events.filter(e => e[0] === 'zoom').length === 2")
    moved = events(bench, "zoom")[-1]
    assert moved[0] > low and moved[1] - moved[0] == pytest.approx(high - low)


def test_keys_move_the_cursor_along_the_points(bench: Page) -> None:
    """Arrows go to the next point, with Shift by ten, Home and End to the ends; it is spoken."""
    add(bench, {}, {"x": [i * 3 for i in range(50)], "y": [i / 2 for i in range(50)]})
    bench.run("document.querySelector('.chart').focus()")
    bench.press("ARROW_RIGHT", "ARROW_RIGHT", "ARROW_RIGHT")
    bench.press("ARROW_RIGHT", holding="SHIFT")
    bench.press("ARROW_LEFT")
    assert events(bench, "cursor") == [0, 3, 6, 36, 33]
    assert "step 33: run 0 5.5" in bench.wait_text("[aria-live]", "step 33")
    bench.press("END")
    bench.press("ARROW_RIGHT")
    bench.press("HOME")
    assert events(bench, "cursor")[-3:] == [147, 147, 0]


def test_a_chart_is_named_and_told_in_words(bench: Page) -> None:
    """A chart can be focused, has a name, and its curves are summed up for screen readers."""
    add(bench, {"title": "train/loss"}, {"y": [3.0, 1.0, None, 2.0], "label": "a"})
    chart = bench.find(".chart")
    assert chart.get_attribute("aria-label") == "train/loss"
    assert chart.get_attribute("tabindex") == "0"
    told = bench.wait_text(".chart > p.unseen", "train/loss")
    assert "a: 4 values from 1 to 3, the last 2, 1 NaN or infinite" in told


@pytest.mark.parametrize(
    ("series", "told"),
    [
        ({"y": [None]}, "a: 1 value, all NaN or infinite."),
        ({"y": [1.0, None]}, "the last 1, 1 NaN or infinite."),
        (
            {"y": [1.0, 2.0], "min": [0.0, 1.5], "max": [3.0, 2.5], "count": [9, 9]},
            "a: 18 values from 0 to 3, the last about 2.",
        ),
        ({"x": [-2.3e-13, 7 + 1e-12], "y": [1.0, 2.0]}, "from step 0 to step 7."),
    ],
)
def test_what_is_told_in_words_is_so(bench: Page, series: dict[str, Any], told: str) -> None:
    """A mean is not told as a value, one value not as many, and steps are whole."""
    add(bench, {"title": "train/loss"}, {"label": "a", **series})
    assert told in bench.wait_text(".chart > p.unseen", "train/loss")


def test_words_are_of_the_range_that_is_shown(bench: Page) -> None:
    """In a zoom, counts and last value are of its range, and as certain as they are known."""
    add(bench, {"title": "a"}, {"y": [1.0, 2.0, 3.0, 4.0], "count": [5, 5, 5, 5], "label": "b"})
    bench.run("bench.charts[0].zoomTo([0, 1])")
    settle(bench)
    told = bench.wait_text(".chart > p.unseen", "to step 1.")
    assert "b: about 10 values from 1 to 2, the last 2." in told


# -- what it hands out ---------------------------------------------------------------------------


def test_a_highlight_makes_the_others_faint(bench: Page) -> None:
    """The curve that stands out is drawn strongly, the others faintly."""
    add(bench, {}, {"y": [1.0, 1.0], "label": "a"}, {"y": [2.0, 2.0], "label": "b"})
    before = painted(bench, 0, 0.9, 1, 0.1)
    bench.run("bench.charts[0].highlight('b')")
    settle(bench)
    assert painted(bench, 0, 0.9, 1, 0.1) < before / 10
    bench.run("bench.charts[0].highlight('nobody')")
    settle(bench)
    assert painted(bench, 0, 0.9, 1, 0.1) == before


def test_a_highlight_draws_no_line_but_its_own(bench: Page) -> None:
    """However many there are; only a change of the curves draws all of them."""
    lines = [{"y": [1.0 * n, 2.0], "label": f"l{n}"} for n in range(20)]
    add(bench, {}, *lines)
    bench.run(
        "const own = CanvasRenderingContext2D.prototype, stroke = own.stroke; window.strokes = 0;"
        "own.stroke = function (...all) { window.strokes += 1; return stroke.apply(this, all); }"
    )
    for name in ("l3", "l17", None):
        bench.run("bench.charts[0].highlight(arguments[0])", name)
        settle(bench)
    few = bench.evaluate("window.strokes")
    bench.run("bench.charts[0].zoom([0, 0.5])")
    settle(bench)
    assert bench.evaluate("window.strokes") - few >= 20
    assert few < 12


def test_many_changes_are_one_drawing(bench: Page) -> None:
    """Whatever is changed within a frame is drawn once, and nothing of it in other charts."""
    add(bench, {}, {"y": [1.0, 2.0]})
    add(bench, {}, {"y": [1.0, 2.0]})
    before = bench.evaluate("bench.charts.map(c => c.draws)")
    bench.run(
        "const c = bench.charts[0]; for (let i = 0; i < 20; i += 1) {"
        "c.series([bench.complete({y: [i, 2, 3]})]); c.set({log: i % 2 === 0});"
        "c.zoom([0, i + 1]); }"
        "return bench.settled()"
    )
    assert bench.evaluate("bench.charts.map(c => c.draws)") == [before[0] + 1, before[1]]


def test_the_table_has_what_is_shown(bench: Page) -> None:
    """The CSV holds each point of the range to the last digit, and no formula."""
    y = [0.1, 0.2, None, 1763722000.25, -1e-300]
    number = add(bench, {}, {"y": y, "label": '=cmd|"x"'})
    rows = list(csv.DictReader(io.StringIO(bench.evaluate("bench.charts[0].csv()"))))
    assert [row["mean"] and float(row["mean"]) for row in rows] == [v or "" for v in y]
    assert [row["nonfinite"] for row in rows] == ["0", "0", "1", "0", "0"]
    assert {row["curve"] for row in rows} == {'\'=cmd|"x"'}
    bench.run("bench.charts[arguments[0]].zoom([1, 3])", number)
    rows = list(csv.DictReader(io.StringIO(bench.evaluate("bench.charts[0].csv()"))))
    assert [row["step"] for row in rows] == ["1", "2", "3"]


def test_the_picture_has_title_and_legend(bench: Page) -> None:
    """The PNG is opaque, and higher than the chart by a title and a legend."""
    add(
        bench,
        {"title": "loss"},
        *({"y": [1.0, 2.0], "label": f"a long name {n}"} for n in range(9)),
    )
    url = bench.run(
        "return bench.charts[0].png().then(blob => new Promise(done => {"
        "const r = new FileReader(); r.onload = () => done(r.result); r.readAsDataURL(blob); }))"
    )
    width, height = bench.evaluate("[bench.charts[0].plane.width, bench.charts[0].plane.height]")
    with Image.open(io.BytesIO(decode(url))) as picture:
        assert abs(picture.width - 2 * width) <= 2
        assert picture.height > 2 * (height + 26 + 18)
        assert picture.convert("RGBA").getchannel("A").getextrema() == (255, 255)


def test_what_ends_listens_no_more(bench: Page) -> None:
    """Once its signal is aborted, a chart tells nothing and draws nothing."""
    add(bench, {}, {"y": [1.0, 2.0]})
    bench.move(".chart", 0.4, 0.5)
    before = len(events(bench, "hover"))
    assert before
    bench.run("bench.end()")
    bench.move(".chart", 0.6, 0.5)
    bench.size(900, 600)
    drawn = bench.evaluate("bench.charts[0].draws")
    settle(bench)
    assert len(events(bench, "hover")) == before
    assert bench.evaluate("bench.charts[0].draws") == drawn


def test_columns_that_tell_most_are_preferred_by_their_whole_name(bench: Page) -> None:
    """`return` says more than `episode`, also where it is all of a column's name."""
    found = bench.run(
        "return import(new URL('../static/groups.js', location)).then((groups) =>"
        " groups.telling(groups.group({'metrics/env': ['episode', 'return']}, true), 1)[0].columns)"
    )
    assert found == ["return"]


def test_no_time_is_shown_as_less_than_nothing(bench: Page) -> None:
    """A frame of the first row may be some microseconds before it."""
    said = bench.run(
        "return import(new URL('../static/format.js', location)).then(({ duration }) =>"
        " [-4e-4, 0, -6e-4, -1.5, -75].map(duration))"
    )
    assert said == ["0.000 s", "0.000 s", "−0.001 s", "−1.50 s", "−1 min 15 s"]
