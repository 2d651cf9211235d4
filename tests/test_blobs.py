"""Whole files inside a folder: drafts, places, links, copies."""

import errno
import hashlib
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ml_dash.backends import blobs, folders
from ml_dash.backends.blobs import BlobFolder, copy_in, reflink, write_in
from ml_dash.backends.folders import Folder, LinkError, folds_case, marked

posix_only = pytest.mark.skipif(os.name != "posix", reason="links and descriptors of POSIX")


@pytest.fixture(autouse=True, params=["nameless", "named"])
def nameless(request, monkeypatch):
    """Runs each test with files that have no name while they are written, and with temporaries."""
    wanted = request.param == "nameless"
    if wanted and not BlobFolder.nameless:
        pytest.skip("no files without a name here")
    monkeypatch.setattr(BlobFolder, "nameless", wanted)
    return wanted


def put(folder, path, data, announce=None):
    """Write one file; its place."""
    with folder.draft(path.split("/")) as draft:
        draft.write(data)
        return draft.commit(announce)


def open_descriptors():
    """How many file descriptors this process has."""
    return len(list(Path("/dev/fd").iterdir()))


def files_below(folder):
    """The paths of all files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_appears_under_its_name_only_when_it_is_whole(tmp_path, nameless):
    """Until `commit` the bytes are under a temporary name or none; then nothing else is left."""
    folder = BlobFolder(tmp_path, "files/data")
    with folder.draft(["a", "b.txt"]) as draft:
        draft.write(b"one")
        draft.write(b"two")
        for temporary in files_below(tmp_path):
            assert temporary.startswith("files/data/a/b.txt.") and temporary.endswith(".tmp")
        assert len(files_below(tmp_path)) == (0 if nameless else 1)
        assert draft.commit() == "a/b.txt"
    assert files_below(tmp_path) == ["files/data/a/b.txt"]
    assert (tmp_path / "files/data/a/b.txt").read_bytes() == b"onetwo"
    assert draft.size == 6
    assert draft.sha256 == hashlib.sha256(b"onetwo").hexdigest()


def test_a_process_that_dies_leaves_at_most_a_temporary(tmp_path, nameless):
    """Killed before `commit`, a large file takes no space, where files can do without a name."""
    code = """
import os, sys
from pathlib import Path
from ml_dash.backends.blobs import BlobFolder
BlobFolder.nameless = sys.argv[2] == "True"
draft = BlobFolder(Path(sys.argv[1])).draft(["x"])
draft.write(b"half")
os._exit(9)
"""
    command = [sys.executable, "-c", code, str(tmp_path), str(nameless)]
    environment = {**os.environ, "PYTHONPATH": str(Path(blobs.__file__).parents[1])}
    assert subprocess.run(command, env=environment).returncode == 9
    assert [name[-4:] for name in files_below(tmp_path)] == ([] if nameless else [".tmp"])


def test_a_file_that_cannot_be_given_a_name_is_copied_to_one(tmp_path, nameless, monkeypatch):
    """A file system that only pretends to name such files later costs a copy, and only once."""
    if not nameless:
        pytest.skip("about files without a name")
    link, calls = os.link, []

    def refuse(*args, **kwargs):
        calls.append(args)
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    folder = BlobFolder(tmp_path)
    data = os.urandom(blobs.CHUNK + 5)
    for name in ("a", "b", "b"):
        put(folder, name, data)
    monkeypatch.setattr(os, "link", link)
    assert files_below(tmp_path) == ["a", "b"]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == data
    assert len(calls) == 1


def test_an_empty_file_can_be_written(tmp_path):
    """A draft to which nothing is written commits a file of no bytes."""
    with BlobFolder(tmp_path).draft(["empty"]) as draft:
        draft.commit()
    assert (tmp_path / "empty").read_bytes() == b""
    assert draft.sha256 == hashlib.sha256(b"").hexdigest()


def test_a_draft_that_is_not_committed_leaves_nothing(tmp_path):
    """An error while a file is written removes what there was of it."""
    with pytest.raises(RuntimeError), BlobFolder(tmp_path).draft(["x"]) as draft:
        draft.write(b"half")
        raise RuntimeError
    assert files_below(tmp_path) == []


def test_a_new_file_is_announced_when_it_is_there_and_a_replacement_before(tmp_path):
    """What is announced always exists; what is replaced was announced earlier."""
    folder = BlobFolder(tmp_path)
    seen = []

    def announce(place):
        path = tmp_path / place
        seen.append((place, path.read_bytes() if path.exists() else None))

    put(folder, "x", b"first", announce)
    put(folder, "x", b"second", announce)
    assert seen == [("x", b"first"), ("x", b"first")]
    assert (tmp_path / "x").read_bytes() == b"second"


def test_short_writes_are_continued(tmp_path, monkeypatch):
    """A disk that takes three bytes at a time gets all of them."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, bytes(data)[:3]))
    write_in(tmp_path, "x", b"0123456789")
    monkeypatch.undo()
    assert (tmp_path / "x").read_bytes() == b"0123456789"


