"""Names: what is refused, and that what is taken stays distinct on any file system."""

import random
import time
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_dash.names import (
    MAX_COMPONENT,
    MAX_PATH,
    ROOMS,
    check_prefix,
    decode_component,
    decode_path,
    default_prefix,
    encode_component,
    encode_path,
    prefix_folder,
    prefix_of,
    split_path,
    step_in_name,
    stream_name,
    topic_of,
)

# Drawing the first character loads a table, which alone may take a second on a busy machine.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Characters that clash with one another on some file system, or with our own encoding.
TRICKY = st.text(
    "aAbBkK\u212asſßẞiıİI.%_-25fF6 ~é\u0301e가각ㄱ\u1100\u1161ǅ日ー\ud800\udc00\0/:\\\n"
)
NAMES = st.one_of(
    TRICKY.filter(bool),
    st.text(st.characters(), min_size=1),
    st.sampled_from(["CON", "con", "nul.txt", "a.jsonl", "a.JSONL", "a.tmp", ".", "..", " ", "%"]),
    TRICKY.map(lambda text: text + ".jsonl"),
)


def folded(name):
    """The keys under which file systems that fold case or normalise know a name."""
    nfd = unicodedata.normalize("NFD", name)
    nfkc = unicodedata.normalize("NFKC", name)
    visible = "".join(char for char in nfkc if unicodedata.category(char) != "Cf")
    return (
        name.upper(),
        name.lower(),
        unicodedata.normalize("NFD", nfd.casefold()),
        unicodedata.normalize("NFKC", visible.casefold()),
        nfd.upper(),
    )


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "is empty"),
        ("/", "is absolute"),
        ("//", "is absolute"),
        ("/etc/passwd", "is absolute"),
        ("..", "component '..'"),
        (".", "component '.'"),
        ("a/../b", "component '..'"),
        ("a/./b", "component '.'"),
        ("a//b", "empty component"),
        ("a/b//", "empty component"),
        ("a\0b", r"control character '\\x00'"),
        ("a\nb", r"control character '\\n'"),
        ("a\x7f", "control character"),
        ("a\x85", "control character"),
        ("a\ud800", "lone surrogate"),
        ("CON", "device"),
        ("a/nul", "device"),
        ("Aux.txt", "device"),
        ("nul .txt", "device"),
        ("com1", "device"),
        ("LPT³", "device"),
        ("CONIN$", "device"),
        ("x" * 256, "256 bytes"),
        ("x" * 300, "300 bytes"),
        ("ö" * 128, "256 bytes"),
        ("%" * 86, "258 bytes"),
        ("/".join(["x" * 200] * 6), "1205 bytes"),
        (Path("/etc/passwd"), "is absolute"),
        (Path("../x"), "component '..'"),
        (Path(), "is empty"),
        (PureWindowsPath("C:/x"), "is absolute"),
        (PureWindowsPath("C:x"), "is absolute"),
        (PureWindowsPath("..\\x"), "component '..'"),
    ],
)
def test_an_unsafe_path_is_refused_by_name_and_with_a_remedy(value, problem):
    """Whatever could leave the run folder or not exist in it is a ValueError that says so."""
    with pytest.raises(ValueError, match=problem) as refused:
        split_path(value, "track topic")
    assert str(refused.value).startswith("track topic ")
    assert "; " in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("value", [None, b"a", 3, ["a"], ("a", "b")])
def test_what_is_no_string_or_path_is_a_type_error(value):
    """A name of the wrong type is named as such."""
    with pytest.raises(TypeError, match=f"file path must be a string, not {type(value).__name__}"):
        split_path(value, "file path")


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("robot/position", ("robot", "position")),
        ("frames/", ("frames",)),
        ("a\\b", ("a\\b",)),
        ("C:", ("C:",)),
        ("console", ("console",)),
        ("a.con", ("a.con",)),
        (" a ", (" a ",)),
        ("x" * 255, ("x" * 255,)),
        (PurePosixPath("a/b"), ("a", "b")),
        (PureWindowsPath("a\\b"), ("a", "b")),
    ],
)
def test_a_relative_path_splits_into_its_components(value, parts):
    """Odd but harmless names are taken, and one trailing slash is dropped."""
    assert split_path(value, "topic") == parts


