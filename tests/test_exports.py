"""What `ml_dash` gives to the world."""

import inspect

import pytest

import ml_dash

PUBLIC = [getattr(ml_dash, name) for name in ml_dash.__all__ if name != "__version__"]


def test_the_exported_names_are_those_there_are() -> None:
    """`__all__` lists, sorted, what `dir` shows, what resolves, and nothing else."""
    assert ml_dash.__all__ == sorted(ml_dash.__all__) == dir(ml_dash)
    assert {*ml_dash.__all__} == {*ml_dash._PLACES, "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'Experimant'"):
        _ = ml_dash.Experimant


def test_a_path_is_checked_as_tracks_and_files_check_it() -> None:
    """What is fine comes back as it is used; the rest is refused by the name it is given."""
    assert ml_dash.check_path("arm/Left joint/") == "arm/Left joint"
    for wrong in ("../x", "a//b", "/etc", "", "nul", "a\0b"):
        with pytest.raises(ValueError, match=r"^topic "):
            ml_dash.check_path(wrong, "topic")


@pytest.mark.parametrize("public", PUBLIC, ids=lambda public: public.__name__)
def test_everything_public_says_what_it_is(public: object) -> None:
    """Each class and function has a docstring, and so have the public parts of a class."""
    parts = inspect.getmembers_static(public) if inspect.isclass(public) else []
    own = [part for name, part in parts if not name.startswith("_")]
    members = [part for part in own if inspect.isfunction(part) or isinstance(part, property)]
    assert all(inspect.getdoc(part) for part in [public, *members])
