"""Modules of the pages by themselves, given what no server gives at will."""

from __future__ import annotations

import pytest

from .browser import Page
from .site import Site

VALUES = """
    return (async () => {
        const {Values} = await import('/static/values.js');
        window.held = [];
        const names = arguments[0];
        const answer = (body) => new Response(JSON.stringify(body));
        window.fetch = async (address) => {
            if (!address.includes('/at?')) return answer(names.map((name) => ({name})));
            const asked = new URL(address).searchParams.getAll('stream');
            const row = await new Promise((done) => held.push(done));
            return answer({streams: Object.fromEntries(asked.map((name) => [name, row]))});
        };
        window.spot = {step: 1, time: null};
        window.moves = [];
        const cursor = {get: () => spot, moment: () => spot, on: (act) => moves.push(act)};
        window.live = new EventTarget();
        const {signal} = new AbortController();
        window.values = new Values({runs: [{id: 'r', origin: 0}], cursor, live, signal});
        values.load();
    })();
"""


@pytest.fixture
def bench(page: Page, site: Site) -> Page:
    """A page that modules can be loaded into."""
    page.open(f"{site.url}/harness/chart.html")
    return page


def test_a_row_that_comes_while_its_step_is_asked_for_is_shown(bench: Page) -> None:
    """The answer is of before it came: it is asked for once more, though nothing has moved."""
    bench.run(VALUES, ["tracks/a"])
    bench.wait("held.length === 1")
    bench.run("held[0](null)")
    bench.wait("values.element.textContent.includes('No stream has a row here')")
    bench.run("spot = {step: 2, time: null}; moves.forEach((act) => act())")
    bench.wait("held.length === 2")
    bench.run("live.dispatchEvent(new Event('segments')); held[1](null)")
    bench.wait("held.length === 3")
    bench.run("held[2]({step: 2, x: 7})")
    bench.wait("values.element.textContent.includes('x7')")


@pytest.mark.parametrize(("number", "requests", "more"), [(70, 2, ""), (203, 4, "and 3 more")])
def test_the_values_of_many_streams_are_shown(
    bench: Page, number: int, requests: int, more: str
) -> None:
    """In as many requests as it takes; beyond what a person reads they are counted."""
    bench.run(VALUES, [f"tracks/t{index}" for index in range(number)])
    bench.wait("held.length === arguments[0]", requests)
    bench.run("held.forEach((done) => done({step: 1, x: 7}))")
    shown = "values.element.querySelectorAll('h3').length"
    bench.wait(f"{shown} === arguments[0]", min(number, 200))
    assert more in bench.evaluate("values.element.textContent")


def test_steps_are_there_where_episodes_are_too_many_texts_to_read(bench: Page) -> None:
    """The server refuses those, and the slider goes through the steps all the same."""
    script = """
        const entries = {step: [0, 1, 2], timestamp: [5, 6, 7]};
        window.fetch = async (address) => {
            if (address.includes('column=episode')) return new Response('{}', {status: 413});
            const index = {total: 3, columns: entries};
            const streams = [{name: 'tracks/a', rows: 3, origin: 5}];
            return new Response(JSON.stringify(address.includes('/index') ? index : streams));
        };
        return import('/static/timeline.js').then(async ({Timelines}) => {
            const timelines = new Timelines({id: 'r', started: 5}, new AbortController().signal);
            const {timeline, episodes} = await timelines.load([]);
            return [[...timeline.steps], [...timeline.times], episodes];
        });
    """
    assert bench.run(script) == [[0, 1, 2], [0, 1, 2], []]


@pytest.mark.parametrize(
    ("value", "text"), [("-1.5e-5", "−1.5e−5"), ("-2", "−2"), ("1e-7", "1e−7"), ("-0.25", "−0.25")]
)
def test_a_number_has_one_kind_of_minus(bench: Page, value: str, text: str) -> None:
    """Before it and before its exponent."""
    script = "return import('/static/format.js').then(({number}) => number(arguments[0]))"
    assert bench.run(script.replace("arguments[0]", value)) == text


def test_a_run_whose_start_is_not_known_has_lasted_for_no_time(bench: Page) -> None:
    """Instead of since 1970."""
    script = """
        return import('/static/format.js').then(({duration, lasted}) =>
            [null, 10].map((seconds) => duration(lasted({status: 'FAILED', duration: seconds}))));
    """
    assert bench.run(script) == ["", "10.0 s"]