def test_a_full_disk_raises_and_leaves_the_former_file(tmp_path, monkeypatch):
    """ENOSPC in the middle harms neither the file that is there nor leaves a temporary."""
    write_in(tmp_path, "x", b"old")

    def full(file, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        write_in(tmp_path, "x", b"new")
    monkeypatch.undo()
    assert files_below(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_a_folder_that_was_removed_is_made_again(tmp_path):
    """A folder that was open when it was removed is not written into any more."""
    run = tmp_path / "run"
    folder = BlobFolder(run, "files/data")
    put(folder, "a/1", b"1")
    shutil.rmtree(run)
    put(folder, "a/2", b"2")
    assert files_below(run) == ["files/data/a/2"]


def test_a_folder_that_was_moved_is_not_followed(tmp_path):
    """Files go where the path says, not into the folder that went elsewhere."""
    folder = BlobFolder(tmp_path / "run")
    put(folder, "a/1", b"1")
    (tmp_path / "run").rename(tmp_path / "moved")
    put(folder, "a/2", b"2")
    assert files_below(tmp_path / "run") == ["a/2"]
    assert files_below(tmp_path / "moved") == ["a/1"]


@pytest.mark.parametrize("planted", ["files", "files/data", "files/data/a", "files/data/a/b"])
@posix_only
def test_a_planted_link_leads_no_write_out(tmp_path, planted):
    """A folder on the way that is a link is refused, and nothing appears behind it."""
    run, outside = tmp_path / "run", tmp_path / "outside"
    outside.mkdir()
    (run / planted).parent.mkdir(parents=True)
    (run / planted).symlink_to(outside)
    folder = BlobFolder(run, "files/data")
    with pytest.raises(LinkError):
        folder.check(["a", "b"])
    with pytest.raises(LinkError) as caught:
        put(folder, "a/b/c", b"secret")
    assert caught.value.filename == str(run / planted)
    assert list(outside.rglob("*")) == []


@posix_only
def test_a_link_planted_after_the_first_write_leads_no_write_out(tmp_path):
    """The folder that is kept open is compared with its path before each write."""
    run, outside = tmp_path / "run", tmp_path / "outside"
    outside.mkdir()
    folder = BlobFolder(run)
    put(folder, "a/1", b"1")
    shutil.rmtree(run / "a")
    (run / "a").symlink_to(outside)
    with pytest.raises(LinkError):
        put(folder, "a/2", b"2")
    assert list(outside.iterdir()) == []


@posix_only
def test_a_link_in_the_files_own_place_is_replaced_not_followed(tmp_path):
    """Where a link has the file's name, its target keeps its content."""
    target = tmp_path / "passwd"
    target.write_bytes(b"root")
    run = tmp_path / "run"
    run.mkdir()
    (run / "x").symlink_to(target)
    put(BlobFolder(run), "x", b"mine")
    assert target.read_bytes() == b"root"
    assert not (run / "x").is_symlink()
    assert (run / "x").read_bytes() == b"mine"


@posix_only
def test_links_are_not_read_through(tmp_path):
    """Neither a linked file nor a file in a linked folder can be opened or removed."""
    outside, run = tmp_path / "outside", tmp_path / "run"
    outside.mkdir()
    run.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (run / "file").symlink_to(outside / "secret")
    (run / "folder").symlink_to(outside)
    folder = BlobFolder(run)
    for place in ("file", "folder/secret"):
        with pytest.raises(LinkError):
            folder.open(place)
    with pytest.raises(LinkError):
        folder.remove("folder/secret")
    folder.remove("file")  # the link itself
    assert (outside / "secret").read_bytes() == b"secret"


@posix_only
def test_the_runs_folder_itself_may_be_reached_over_a_link(tmp_path):
    """Whoever puts `.dash` on another disk with a link has the right to."""
    (tmp_path / "disk").mkdir()
    (tmp_path / ".dash").symlink_to(tmp_path / "disk")
    put(BlobFolder(tmp_path / ".dash/run", "files/data"), "x", b"1")
    assert files_below(tmp_path / "disk") == ["run/files/data/x"]


@pytest.mark.parametrize("place", ["../x", "/etc/passwd", "a/../../x", "a//x", "", ".", "a/\0"])
def test_a_place_outside_is_refused(tmp_path, place):
    """What an index claims to be a place is not believed."""
    with pytest.raises(ValueError, match="not a place inside"):
        BlobFolder(tmp_path).open(place)


def test_a_file_and_a_folder_of_one_name_live_side_by_side(tmp_path):
    """`a` and `a/b` both have a place, whichever came first, and again after the other is gone."""
    folder = BlobFolder(tmp_path)
    places = {
        "a": put(folder, "a", b"a"),
        "a/b": put(folder, "a/b", b"a/b"),
        "a/b/c": put(folder, "a/b/c", b"a/b/c"),
        "x/y": put(folder, "x/y", b"x/y"),
        "x": put(folder, "x", b"x"),
    }
    assert places["a"] == "a" and places["a/b"] == "a%dir/b" and places["x"] == "x%file"
    assert len(set(places.values())) == 5
    for path, place in places.items():
        with folder.open(place) as file:
            assert file.read() == path.encode()
    assert put(folder, "x", b"again") == "x%file"
    folder.remove("a")
    assert put(folder, "a/d", b"d") == "a%dir/d"  # still open; either place would do
    with folder.open("a%dir/d") as file:
        assert file.read() == b"d"


@pytest.mark.parametrize("mark", ["%dir", "%file"])
def test_marked_names_fit_and_differ(mark):
    """A name of 255 bytes has a marked form of at most 255; two of them stay two."""
    names = ["n" * 255, "n" * 254 + "m", "ü" * 127, "ü" * 126 + "x"]
    forms = {marked(name, mark) for name in names}
    assert len(forms) == len(names)
    assert all(len(form.encode()) <= 255 and form.endswith(mark) for form in forms)


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "𝄞" * 63])
def test_the_longest_names_have_temporaries_that_fit(tmp_path, name):
    """A name of 255 bytes can be written: its temporary is no longer than that."""
    put(BlobFolder(tmp_path), name, b"1")
    assert (tmp_path / name).read_bytes() == b"1"


