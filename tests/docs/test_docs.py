"""The documents are true: their verbs and links exist."""

import re

import pytest

from tests.support import ROOT

READMES = [ROOT / "README.md", ROOT / "README.pt-BR.md"]
DOCUMENTS = [*READMES, *sorted((ROOT / "docs").glob("*.md"))]


# A verb in code: behind a backtick, or as a line of a block, with values in front or without.
VERB = re.compile(r"(?m)(?:`|^\s*(?:\$ )?)(?:[A-Z_]+=\S+ )*make ([.a-z][.a-z-]*)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_verb_that_it_names_is_in_the_makefile(document):
    targets = set(re.findall(r"(?m)^([.a-z-]+):", (ROOT / "Makefile").read_text()))
    assert set(VERB.findall(document.read_text())) <= targets


def test_a_verb_that_there_is_not_would_be_found():
    assert VERB.findall("Run `make frobnicate`.") == ["frobnicate"]
    assert VERB.findall("```\n$ KEEP=1 make frobnicate\n```") == ["frobnicate"]
    assert VERB.findall("pictures make up the rest") == []


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_its_table_of_verbs_is_that_of_make(readme):
    helped = re.findall(r"(?m)^([a-z-]+):.* ## ", (ROOT / "Makefile").read_text())
    table = re.findall(r"(?m)^\| `make ([a-z-]+)`", readme.read_text())
    assert sorted(table) == sorted(helped)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_it_links_to_is_there(document):
    links = re.findall(r"\]\(([^)#]+)", document.read_text())
    for link in links:
        if "://" not in link:
            assert (document.parent / link).exists(), link
