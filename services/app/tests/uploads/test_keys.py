"""The bucket's layout stands once, and whoever can't import it agrees with it."""

import ast
import json
import math
import re
import uuid

import pytest

from support import ROOT
from uploads.bucket import rules
from uploads.keys import INCOMING, MARKER, PREFIXES, SERVED, THUMBS, ZIPS, id_in, key_under
from uploads.models import Kind, Pack, State, Upload


def constants_of_the_bootstrap():
    """What stands in upper case in a program that this environment can't import."""
    tree = ast.parse((ROOT / "services/minio/bootstrap.py").read_text())
    named = [node for node in tree.body if isinstance(node, ast.Assign)]
    return {node.targets[0].id: node.value for node in named}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("PREFIXES", {f"{prefix}/" for prefix in PREFIXES}), ("MARKER_KEY", {MARKER})],
)
def test_the_bootstrap_knows_the_layout(name, expected):
    value = ast.literal_eval(constants_of_the_bootstrap()[name])
    assert ({value} if isinstance(value, str) else set(value)) == expected


@pytest.mark.parametrize("longest_life", [1, 60, 86_399, 86_400, 86_401, 7 * 86_400, 10**8])
def test_the_bootstraps_backstop_waits_as_long_as_the_apps(settings, longest_life):
    settings.UPLOAD_TTL_MAX = longest_life
    text = (ROOT / "services/minio/bootstrap.py").read_text()
    (formula,) = re.findall(r"(?m)^    days = (.+)$", text)
    names = {"math": math, "longest_life": longest_life, "DAY": 24 * 60 * 60}
    assert eval(formula, names) == rules.days()  # noqa: S307  our own words


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"])
def test_the_policy_names_each_prefix_and_no_other(action):
    statements = json.loads((ROOT / "compose/s3-policy.json").read_text())["Statement"]
    named = {
        resource.partition("BUCKET/")[2]
        for statement in statements
        if action in statement["Action"]
        for resource in statement["Resource"]
        if isinstance(statement["Resource"], list)
    }
    assert named - {""} == {f"{prefix}/*" for prefix in PREFIXES}


def test_caddy_lets_through_what_is_served_and_nothing_that_arrives():
    caddyfile = (ROOT / "services/caddy/Caddyfile").read_text()
    named = re.findall(r"/\(([a-z|]+)\)/\[0-9a-f-\]", caddyfile)
    assert [set(names.split("|")) for names in named] == [{*SERVED.values(), THUMBS, ZIPS}]


def test_kinds_and_states_are_those_of_the_rows():
    kinds = {kind for home in PREFIXES.values() for kind in home.owners}
    states = {s for home in PREFIXES.values() for states in home.owners.values() for s in states}
    assert kinds == set(SERVED) == set(Kind.values)
    assert states == set(State.values) - {State.REJECTED}


def test_an_object_is_proved_by_a_state_that_owns_it_and_counted_by_a_column():
    columns = {field.name for field in Upload._meta.get_fields()}
    for prefix, home in PREFIXES.items():
        assert any(home.proof in states for states in home.owners.values()) or prefix == ZIPS
        assert home.counted is None or home.counted in columns
    assert home.proof in {field.name for field in Pack._meta.get_fields()}


@pytest.mark.parametrize("kind", Kind.values)
def test_every_key_of_an_upload_lies_under_a_prefix_that_its_kind_owns(kind):
    upload = Upload(kind=kind)
    keys = {upload.incoming_key, upload.served_key}
    keys |= {upload.thumbnail_key} if kind == Kind.IMAGE else {key_under(INCOMING, upload.id)}
    assert keys == {
        key_under(prefix, upload.id) for prefix in PREFIXES if kind in PREFIXES[prefix].owners
    }
    assert {id_in(key) for key in keys} == {upload.id}


@pytest.mark.parametrize("name", ["", "x", "{0}/", "{0}.jpg", "urn:uuid:{0}", "{{{0}}}"])
def test_a_key_that_no_upload_has_names_none(name):
    key = f"{INCOMING}/{name.format(uuid.uuid4())}"
    assert id_in(key) is None