@pytest.mark.parametrize("fold_case", [False, True])
@CALM
@given(name=NAMES)
def test_decoding_gives_back_the_name(fold_case, name):
    """Nothing about a name is lost on disk, whatever it is made of."""
    assert decode_component(encode_component(name, fold_case=fold_case)) == name


@CALM
@given(names=st.sets(NAMES, min_size=2, max_size=8))
def test_distinct_names_stay_distinct_where_case_and_accents_fold(names):
    """No two names share a folder on a case-insensitive, normalising file system."""
    keys = [folded(encode_component(name, fold_case=True)) for name in names]
    for one_file_system in zip(*keys, strict=True):
        assert len(set(one_file_system)) == len(names)


def test_every_character_stays_distinct_where_case_and_accents_fold():
    """Tried on all characters of the three planes that scripts use, not only on drawn ones."""
    seen = [{} for _ in folded("x")]
    for char in map(chr, range(0x30000)):
        for keys, key in zip(seen, folded(encode_component(char, fold_case=True)), strict=True):
            assert keys.setdefault(key, char) == char


def test_no_readable_character_composes_with_the_one_before():
    """Characters that stay as they are cannot melt together when a file system normalises."""
    for char in map(chr, range(0x30000)):
        decomposed = unicodedata.normalize("NFD", char)
        for part in decomposed[1:]:
            assert encode_component(part, fold_case=True).isascii()


@pytest.mark.parametrize("fold_case", [False, True])
@CALM
@given(name=NAMES)
def test_an_encoded_name_is_a_plain_name_everywhere(fold_case, name):
    """What reaches the disk has no reserved character and is no device, hidden or our own file."""
    encoded = encode_component(name, fold_case=fold_case)
    assert not set(encoded) & set('<>:"/\\|?*')
    assert all(char.isprintable() for char in encoded if char.isascii())
    assert encoded[0] != "." and encoded[-1] not in ". "
    assert not encoded.casefold().endswith((".jsonl", ".tmp"))
    split_path(encoded[:80], "name")  # refuses devices, `..` and control characters
    encoded.encode()  # no lone surrogate


@pytest.mark.parametrize(
    ("name", "kept", "folding"),
    [
        ("position", "position", "position"),
        ("Position", "Position", "%50osition"),
        ("a_b-c.d", "a_b-c.d", "a_b-c.d"),
        ("a%2Fb", "a%252Fb", "a%252%46b"),
        ("a\\b:c", "a%5cb%3ac", "a%5cb%3ac"),
        (".hidden", "%2ehidden", "%2ehidden"),
        ("..", "%2e%2e", "%2e%2e"),
        ("a. ", "a.%20", "a.%20"),
        ("a.jsonl", "a%2ejsonl", "a%2ejsonl"),
        ("a.JSONL", "a%2eJSONL", "a%2e%4a%53%4f%4e%4c"),
        ("a.jſonl", "a%2ejſonl", "a%2ej%c5%bfonl"),
        ("a.jsonl.gz", "a.jsonl.gz", "a.jsonl.gz"),
        ("x.tmp", "x%2etmp", "x%2etmp"),
        ("aux", "%61ux", "%61ux"),
        ("größe", "größe", "gr%c3%b6%c3%9fe"),
        ("日本", "日本", "日本"),
        ("привет", "привет", "привет"),
    ],
)
def test_names_stay_as_readable_as_file_systems_allow(name, kept, folding):
    """The encoding is part of the format: these are its spellings."""
    assert encode_component(name, fold_case=False) == kept
    assert encode_component(name, fold_case=True) == folding


@pytest.mark.parametrize("odd", ["100%", "%zz", "%", "%ff", "a%2", "%c3x"])
def test_a_foreign_name_that_is_no_encoding_decodes_to_itself(odd):
    """A folder that somebody else made among ours does not stop a reader."""
    assert decode_component(odd) == odd


def test_an_empty_component_is_refused():
    """There is no encoding of nothing."""
    with pytest.raises(ValueError, match="empty"):
        encode_component("", fold_case=False)


