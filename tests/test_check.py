"""`check_run`: every line, every file, every step, and nothing changed."""

import hashlib
import json
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written import A, B, Written, line, png

from ml_dash.environment import process_identity
from ml_dash.reading import check_run, open_run

DEAD = {**process_identity(), "process_start": 1, "pid": os.getpid()}  # its pid is ours by now


@pytest.fixture
def run(tmp_path):
    """A whole run: rows, frames that rows name, a file."""
    run = Written(tmp_path / "run").start(1.0, prefix="some/run", **DEAD)
    for step in range(4):
        frame = {"frame": f"{step}.png"} if step % 2 == 0 else {}
        run.put("tracks/pos", line(1.0 + step, step=step, x=step, **frame))
        if frame:
            run.frame(f"cam/{step}.png", at=1.0 + step, step=step)
    run.put("logs", line(2.0, level="info", message="hello"))
    run.file("models/m.pt", b"weights")
    return run.end(99.0)


def snapshot(run):
    """Every file of the run and its content."""
    files = (path for path in run.folder.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def found(run):
    """The findings as (severity, path, message)."""
    report = check_run(run.folder)
    return [(finding.severity, finding.path, finding.message) for finding in report.findings]


def test_a_whole_run_is_ok(run):
    """Counts are right, nothing is found, and the report is JSON."""
    report = check_run(run.folder)
    assert report.ok
    assert report.findings == []
    assert (report.segments, report.rows, report.files) == (4, 10, 3)
    assert report.file_bytes == 7 + 2 * len(png(0))
    assert (report.prefix, report.status) == ("some/run", "COMPLETED")
    (steps,) = report.steps
    assert (steps.camera, steps.frames, steps.with_step, steps.matched) == ("cam", 2, 2, 2)
    assert json.loads(json.dumps(report.to_json()))["ok"] is True


def test_numbers_that_json_has_not_are_read_and_named(run):
    """Another program's rows may hold a bare NaN; one within a text is nothing."""
    path = run.put("tracks/plc", b'{"timestamp":1.0,"x":NaN,"y":[-Infinity, 2]}\n', writer=B)
    run.put("tracks/plc", line(2.0, x=float("nan"), text="x: NaN", more="[NaN"), writer=B)
    report = check_run(run.folder)
    (finding,) = report.findings
    assert (finding.severity, finding.path, finding.offset) == (
        "warning",
        f"tracks/plc/{B}.jsonl",
        0,
    )
    assert "NaN or Infinity as a number, which JSON has not" in finding.message
    assert report.ok
    view = open_run(path.parents[2])
    assert [str(row["x"]) for row in view.tracks["plc"].rows()] == ["nan", "nan"]
    (problem,) = view.problems
    assert "skipped" not in str(problem)


def test_a_check_changes_no_byte(run):
    """Whatever it finds, no file is written, shortened or removed."""
    run.put("logs", b"garbage\n", b'{"timestamp":9.0,')
    (run.folder / "files/data/models/m.pt").write_bytes(b"damaged")
    (run.folder / "files/data/x.tmp").write_bytes(b"")
    before = snapshot(run)
    assert not check_run(run.folder).ok
    assert snapshot(run) == before


def test_a_check_tells_how_far_it_is(run):
    """Whoever asks is called with each segment and file, up to the numbers of the report."""
    told = []
    report = check_run(run.folder, lambda so_far, files: told.append((so_far.files, files)))
    assert [files for files, _ in told] == sorted(files for files, _ in told)
    assert told[0] == (0, 3) and told[-1] == (report.files, 3)
    assert len(told) >= report.segments + report.files


def test_a_folder_without_a_run_is_an_error(tmp_path):
    """The message names the folder."""
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        check_run(tmp_path)


# -- lines ---------------------------------------------------------------------------------------


def test_an_unreadable_line_is_an_error_with_file_and_byte(run):
    """Torn lines, NULs and what is no row, each at its offset, in whatever stream."""
    size = (run.folder / f"logs/{A}.jsonl").stat().st_size
    torn = b'{"timestamp":5.0,"level":"in\n'
    run.put("logs", torn, line(6.0, message="m"), b"\0" * 10 + b"\n")
    run.put("metrics/deep/er", b"null\n", writer=B)
    errors = check_run(run.folder).errors
    second = size + len(torn) + len(line(6.0, message="m"))
    assert [(e.path, e.offset) for e in errors] == [
        (f"logs/{A}.jsonl", size),
        (f"logs/{A}.jsonl", second),
        (f"metrics/deep/er/{B}.jsonl", 0),
    ]
    assert f"logs/{A}.jsonl: byte {size}" in str(errors[0])
    assert "torn" in errors[0].message
    assert "10 NUL bytes" in errors[1].message


@pytest.mark.parametrize("where", ["same", "anew", "recovered"])
def test_a_torn_line_whose_row_was_written_again_is_a_note(run, where):
    """A writer that was cut short writes the whole row again: nothing is lost."""
    row = line(7.0, level="info", message="cut in the middle")
    run.put("logs", row[:40], b"" if where == "recovered" else b"\n")
    part = {"same": "", "anew": "-2", "recovered": "-r"}[where]
    run.put("logs", *(line(7.5, message="between") for _ in range(3)), row, part=part)
    if where == "recovered":
        assert found(run)[0][2].startswith("an unfinished line")
    (finding,) = found(run)
    assert finding[0] == "note"
    assert "written again" in finding[2]


def test_a_torn_line_like_no_other_is_an_error(run):
    """Another row of the same moment does not excuse it."""
    row = line(7.0, level="info", message="cut in the middle")
    run.put("logs", row[:40], b"\n", line(7.0, level="infinite"))
    assert [severity for severity, *_ in found(run)] == ["error"]


def test_an_unfinished_line_counts_only_when_its_writer_is_gone(tmp_path):
    """While the writer lives, its last line may be on its way."""
    for identity, expected in ((process_identity(), []), (DEAD, ["error"])):
        run = Written(tmp_path / str(len(expected))).start(time.time(), **identity)
        run.put("logs", line(1.0), b'{"timestamp":2.0,"message":"')
        assert [severity for severity, *_ in found(run)] == expected


# -- files ---------------------------------------------------------------------------------------


def test_a_damaged_file_is_an_error(run):
    """One changed bit is enough; so is a missing byte, or the file missing."""
    model = run.folder / "files/data/models/m.pt"
    for data, message in [(b"weighty", "checksum"), (b"weight", "6 bytes long and should be 7")]:
        model.write_bytes(data)
        ((severity, path, text),) = found(run)
        assert (severity, path) == ("error", "files/data/models/m.pt")
        assert message in text
    model.unlink()
    assert found(run) == [("error", "files/data/models/m.pt", "the file of 'models/m.pt' is gone")]


def test_a_file_of_an_earlier_save_is_a_warning(run):
    """Killed between the announcement and the rename, the file is whole, but not the last one."""
    target = run.file("models/m.pt", b"newer weights")
    target.write_bytes(b"weights")
    ((severity, _, message),) = found(run)
    assert severity == "warning"
    assert "earlier save" in message


def test_deleted_and_replaced_files_are_not_looked_for(run):
    """Only the latest save of a path is there."""
    run.file("models/m.pt", b"second").with_name("other").write_bytes(b"")
    (run.folder / "files/data/models/other").unlink()
    run.put("files/index", line(98.0, op="delete", path="models/m.pt"))
    (run.folder / "files/data/models/m.pt").unlink()
    assert found(run) == []


def test_a_file_that_is_saved_while_it_is_checked_is_no_error(run, monkeypatch):
    """The index is read anew before a difference is told."""
    from ml_dash.reading import check_files

    measure = check_files._measure

    def saved_meanwhile(view, row):
        if row["path"] == "models/m.pt" and row["size"] == 7:
            run.file("models/m.pt", b"newer weights", timestamp=97.0)
        return measure(view, row)

    monkeypatch.setattr(check_files, "_measure", saved_meanwhile)
    assert found(run) == []


def test_an_index_row_that_lacks_something_is_an_error(run):
    """It names what is missing."""
    size = (run.folder / f"files/index/{A}.jsonl").stat().st_size
    run.put("files/index", line(9.0, op="save", path="a", data="a"), line(9.0, op="move"))
    first, second = check_run(run.folder).errors
    assert (first.offset, first.message) == (size, "an index row without size, sha256")
    assert second.message == "an index row without op, path"


def test_what_belongs_to_nothing_is_told(run, tmp_path):
    """Temporaries, files that no row names, links and foreign files; none is an error."""
    for place in ("files/data/cam/4.png.1a-0.tmp", "files/data/cam/stray.png", "tracks/notes.txt"):
        (run.folder / place).write_bytes(b"")
    (run.folder / ".buffer").mkdir()
    (run.folder / ".buffer/x.probe.tmp").write_bytes(b"")
    (run.folder / "files/data/link").symlink_to(tmp_path)
    assert [(severity, path) for severity, path, _ in found(run)] == [
        ("warning", "files/data/cam/stray.png"),
        ("warning", "files/data/link"),
        ("warning", "tracks/notes.txt"),
        ("note", ".buffer/x.probe.tmp"),
        ("note", "files/data/cam/4.png.1a-0.tmp"),
    ]
    assert check_run(run.folder).ok


def test_files_on_their_way_are_no_leftovers_while_the_run_goes_on(tmp_path):
    """A live run has temporaries, files not announced yet, and frames still to come."""
    run = Written(tmp_path / "run").start(time.time(), **process_identity())
    run.put("tracks/pos", line(1.0, step=0, frame="0.png"))
    (run.folder / "files/data").mkdir(parents=True)
    for name in ("a.tmp", "0.png"):
        (run.folder / "files/data" / name).write_bytes(b"")
    assert [severity for severity, *_ in found(run)] == ["note"]


def test_runs_below_a_run_are_left_to_their_own_check(run):
    """`a/b` is a run of its own inside the folder of `a`."""
    Written(run.folder / "retry").start(1.0, **DEAD).end().put("logs", b"garbage\n")
    assert found(run) == []


# -- steps ---------------------------------------------------------------------------------------


def test_rows_that_name_a_frame_that_never_came_are_told(run):
    """How many, and the first of them."""
    for step in range(10, 20):
        run.put("tracks/pos", line(step, step=step, frame=f"{step}.png"))
    ((severity, path, message),) = found(run)
    assert (severity, path) == ("warning", "tracks")
    assert message.startswith("10 rows name a frame that never came: '10.png' (step 10)")


def test_a_row_that_names_a_frame_of_another_step_is_told(run):
    """The two steps are named."""
    run.put("tracks/pos", line(9.0, step=9, frame="cam/2.png"))
    ((severity, _, message),) = found(run)
    assert severity == "warning"
    assert "step 9 names 'cam/2.png' of step 2" in message


def test_frames_whose_step_no_row_has_are_counted(run):
    """By camera, with the first steps."""
    for step in (3, 50, 40):
        run.frame(f"side/{step}.png", at=1.0, step=step)
    run.frame("side/none.png", at=1.0)
    cam, side = check_run(run.folder).steps
    assert (cam.camera, cam.matched, cam.first_unmatched) == ("cam", 2, [])
    assert (side.frames, side.with_step, side.matched) == (4, 3, 1)
    assert side.first_unmatched == [40, 50]


def test_a_step_that_another_program_wrote_may_be_anything(run):
    """A list is no step of ours, and no reason to end the check."""
    run.put("tracks/other", b'{"timestamp":1.0,"step":[1],"x":1}\n', writer=B)
    assert found(run) == []


# -- robustness ----------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damage_anywhere_is_found_and_never_raises(tmp_path_factory, data):
    """Whatever byte of whatever file is changed, the check ends, and a changed file is an error."""
    run = Written(tmp_path_factory.mktemp("run")).start(1.0, **DEAD)
    run.put("tracks/pos", *(line(float(n), step=n, frame="f.png") for n in range(3)))
    run.frame("cam/f.png", at=1.0, step=0)
    run.end()
    files = sorted(path for path in run.folder.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != content[place]))
    content[place] = value
    path.write_bytes(content)
    report = check_run(run.folder)
    json.dumps(report.to_json())
    if path.suffix == ".png":
        assert not report.ok


def test_a_link_in_place_of_a_room_is_not_followed(run, tmp_path):
    """What lies where it leads is no business of the run."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/diary.txt").write_text("dear diary")
    (run.folder / "metrics").symlink_to(tmp_path / "elsewhere")
    assert found(run) == [("warning", "metrics", "a link inside the run; it is not followed")]