@posix_only
def test_open_folders_are_bounded_and_given_back(tmp_path):
    """A thousand folders keep at most `MAX_OPEN` descriptors, and none when the tree is dropped."""
    before = open_descriptors()
    folder = BlobFolder(tmp_path)
    for number in range(300):
        put(folder, f"{number}/x", b"")
    assert open_descriptors() - before <= folders.MAX_OPEN + 2
    del folder
    assert open_descriptors() - before <= 1


def test_threads_may_write_at_once(tmp_path):
    """Eight threads over more folders than are kept open lose nothing."""
    folder = BlobFolder(tmp_path)
    errors = []

    def work(thread):
        try:
            for number in range(100):
                put(folder, f"{number}/{thread}", b"%d" % thread)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(files_below(tmp_path)) == 800


def test_a_number_left_by_a_dead_process_is_passed_over(tmp_path):
    """A temporary of the same name is not taken over, and not in the way."""
    number = next(blobs._numbers)
    left = tmp_path / f"x.{os.getpid():x}-{number + 1:x}.tmp"
    left.write_bytes(b"left")
    put(BlobFolder(tmp_path), "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"new"
    assert left.read_bytes() == b"left"


def test_copying_keeps_the_source_and_gives_size_and_hash(tmp_path):
    """A copy of several chunks has the bytes of its source, which stays as it was."""
    data = os.urandom(3 * blobs.CHUNK + 17)
    source = tmp_path / "source"
    source.write_bytes(data)
    size, digest = copy_in(tmp_path / "run", "a/copy", source)
    assert (size, digest) == (len(data), hashlib.sha256(data).hexdigest())
    assert (tmp_path / "run/a/copy").read_bytes() == data
    assert source.read_bytes() == data
    with source.open("r+b") as file:
        file.write(b"changed")
    assert (tmp_path / "run/a/copy").read_bytes() == data


def test_reflinking_says_whether_it_was_done(tmp_path):
    """Either the target has the source's bytes, or it is told that it has not."""
    (tmp_path / "a").write_bytes(b"a" * 8192)
    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("w+b") as target:
        shared = reflink(source.fileno(), target.fileno())
        assert target.read() == (b"a" * 8192 if shared else b"")


def test_of_a_file_that_grows_what_was_there_is_copied(tmp_path, monkeypatch):
    """Else the copy would go on until the disk is full, as of a log that is written faster."""
    source = tmp_path / "log"
    source.write_bytes(b"begun")
    write_all = blobs.write_all

    def grow(file, data):
        if source.stat().st_size > 50:
            pytest.fail("the copy follows its source")
        with source.open("ab") as log:
            log.write(b"more!")
        write_all(file, data)

    monkeypatch.setattr(blobs, "write_all", grow)
    monkeypatch.setattr(blobs, "reflink", lambda *_: False)
    size, digest = copy_in(tmp_path / "files", "copy", source)
    assert (size, digest) == (5, hashlib.sha256(b"begun").hexdigest())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux has /proc")
def test_a_file_that_says_it_is_empty_is_read(tmp_path):
    """Those of /proc are as long as what is read of them."""
    size, _ = copy_in(tmp_path / "files", "copy", Path("/proc/self/status"))
    assert size > 100


def test_a_reflinked_copy_is_hashed_from_what_was_shared(tmp_path, monkeypatch):
    """Where blocks are shared, size and hash are those of the target."""
    data = os.urandom(2 * blobs.CHUNK + 1)
    (tmp_path / "source").write_bytes(data)

    def share(source, target):
        os.pwrite(target, data, 0)
        return True

    monkeypatch.setattr(blobs, "reflink", share)
    size, digest = copy_in(tmp_path, "copy", tmp_path / "source")
    assert (size, digest) == (len(data), hashlib.sha256(data).hexdigest())
    assert (tmp_path / "copy").read_bytes() == data


def test_sharing_survives_the_other_name(tmp_path):
    """A file that shares another's content keeps it when the other is replaced or removed."""
    folder = BlobFolder(tmp_path)
    put(folder, "a", b"content")
    for name in ("b", "b"):  # twice: renaming a link over a link to the same file does nothing
        with folder.draft([name]) as draft:
            draft.share("a")
            assert draft.size == 7
            draft.commit()
    assert files_below(tmp_path) == ["a", "b"]
    put(folder, "a", b"other")
    folder.remove("a")
    assert (tmp_path / "b").read_bytes() == b"content"


def test_sharing_copies_where_there_are_no_hard_links(tmp_path, monkeypatch):
    """A file system without links gets a copy, and the copy its own hash."""
    folder = BlobFolder(tmp_path)
    put(folder, "a", b"content")

    def refuse(*args, **kwargs):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with folder.draft(["b"]) as draft:
        assert draft.share("a") is False
        draft.commit()
    assert draft.sha256 == hashlib.sha256(b"content").hexdigest()
    assert (tmp_path / "b").read_bytes() == b"content"
    assert (tmp_path / "a").stat().st_ino != (tmp_path / "b").stat().st_ino


def test_a_case_folding_file_system_is_told_by_looking(tmp_path, monkeypatch):
    """Where the other case of a name is the same file, case folds; nothing is written."""
    (tmp_path / "run").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert folds_case(tmp_path) == (tmp_path / "RUN").exists()
    lstat = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: lstat(str(path).replace("RUN", "run")))
    assert folds_case(tmp_path) is True
    assert folds_case(tmp_path / "nowhere") is False
    assert sorted(tmp_path.rglob("*")) == before


