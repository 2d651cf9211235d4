"""The hook that is called after each step of a simulation."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import mujoco

from ml_dash import Experiment
from ml_dash_mujoco.cameras import View
from ml_dash_mujoco.contexts import REMEDY, NoOpenGLError
from ml_dash_mujoco.deferred import render_deferred
from ml_dash_mujoco.episodes import Episodes
from ml_dash_mujoco.facts import tell
from ml_dash_mujoco.kept import Keeper
from ml_dash_mujoco.moments import Place, Places
from ml_dash_mujoco.numbers import numbers_of
from ml_dash_mujoco.options import Options, as_selection, described
from ml_dash_mujoco.pace import Pace
from ml_dash_mujoco.painter import Painter, Pictures
from ml_dash_mujoco.simulation import Simulation, finite
from ml_dash_mujoco.snapshot import Snapshot
from ml_dash_mujoco.state import Stage
from ml_dash_mujoco.telling import Teller

STATE = ("qpos", "qvel", "ctrl", "sensor:*")


class RenderHook:
    """Records a simulation: its state as rows, what its cameras see as frames of the same steps::

        with RenderHook(experiment, model, cameras=["front"], fps=30) as hook:
            while data.time < 10:
                mujoco.mj_step(model, data)
                hook(data)

    Args:
        experiment: one whose run has started.
        model: a `mujoco.MjModel`, or a Gymnasium environment that simulates with MuJoCo; then call
            `hook()` or `hook(env)`. Its offscreen buffer is enlarged where `size` needs it.
        cameras: names or ids of cameras, -1 for the free one, or a dict from names to these or to
            `mujoco.MjvCamera`; by default all of the model, or the free one where it has none;
            `[]` for rows only.
        size: height and width of the frames in pixels; by default 480 and 640.
        fps: frames a second of simulation time, 30 by default. A row goes with each frame; a call
            between them costs well under a microsecond.
        every: instead of `fps`, a frame and its row at each n-th call.
        rows_every: beside these, a row without a frame at each n-th call; 1 for a row at each.
        state: what the rows hold; see `ml_dash_mujoco.state`.
        depth: also record depth, in `mujoco/<camera>_depth`: 16-bit PNG in millimetres, or in the
            unit that is given in metres (`depth=0.0001`); 0 where there is nothing, or nothing
            within 65,535 units.
        segmentation: also record which object each pixel shows, in `mujoco/<camera>_segmentation`:
            16-bit PNG, 0 for the background, `geom_id + 1` for a geom; `decode_segmentation` gives
            what MuJoCo gave.
        shadows: draw shadows, which in software cost ten times the rest together.
        renderer: a `mujoco.Renderer` of your own; call the hook in the thread that made it. Not
            with `deferred`.
        deferred: keep the state of each frame instead of drawing it, with what was changed in the
            model (colours, materials, sizes, places, lights, cameras; not textures, meshes or fog)
            and in an `MjvCamera`; `render_deferred` draws all afterwards.
        prefix: put in front of `mujoco/…`, the names of tracks and frames. Hooks that are used at
            once need different ones: a hook goes on with the rows of those before it.
        image_format: of the cameras' frames, `jpg` or `png`.
        quality: of JPEG frames, 1-100.

    What is recorded, with one step and one timestamp for all of a moment:

    - track `mujoco/state`: `time` (simulation time, seconds), `episode` (begins anew, which the
      step does not, when that goes back: at resets, and at those that MuJoCo makes on bad states,
      which `reset` names then), the state, and `frame` where there is one. Within a step that
      another recorder has opened, the episode is that one's, and rows after the first have
      `substep` 1, 2, ….
    - frames `mujoco/<camera>`.
    - metadata `mujoco` of the run, by track: which slice of a column that is a whole array is
      which element's (`columns`), timestep, cameras, units, size, pace; in `earlier`, what of that
      was another `before_step`, where a later hook or a new model has changed it.

    Everything is of one moment: poses and sensors, which after `mj_step` are still those of the
    moment before, are computed anew in a copy. The simulation itself is never touched.

    Without OpenGL, and in a process that was forked after drawing, where it would hang, one warning
    is given, rows go on, and frames are deferred. Errors while recording are told once and counted
    in `failures`; they do not reach the simulation.

    Attributes:
        episode: the number of the episode that goes on. Episodes and steps are counted from 0, or
            from where those end that the run has already.
        failures: how many calls could not be recorded in full.

    Raises:
        ValueError: a camera, site, sensor or other name that the model does not have (the message
            lists those it has), or an argument out of its range.
        TypeError: an argument of a wrong type.
    """

    def __init__(
        self,
        experiment: Experiment,
        model: Any,
        cameras: Iterable[str | int] | Mapping[str, str | View] | None = None,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        every: int | None = None,
        state: Iterable[str] = STATE,
        depth: bool | float = False,
        segmentation: bool = False,
        shadows: bool = False,
        renderer: Any = None,
        deferred: bool = False,
        *,
        rows_every: int | None = None,
        prefix: str = "",
        image_format: str = "jpg",
        quality: int = 95,
    ) -> None:
        if not isinstance(experiment, Experiment):
            raise TypeError(f"experiment is a {type(experiment).__name__}; give an Experiment")
        if not isinstance(prefix, str):
            raise TypeError(f"prefix is {prefix!r}; give a text, such as 'left'")
        self._experiment = experiment
        self._simulation = Simulation(model)
        self._environment, self._source = self._simulation.environment, self._simulation.source
        self._options = Options(
            cameras, size, as_selection(state), depth, segmentation, shadows, renderer, deferred
        )
        self._prefix = prefix
        self._root = f"{prefix}/mujoco" if prefix else "mujoco"
        self._topic = f"{self._root}/state"
        self._pace = Pace(fps, every, rows_every)
        self._seen = self._due = float("-inf")
        self._left = self._granted = 0
        self.failures = 0
        self._teller = Teller()
        self._open = True
        self._turn = threading.RLock()  # what is held between threads is one moment's
        options = {"format": image_format, "quality": quality, "strict": False}
        self._recorder = experiment.recorder(**options)
        self._exact = experiment.recorder(format="png", strict=False)
        self._keeper = Keeper(experiment, self._root, image_format, quality)
        self._deferred = deferred
        self._numbers = numbers_of(experiment, self._topic)
        self._bind(renderer)
        self._episodes = Episodes(self._numbers.episode)
        self._places = Places(self._recorder, self._numbers.step, self._simulation.is_of)
        self._numbers.hook = weakref.ref(self)
        _hooks.add(self)
        close = weakref.WeakMethod(self.close)
        experiment.run.before_end(lambda: (call := close()) and call())

    @property
    def episode(self) -> int:
        """The number of the episode that goes on."""
        return self._episodes.number

    def __call__(self, data: Any = None) -> int | None:
        """Record what is due. To be called after each step of the simulation.

        Args:
            data: the simulation, `mujoco.MjData` or the environment; for a hook that was made with
                an environment, that one by default. It is only read.

        Returns:
            The step of what was recorded; `None` when nothing was due.

        Raises:
            TypeError, ValueError: no simulation was given, or that of another model; or a later
                hook has the same prefix.
        """
        try:
            if data is None or data is self._environment:
                data = self._source.data
            time: float = data.time
        except AttributeError:
            data = self._simulation.data_of(data)
            time = data.time
        if self._seen < time < self._due and self._left > 0:
            self._seen = time
            self._left -= 1
            return None
        with self._turn:
            return self._call(data)

    def reset(self) -> None:
        """Have the next call begin an episode, also where simulation time does not go back."""
        with self._turn:
            self._episodes.begin()
            self._due = float("-inf")

    def render_deferred(self, *, progress: bool = True) -> int:
        """Draw the frames that were deferred. To be called when the simulation has ended.

        Args:
            progress: show a progress bar.

        Returns:
            How many moments were drawn, each as all cameras see it.

        Raises:
            FileNotFoundError: nothing was deferred.
            RuntimeError: OpenGL does not work here.
        """
        return render_deferred(self._experiment, prefix=self._prefix, progress=progress)

    def close(self) -> None:
        """Free the renderer. Calls after that record nothing. Closing twice is fine."""
        self._open = False
        self._due = float("-inf")
        self._painter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _bind(self, renderer: Any) -> None:
        """Make ready for the model of the simulation."""
        self._bound = False  # until all of it fits: what is known of another model is wrong for it
        model = self._simulation.model
        self._columns = self._options.columns(model)
        self._look = self._options.look(model)
        for folder in self._look.folders:
            self._experiment.files(f"{self._root}/{folder}")  # which refuses what is no path
        self._snapshot = Snapshot(model)
        self._stage = self._columns.stage
        self._painter = Painter(model, self._look, renderer)
        weakref.finalize(self, self._painter.close).atexit = False  # it sees to that itself
        if self._deferred:
            self._keeper.prepare(model, self._look)
        facts = described(model, self._columns, self._look) | self._pace.described
        tell(self._experiment, self._topic, facts, self._numbers)
        self._bound = True

    def _call(self, data: mujoco.MjData) -> int | None:
        """A call of which something may be due."""
        if not self._open:
            self._teller.tell("closed", "a hook that is closed was called; it records nothing")
            return None
        if self._numbers.hook() is not self:
            raise ValueError(
                f"a later hook of this run has the prefix {self._prefix!r}, too, and goes on with"
                " the rows; give each hook a prefix of its own: RenderHook(…, prefix='left')"
            )
        changed = self._simulation.has_changed(data)
        try:
            if changed or not self._bound:  # an environment has made itself another model
                self._painter.close()
                self._bind(None)
            return self._take(data, finite(data.time))
        except Exception as error:  # noqa: BLE001 - recording must not end the simulation
            self._fail(error)
            return None

    def _take(self, data: mujoco.MjData, time: float) -> int | None:
        begins = self._episodes.see(data, time, self._seen, self._places.has)
        if begins:
            self._pace.begin()
            self._granted = self._left = 0
        rows, frames = self._pace.take(time, self._granted - self._left)
        self._seen, self._due = time, self._pace.time
        self._left = self._granted = self._pace.calls
        place = self._places.find(time) if rows else None
        return None if place is None else self._record(data, time, place, frames)

    def _record(self, data: mujoco.MjData, time: float, place: Place, frames: bool) -> int:
        moment = place.moment
        moment.timestamp  # noqa: B018 - taken now, before the time that drawing takes
        row: dict[str, Any] = {"time": time, "episode": self._episodes.join(moment.episode)}
        if place.substep:
            row["substep"] = place.substep
        if reason := self._episodes.take_reason():
            row["reset"] = reason
        draws = frames and not place.framed and bool(self._look.views)
        stage = max(self._stage, Stage.POSE) if draws else self._stage
        row |= self._columns.read(self._snapshot.take(data, stage))
        tracks = {self._topic: row}
        pictures = Pictures()
        if draws:
            place.framed = True
            pictures = self._draw()
            if self._deferred:
                folders = [f"{self._root}/{folder}" for folder in self._look.folders]
                row["frame"] = self._recorder.name_frames(moment, folders)
                tracks[self._keeper.topic] = self._keeper.row(row, self._snapshot.state)
        colour = {f"{self._root}/{name}": shot for name, shot in pictures.colour.items()}
        self._recorder.record(moment, tracks=tracks, frames=colour)
        if pictures.exact:
            exact = {f"{self._root}/{name}": shot for name, shot in pictures.exact.items()}
            self._exact.record(moment, frames=exact)
        self._numbers.note(moment.step, row["episode"])
        return moment.step

    def _draw(self) -> Pictures:
        """What the cameras see; nothing where that is deferred, or cannot be drawn."""
        if self._deferred:
            return Pictures()
        try:
            try:
                return self._painter.draw(self._snapshot.data)
            except BaseException:  # Ctrl-C, too
                self._snapshot.let_go()
                raise
        except NoOpenGLError as error:
            self._deferred = True
            self._keeper.prepare(self._simulation.model, self._look)
            self._teller.tell(
                "opengl",
                f"no frames are drawn: {error}. Rows are recorded, and the states of the frames are"
                " kept: ml_dash_mujoco.render_deferred(experiment) draws them where OpenGL works."
                f" {REMEDY}",
            )
        except Exception as error:  # noqa: BLE001 - the row is recorded without a frame
            self._fail(error)
        return Pictures()

    def _fail(self, error: Exception) -> None:
        self.failures += 1
        self._teller.tell(
            f"{type(error).__name__}",
            f"a moment of the simulation was not recorded in full: {type(error).__name__}: {error}."
            " The simulation goes on; further errors of this kind are counted in hook.failures",
        )


_hooks: weakref.WeakSet[RenderHook] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for hook in list(_hooks):
        hook._turn = threading.RLock()  # a thread that is not here may hold the parent's


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
