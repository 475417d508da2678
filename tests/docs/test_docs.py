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


# --- Decisions ----------------------------------------------------------------------------------

ENTRY = re.compile(r"(?ms)^### \d{4}-\d\d-\d\d: ([^\n]+)\n\n(.*?)(?=^### |\Z)")
ENTRIES = dict(ENTRY.findall((ROOT / "docs" / "DECISIONS.md").read_text()))
SUPERSEDED = re.compile(r'(?m)^_(?:.*: s|S)uperseded by "(.+)"\._$')


def test_a_superseded_decision_names_a_later_one():
    order = list(ENTRIES)
    superseded = {title: SUPERSEDED.findall(text) for title, text in ENTRIES.items()}
    assert any(superseded.values())
    for title, by in superseded.items():
        for later in by:
            assert order.index(later) > order.index(title), title


def test_a_decision_that_another_supersedes_says_so():
    for title, text in ENTRIES.items():
        for earlier in re.findall(r'[Ss]upersedes [^".]*"([^"]+)"', text):
            assert earlier not in ENTRIES or SUPERSEDED.search(ENTRIES[earlier]), (title, earlier)


@pytest.mark.parametrize("title", ENTRIES)
def test_what_a_standing_decision_names_is_there(title):
    if SUPERSEDED.search(ENTRIES[title]):
        return
    roots = [ROOT, ROOT / "services/app", ROOT / "services/app/uploads"]
    for name in re.findall(r"`([\w./-]+\.(?:py|sh|yml|json))`", ENTRIES[title]):
        found = [root for root in roots if (root / name).exists()]
        elsewhere = "/" not in name and list((ROOT / "services").glob(f"*/{name}"))
        assert found or elsewhere, name
