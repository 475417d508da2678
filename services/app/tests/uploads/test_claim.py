"""A claim is checked once, where it is made, and nothing changes it on its way to a row."""

import ast
import uuid
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from support import APP
from uploads.errors import InvalidUpload
from uploads.limits import Claim, check_claim, with_size
from uploads.models import Kind


def claim(**changes) -> Claim:
    fields = {"owner": uuid.uuid4(), "kind": Kind.FILE, "filename": "a", "size_bytes": 1}
    return check_claim(**fields | changes)


def makers(source: str) -> set[str]:
    """What in the source could make a Claim."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = {getattr(func, "id", getattr(func, "attr", "")) for func in calls}
    return names & {"Claim"} | ({"replace"} if "import replace" in source else set())


def test_only_limits_makes_one():
    sources = [
        path
        for package in ("uploads", "api", "pages")
        for path in (APP / package).rglob("*.py")
        if "Claim" in path.read_text() and path.name != "schemas.py"
    ]
    assert len(sources) > 4
    making = {path.relative_to(APP) for path in sources if makers(path.read_text())}
    assert making == {Path("uploads/limits.py")}


def test_nobody_changes_one():
    with pytest.raises(FrozenInstanceError):
        claim().size_bytes = 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"size_bytes": 0},
        {"size_bytes": -1},
        {"filename": ""},
        {"filename": "a/b"},
        {"name": "a\nb"},
        {"ttl": 0},
        {"ttl": 10**9},
    ],
)
def test_none_is_made_of_what_is_not_allowed(wrong):
    with pytest.raises(InvalidUpload):
        claim(**wrong)


def test_a_size_that_comes_later_is_checked_then(settings):
    settings.MAX_FILE_BYTES = 10
    unknown = claim(size_bytes=None)
    assert with_size(unknown, 10).size_bytes == 10
    for size_bytes in (0, 11):
        with pytest.raises(InvalidUpload):
            with_size(unknown, size_bytes)