def test_without_directory_descriptors_it_works_by_path(tmp_path, monkeypatch):
    """The code for platforms without them (Windows) writes, reads, removes and refuses links."""
    monkeypatch.setattr(folders, "_AT", False)
    folder = BlobFolder(tmp_path / "run", "files/data")
    assert put(folder, "a/b", b"1") == "a/b"
    assert put(folder, "a", b"2") == "a%file"
    with folder.open("a/b") as file:
        assert file.read() == b"1"
    assert folder.remove("a/b") and not folder.remove("a/b")
    if os.name == "posix":
        (tmp_path / "outside").mkdir()
        (tmp_path / "run/files/data/link").symlink_to(tmp_path / "outside")
        with pytest.raises(LinkError):
            put(folder, "link/x", b"3")
        assert list((tmp_path / "outside").iterdir()) == []


@posix_only
def test_a_forked_child_makes_temporaries_of_its_own(tmp_path):
    """Parent and child that write the same path at once use two temporaries."""
    code = """
import os, sys
from pathlib import Path
from ml_dash.backends.blobs import BlobFolder
folder = BlobFolder(Path(sys.argv[1]))
with folder.draft(["warm"]) as draft:
    draft.commit()
child = os.fork()
for n in range(200):
    with folder.draft(["x"]) as draft:
        draft.write(b"child" if child == 0 else b"parent")
        draft.commit()
if child == 0:
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(blobs.__file__).parents[1])}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)], check=True, env=environment
    )
    assert files_below(tmp_path) == ["warm", "x"]
    assert (tmp_path / "x").read_bytes() in (b"child", b"parent")


@posix_only
def test_files_are_readable_as_the_umask_says(tmp_path):
    """A run can be read by whom the user's umask lets read."""
    write_in(tmp_path, "x", b"1")
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o666 & ~mask


def test_a_folder_is_let_go_of_when_modules_are_gone(tmp_path, monkeypatch):
    """As at the end of some interpreters, where all that `os` has is `None`."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    folder = Folder(str(tmp_path), "", descriptor)
    with monkeypatch.context() as patch:
        patch.setattr(os, "close", None)
        del folder
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
