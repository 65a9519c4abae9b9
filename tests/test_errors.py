"""The tree of errors: the one that the docstring draws, and what callers may catch."""

import inspect
import re

import pytest

from xnn import errors

CLASSES = {name: c for name, c in vars(errors).items() if inspect.isclass(c)}


def drawn() -> dict[str, tuple[str, str | None]]:
    """Parent, and built-in parent where one is named, of each class in the drawing."""
    found, path = {}, []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^ {4}([ |`-]*)([A-Z]\w+Error)\s*(?:\((\w+)\))?", line)
        if match:
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            found[match[2]] = (path[depth - 1] if depth else "Exception", match[3])
    return found


def test_the_drawing_is_the_code() -> None:
    tree = drawn()
    assert set(tree) == set(CLASSES)
    for name, (parent, builtin) in tree.items():
        bases = [base.__name__ for base in CLASSES[name].__bases__]
        assert bases == [parent, *([builtin] if builtin else [])], name


@pytest.mark.parametrize("name", CLASSES)
def test_each_is_caught_as_ours_and_says_when(name: str) -> None:
    cls = CLASSES[name]
    with pytest.raises(errors.XnnError, match="what, got, expected, remedy"):
        raise cls("what, got, expected, remedy")
    text = inspect.getdoc(cls) or ""
    assert text.endswith(".")
    assert cls.__doc__, "its own, not inherited"


def test_old_code_that_catches_builtins_still_works() -> None:
    assert issubclass(errors.ConfigError, ValueError)
    assert issubclass(errors.StorageError, OSError)
    assert issubclass(errors.MissingExtraError, ImportError)
    assert issubclass(errors.SecretLeakError, TypeError)
    assert issubclass(errors.DivergedError, ArithmeticError)
