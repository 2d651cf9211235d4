"""The frames of a camera by themselves, brought from a server whose answers are known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .browser import Page
from .site import HARNESS, STATIC, Site

# What is at `frames` is what the camera has, in the order of its times; a hash is the shade of gray
# that the picture has. `most` contents are given at once, and none of those that are `away`.
SERVER = """
    const answer = (body, status = 200) => new Response(body, {status});
    async function picture(shade) {
        const canvas = new OffscreenCanvas(2, 2);
        const drawing = canvas.getContext('2d');
        drawing.fillStyle = `rgb(${shade}, ${shade}, ${shade})`;
        drawing.fillRect(0, 0, 2, 2);
        return new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer());
    }
    window.server = {frames: [], most: 64, away: [], asked: []};
    window.fetch = async (address) => {
        const url = new URL(address);
        const {frames, most, away, asked} = server;
        if (url.pathname.includes('/frames/')) {
            const begin = frames.map(String).indexOf(url.searchParams.get('cursor')) + 1;
            const rest = frames.slice(begin);
            return answer(JSON.stringify({
                count: frames.length,
                steps: rest.map((_, i) => begin + i),
                timestamps: rest.map((_, i) => begin + i),
                sha256: rest,
                types: rest.map(() => 'image/png'),
                last: String(frames.at(-1)),
                next: null,
            }));
        }
        const wanted = (url.searchParams.get('sha256') ?? '').split(',');
        asked.push(wanted);
        const alone = !url.pathname.endsWith('/batch');
        if (alone) return answer(await picture(url.pathname.split('/').at(-1)));
        if (wanted.length > most) return answer('{}', 413);
        const there = wanted.filter((shade) => shade && !away.includes(shade));
        const bodies = await Promise.all(there.map(picture));
        const pieces = there.map((sha256, i) => ({sha256, size: bodies[i].length}));
        return answer(new Blob([JSON.stringify({pieces}), '\\n', ...bodies]));
    };
"""
CAMERA = """
    return (async () => {
        const {Camera} = await import('/static/frames.js');
        window.end = new AbortController();
        window.camera = new Camera({id: 'r'}, {name: 'front', count: 0, origin: 0}, end.signal);
        await camera.load();
    })();
"""
SHADE = """
    (() => {
        const picture = camera.show(arguments[0]);
        if (!picture) return null;
        const drawing = new OffscreenCanvas(2, 2).getContext('2d');
        drawing.drawImage(picture, 0, 0);
        return drawing.getImageData(0, 0, 1, 1).data[0];
    })()
"""


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The modules of the pages, and a page to load them from."""
    with Site(static=STATIC, harness=HARNESS) as found:
        yield found


@pytest.fixture
def bench(page: Page, site: Site) -> Iterator[Page]:
    """A page whose requests are answered by `server`."""
    page.open(f"{site.url}/harness/chart.html")
    page.run(SERVER)
    yield page
    page.run("window.end?.abort()")


def load(bench: Page, frames: list[str | None], **server: Any) -> None:
    """A camera that has read these frames."""
    bench.run("Object.assign(server, arguments[0])", {"frames": frames, **server})
    bench.run(CAMERA)


def wait_shade(bench: Page, place: int, shade: int) -> None:
    """Wait until the picture of a place has a shade of gray."""
    bench.wait(f"{SHADE} === arguments[1]", place, shade)


@pytest.mark.parametrize("most", [64, 5, 1, 0])
def test_pictures_come_in_as_many_answers_as_their_size_takes(bench: Page, most: int) -> None:
    """Few where an answer would be too large, alone where even one is; each at its place."""
    load(bench, [str(10 * place) for place in range(18)], most=most)
    for place in (7, 17, 0):
        wait_shade(bench, place, 10 * place)


def test_a_frame_that_comes_late_moves_those_behind_it(bench: Page) -> None:
    """Of several encoders a later frame may be done first: no place keeps another's picture."""
    load(bench, ["10", "30"])
    wait_shade(bench, 1, 30)
    bench.run("server.frames = ['10', '20', '30']; return camera.load()")
    for place, shade in ((1, 20), (2, 30), (0, 10)):
        wait_shade(bench, place, shade)


def test_a_frame_whose_content_is_not_known_yet_is_not_asked_for(bench: Page) -> None:
    """Once it is known, its picture is there."""
    load(bench, [None])
    assert bench.evaluate(SHADE, 0) is None
    bench.run("server.frames = ['40']; return camera.load()")
    wait_shade(bench, 0, 40)
    assert bench.evaluate("server.asked") == [["40"]]


def test_a_picture_that_is_on_its_way_is_asked_for_again(bench: Page) -> None:
    """By itself, and no other of its neighbours with it."""
    load(bench, ["10", "20"], away=["20"])
    wait_shade(bench, 0, 10)
    bench.wait("camera.failed.size === 1")
    bench.run("server.away = []")
    bench.wait("camera.bitmaps.has(1)")
    wait_shade(bench, 1, 20)
    assert bench.evaluate("camera.failed.size") == 0
    assert bench.evaluate("server.asked") == [["10", "20"], ["20"]]
