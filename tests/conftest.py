"""One stack for all tests from outside, built and started once by `make up`."""

import os
import uuid
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from xdist.scheduler import LoadScopeScheduling

from ops import shell
from tests.support import steady_chromium
from tests.support.browser import Person
from tests.support.stack import Stack, Visitor, copy_tree, remove_images, why_no_engine

# The folders whose tests share a stack; in all others a file is by itself.
SHARING = {"promises": "stack", "browser": "stack", "faults": "broken stack"}
# The app's files that start Chromium, or wait more than they work: each is one process's.
APP = "services/app/tests"
TOGETHER = {
    f"{APP}/images/test_colours.py",
    f"{APP}/images/test_damage.py",
    f"{APP}/images/test_films.py",
    f"{APP}/project/test_deadline.py",
    f"{APP}/project/test_slow_clients.py",
}
# What takes minutes, in the order in which it begins: all else is handed out meanwhile.
LONGEST = [
    "broken stack",
    "tests/dyno/test_dyno.py",
    "stack",
    f"{APP}/project/test_slow_clients.py",
    "tests/prod/test_prod.py",
    "tests/local/test_local.py",
    f"{APP}/project/test_deadline.py",
    "tests/local/test_local_s3.py",
    f"{APP}/images/test_colours.py",
]


def pytest_report_header():
    """What is said before the first test."""
    reason = why_no_engine()
    what = f"skipped: {reason}" if reason else "containers are built, used and broken"
    return f"stack: {what}. All tests take about 20 minutes on two cores, the app's own about 6."


def pytest_xdist_auto_num_workers():
    """Two for each core: what these tests do most of the time is wait."""
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)  # before the app's tests set what they run with
def pytest_configure():
    """No test sees what the shell of who runs them exports for other projects."""
    shell.clear()


def scenario(nodeid: str) -> str:
    """What shares a stack, a machine or a server with this test.

    There are two stacks: one whose parts are stopped and killed, and one for all the others. The
    app's other tests are each by itself: they go to whoever is free.
    """
    path = Path(nodeid.partition("::")[0])
    if path.parts[0] == "tests":
        return SHARING.get(path.parts[1], str(path))
    return str(path) if str(path) in TOGETHER else nodeid


def setting_up(item) -> int:
    """Which of the ways to set the stack up again it needs: each takes half a minute."""
    needs = item.callspec.indices if hasattr(item, "callspec") else {}
    return max(needs.get(name, 0) for name in ("way", "store"))


@pytest.hookimpl(trylast=True)  # after pytest-randomly
def pytest_collection_modifyitems(items):
    """The longest first, or all others would wait for it in the end."""
    places = {name: place for place, name in enumerate(LONGEST)}
    last = len(places)

    def order(item) -> tuple[int, int]:
        place = places.get(scenario(item.nodeid), last)
        return place, setting_up(item) if place < last else 0

    items.sort(key=order)


class ByScenario(LoadScopeScheduling):
    """Where several processes run the tests, what shares something is one's."""

    def _split_scope(self, nodeid: str) -> str:
        return scenario(nodeid)


def pytest_xdist_make_scheduler(config, log):
    """In place of `--dist loadgroup`, whose groups xdist 3.8 no longer finds with pytest 9.2."""
    config.option.loadscopereorder = False  # by how many tests there are, not how long they take
    return ByScenario(config, log)


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory):
    """The stack, up; its containers and volumes go with the run."""
    if reason := why_no_engine():
        pytest.skip(reason)
    folder = copy_tree(tmp_path_factory.mktemp("stack"))
    stack = Stack(folder, f"s3tasks-test-{uuid.uuid4().hex[:8]}")
    try:
        print(stack.run("make", "up"))  # shown where it fails
        yield stack
    finally:
        stack.run("docker", "compose", "down", "--volumes", check=False)
        remove_images(stack.project)


@pytest.fixture
def stack(running_stack):
    """The stack, healthy and empty."""
    running_stack.mend()
    running_stack.empty()
    return running_stack


@pytest.fixture
def visitor(stack):
    """Whose uploads a test is about."""
    return Visitor(stack.page)


@pytest.fixture
def stranger(stack):
    """Somebody else."""
    return Visitor(stack.page)


@pytest.fixture(scope="module")
def chromium():
    """Chromium, without what it would do on the network by itself.

    Not for longer: while Playwright has its event loop, Django refuses its database to whatever
    other tests run in the process.
    """
    if not steady_chromium.chromium_path():
        pytest.skip("no browser: chromium is not installed")
    with sync_playwright() as playwright:
        # As root, which a container's tests are, it has no sandbox.
        quiet = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(executable_path=steady_chromium.__file__, args=quiet)
        yield browser
        browser.close()


@pytest.fixture
def somebody(stack, chromium):
    """People with browsers of their own: `somebody(locale="pt-BR")`."""
    people = []

    def somebody(**options):
        options = {"locale": "en-US", "viewport": {"width": 1280, "height": 900}, **options}
        context = chromium.new_context(**options)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        people.append(Person(context, stack.page))
        return people[-1]

    yield somebody
    for person in people:
        person.context.close()
    assert not [error for person in people for error in person.errors]


@pytest.fixture
def person(somebody):
    """Whose uploads a test is about, at a browser."""
    return somebody()


@pytest.fixture
def friend(somebody):
    """Somebody else, at another browser."""
    return somebody()