def test_limits_count_encoded_bytes():
    """A name that grows past the limit by its encoding is refused, and one at the limit taken."""
    fits = "A" * (MAX_COMPONENT // 3)
    assert encode_path([fits], "topic", fold_case=True) == "%41" * len(fits)
    with pytest.raises(ValueError, match=r"topic 'AAA.* 258 bytes"):
        encode_path([fits + "A"], "topic", fold_case=True)
    with pytest.raises(ValueError, match=r"track topic 'AAA.* 258 bytes"):
        stream_name("tracks", fits + "A")
    longest = ["x" * 255] * 3 + ["y" * 255, "z"]
    assert len(encode_path(longest[:4], "topic", fold_case=False)) == MAX_PATH - 1
    with pytest.raises(ValueError, match="1025 bytes"):
        encode_path(longest, "topic", fold_case=False)


def test_the_topics_that_look_alike_have_streams_of_their_own():
    """A slash, its look-alikes, case and our own suffix never mix two topics up."""
    topics = ["a/b", "a_b", "a%2Fb", "a%2fb", "A/b", "a/B", "a.jsonl/b", "a", "a\\b", "a:b", "a b"]
    streams = [stream_name("tracks", topic) for topic in topics]
    assert len({folded(stream) for stream in streams}) == len(topics)
    assert [topic_of(stream) for stream in streams] == topics


@CALM
@given(parts=st.lists(NAMES, min_size=1, max_size=3))
def test_a_topic_is_refused_or_comes_back_from_its_stream(parts):
    """`topic_of` undoes `stream_name` for every topic that is taken."""
    topic = "/".join(parts)
    try:
        stream = stream_name("metrics", topic)
    except ValueError:
        return
    assert stream.startswith("metrics/")
    assert topic_of(stream) == topic.removesuffix("/")
    assert decode_path(stream) == f"metrics/{topic_of(stream)}"


def test_streams_have_one_of_two_kinds():
    """A kind that has no topics is refused on both ways."""
    assert stream_name("tracks", "robot/Position") == "tracks/robot/%50osition"
    with pytest.raises(ValueError, match="no streams of kind 'logs'"):
        stream_name("logs", "a")
    for stream in ("logs", "files/index", "tracks", "tracks/", ""):
        with pytest.raises(ValueError, match="has no topic"):
            topic_of(stream)


def test_a_project_is_joined_in_front_of_the_prefix():
    """The prefix that counts is the joined one."""
    assert check_prefix("arm") == "arm"
    assert check_prefix("team/robotics/arm/") == "team/robotics/arm"
    assert check_prefix("arm/3", project="team/robotics") == "team/robotics/arm/3"
    assert check_prefix(PurePosixPath("a/b")) == "a/b"


@pytest.mark.parametrize("segment", sorted(ROOMS))
def test_the_rooms_of_a_run_are_no_segments(segment):
    """A run inside another may not be called like a folder of that one."""
    for arguments in ([segment], [f"a/{segment}/b"], ["a", segment]):
        with pytest.raises(ValueError, match=f"segment '{segment}'.*folder inside every run"):
            check_prefix(*arguments)


@pytest.mark.parametrize("prefix", [" a", "a ", "a/ b", "a/b\u00a0", "a/\u2003b/c"])
def test_white_space_around_a_segment_is_refused(prefix):
    """A stray space would make a second run that looks the same."""
    with pytest.raises(ValueError, match="white space around the segment"):
        check_prefix(prefix)
    assert check_prefix("my arm") == "my arm"


@pytest.mark.parametrize("prefix", [" ", "   ", "\u00a0"])
def test_a_blank_prefix_is_called_blank(prefix):
    """Nobody is told to write nothing instead, alone or as a segment."""
    with pytest.raises(ValueError, match="is blank; give it a name"):
        check_prefix(prefix)
    with pytest.raises(ValueError, match=r"has the blank segment .*; give it a name"):
        check_prefix(f"a/{prefix}/b")


def test_a_bad_project_or_a_long_pair_is_named():
    """The error says whether prefix, project or both together are at fault."""
    with pytest.raises(ValueError, match=r"project '\.\.'"):
        check_prefix("a", project="..")
    with pytest.raises(ValueError, match="project is empty"):
        check_prefix("a", project="")
    long = "/".join(["x" * 200] * 4)
    with pytest.raises(ValueError, match=r"prefix with its project .*1607 bytes"):
        check_prefix(long, project=long)
    with pytest.raises(TypeError, match="project must be a string"):
        check_prefix("a", project=3)


def test_a_prefix_and_its_folder_are_inverse():
    """Case stays readable in folders; rooms and views of a run above are never hit."""
    assert prefix_folder("Robotics/Arm-3") == "Robotics/Arm-3"
    for prefix in ("a/Tracks", "a/RUN", "a/run.json", "a/Params.json", "a/b.jsonl/.x", "a/ﬁles"):
        folder = prefix_folder(check_prefix(prefix))
        assert prefix_of(folder) == prefix
        assert prefix_of(Path(folder)) == prefix
        taken = ROOMS | {"run.json", "params.json"}
        assert not {part.casefold() for part in folder.split("/")} & taken


@CALM
@given(parts=st.lists(NAMES, min_size=1, max_size=3))
def test_a_prefix_is_refused_or_comes_back_from_its_folder(parts):
    """`prefix_of` undoes `prefix_folder` for every prefix that is taken."""
    try:
        prefix = check_prefix("/".join(parts))
    except ValueError:
        return
    assert prefix_of(prefix_folder(prefix)) == prefix


@pytest.mark.parametrize(
    ("script", "stem"),
    [
        ("/home/me/train.py", "train"),
        ("train my.model.py", "train-my-model"),
        ("", "python"),
        ("-c", "c"),
        ("/x/pkg/__main__.py", "pkg"),
        ("/lib/ipykernel_launcher.py", "notebook"),
        ("aux.train.py", "aux-train"),
        ("run.py", "run"),
        ("обучение.py", "обучение"),
        ("𠀀" * 255 + ".py", "𠀀" * 48),
        ("\udcff.py", "python"),
        ("../..", "python"),
    ],
)
def test_a_run_without_a_prefix_is_named_after_script_and_start(script, stem):
    """The default is one segment, a valid prefix, and says what ran and when."""
    now = 1_700_000_000.5
    prefix = default_prefix(script, now)
    start = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    assert prefix.startswith(f"{stem}-{start}-")
    assert len(prefix) == len(stem) + 21
    assert check_prefix(prefix) == prefix
    assert "/" not in prefix


def test_default_prefixes_differ_though_random_is_seeded():
    """Two runs of a script that seeds `random` in one second do not share a prefix."""
    prefixes = set()
    for _ in range(20):
        random.seed(0)
        prefixes.add(default_prefix("train.py", 0))
    assert len(prefixes) == 20


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("frame_00012.jpg", 12),
        ("frame-12.png", 12),
        ("12.jpg", 12),
        ("frame_00012", 12),
        ("a/b_7/c_003.jpeg", 3),
        ("model.12.pt", 12),
        ("clip_3.mp4", 3),
        ("0.png", 0),
        ("a_000.png", 0),
        ("t20250131174503.jpg", 20250131174503),
        (Path("frames/f_5.jpg"), 5),
        ("frame.jpg", None),
        ("frame_12_left.jpg", None),
        ("loss-0.5.png", None),
        ("v1.5", None),
        ("a_5/frame.jpg", None),
        ("frame_3.tar.gz", None),
        ("frame_٣.jpg", None),
        ("x" + "9" * 18 + ".jpg", 10**18 - 1),
        ("x" + "9" * 19 + ".jpg", None),
        ("0" * 30 + "4.jpg", 4),
        ("9" * 5000, None),
        ("", None),
    ],
)
def test_the_integer_that_ends_a_stem_is_the_step(name, step):
    """Frames named by hand carry their step; other numbers in names are none."""
    assert step_in_name(name) == step


def test_encoded_names_are_files_here(tmp_path):
    """The oddest names, encoded, can be made and are listed as they were written."""
    names = ["a\\b", "..", ".x", "a. ", "CON", "\ud800", "\0", "ǅ日", "x" * 85, "Å", "A\u030a"]
    encoded = [encode_component(name, fold_case=True) for name in names]
    for file in encoded:
        (tmp_path / file).touch(exist_ok=False)
    assert {file.name for file in tmp_path.iterdir()} == set(encoded)
