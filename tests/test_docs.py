"""The README is true: its verbs, variables, defaults and links exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
READMES = [ROOT / "README.md", ROOT / "README.pt-BR.md"]
DOCUMENTS = [*READMES, *sorted((ROOT / "docs").glob("*.md"))]


def test_every_verb_that_it_names_is_in_the_makefile():
    targets = set(re.findall(r"(?m)^([.a-z-]+):", (ROOT / "Makefile").read_text()))
    named = {verb for text in DOCUMENTS for verb in re.findall(r"make ([.a-z]+)", text.read_text())}
    commands = {verb for verb in named if f"`make {verb}" in README or f"$ make {verb}" in README}
    assert commands
    assert commands <= targets


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_its_table_of_verbs_is_that_of_make(readme):
    helped = re.findall(r"(?m)^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text())
    table = re.findall(r"(?m)^\| `make ([a-z-]+)`", readme.read_text())
    assert sorted(table) == sorted(helped)


def test_its_table_of_variables_is_that_of_env_var():
    lines = (ROOT / ".env.var").read_text().splitlines()
    variables = [
        (name, meaning.removeprefix("# "), value)
        for meaning, line in zip(lines, lines[1:], strict=False)
        if not line.startswith("#") and "=" in line
        for name, value in [line.split("=", 1)]
    ]
    table = re.findall(r"(?m)^\| `([A-Z0-9_]+)` \| (.*) \| `?([^`|]*?)`? \|$", README)
    assert table == variables


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_it_links_to_is_there(document):
    links = re.findall(r"\]\(([^)#]+)", document.read_text())
    for link in links:
        if "://" not in link:
            assert (document.parent / link).exists(), link
