"""A person at a browser: Chromium, driven by Playwright, on the pages of the stack."""

import base64
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.support.stack import Visitor

LIMIT = 20_000  # ms; the longest that anything on a page may take on a busy machine
# What the page promises: https://www.w3.org/TR/WCAG22/ as far as a program can tell, and more.
AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
expect.set_options(timeout=LIMIT)

File = tuple[str, str, bytes]  # name, content type, content

TRANSFER = """files => {
    const carried = new DataTransfer();
    for (const [name, type, content] of files) {
        const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
        carried.items.add(new File([bytes], name, {type}));
    }
    return carried;
}"""
PASTE = """(target, parts) => {
    const clipboardData = new DataTransfer();
    for (const [name, part] of Object.entries(parts)) {
        if (typeof part === "string") clipboardData.setData(name, part);
        else {
            const bytes = Uint8Array.from(atob(part[0]), (c) => c.charCodeAt(0));
            clipboardData.items.add(new File([bytes], name, {type: "image/png"}));
        }
    }
    const options = {clipboardData, bubbles: true, cancelable: true};
    target.dispatchEvent(new ClipboardEvent("paste", options));
}"""
# Which values each progress bar took, by the file's name.
WATCH = """() => {
    window.progress = {};
    new MutationObserver((changes) => {
        for (const {target} of changes) {
            if (!target.matches(".transfer progress") || !target.hasAttribute("value")) continue;
            const name = target.closest(".transfer").querySelector(".name bdi").textContent;
            (window.progress[name] ??= []).push(target.value);
        }
    }).observe(document.getElementById("transfers"), {attributes: true, subtree: true});
}"""


class Person:
    """What somebody does on a page and sees there."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.context = context
        self.address = address
        self.page: Page = context.new_page()
        self.page.set_default_timeout(LIMIT)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note)

    def _note(self, message: Any) -> None:
        if "Content Security Policy" in message.text:
            self.errors.append(message.text)

    def without_our_scripts(self) -> "Person":
        """The page as it is without them, where a test's own scripts still run."""
        self.context.route("**/*.js", lambda route: route.abort())
        return self

    def is_also(self, visitor: Visitor) -> "Person":
        """From here on whoever that visitor is."""
        cookies = [
            {"name": c.name, "value": c.value, "url": self.address} for c in visitor.session.cookies
        ]
        self.context.add_cookies(cookies)
        return self

    def open(self, path: str = "/") -> "Person":
        """Go to a page."""
        self.page.goto(self.address + path)
        return self

    def find(self, selector: str) -> Locator:
        """What is on the page."""
        return self.page.locator(selector)

    def button(self, name: str) -> Locator:
        """A button by what it says."""
        return self.page.get_by_role("button", name=name)

    def refresh(self, link: str = "Refresh") -> None:
        """Where scripts are off: follow the link until no image is being checked."""
        while True:
            self.page.wait_for_load_state()
            if not self.page.get_by_role("link", name=link).count():
                return
            with self.page.expect_navigation():
                self.page.get_by_role("link", name=link).first.click()

    @property
    def cards(self) -> Locator:
        """What is here."""
        return self.find("#uploads > li")

    @property
    def rows(self) -> Locator:
        """What is on its way."""
        return self.find("#transfers > li")

    def carry(self, *files: File) -> Any:
        """Files in hand."""
        encoded = [[name, kind, base64.b64encode(data).decode()] for name, kind, data in files]
        return self.page.evaluate_handle(TRANSFER, encoded)

    def drag(self, *files: File, onto: str = "main") -> Any:
        """Drag files from the desktop over the page; what is carried."""
        carried = self.carry(*files)
        for event in ("dragenter", "dragover"):
            self.page.dispatch_event(onto, event, {"dataTransfer": carried})
        return carried

    def drop(self, *files: File, onto: str = "main") -> None:
        """And let go."""
        carried = self.drag(*files, onto=onto)
        self.page.dispatch_event(onto, "drop", {"dataTransfer": carried})

    def drop_from_disk(self, *paths: Path) -> None:
        """Drop what really lies on the disk, folders too."""
        session = self.context.new_cdp_session(self.page)
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            drag = {"type": kind, "x": 300, "y": 100, "data": data}
            session.send("Input.dispatchDragEvent", drag)

    def paste(self, onto: str, parts: dict[str, str | bytes]) -> None:
        """Paste what another program laid on the clipboard: by type its text, by name its file."""
        encoded = {
            name: part if isinstance(part, str) else [base64.b64encode(part).decode()]
            for name, part in parts.items()
        }
        self.find(onto).evaluate(PASTE, encoded)

    def look_at_the_clock(self) -> tuple[float, float, float]:
        """Of the one upload: the seconds that the page shows, and a moment before that those that
        the server says are left, and the seconds that it took to say so."""
        return self.page.evaluate(
            """async () => {
                const asked = performance.now();
                const [upload] = await (await fetch("/api/uploads")).json();
                const shown = document.querySelector("#uploads time").textContent;
                const waited = (performance.now() - asked) / 1000;
                return [parseInt(shown), upload.seconds_left, waited];
            }"""
        )

    def choose(self, *files: File | Path) -> None:
        """Choose files in the browser's own dialog."""
        chosen: Any = [
            file
            if isinstance(file, Path)
            else {"name": file[0], "mimeType": file[1], "buffer": file[2]}
            for file in files
        ]
        self.find("input[type=file]").set_input_files(chosen)

    def live_for(self, seconds: int) -> None:
        """Choose a time that the page does not offer, but the API accepts."""
        self.page.evaluate(
            "seconds => document.querySelector('[name=ttl]').append(new Option(seconds, seconds))",
            str(seconds),
        )
        self.find("[name=ttl]").select_option(str(seconds))

    def on_a_slow_line(self, bytes_a_second: int) -> None:
        """From here on nothing is sent faster than that; 0: as fast as it goes."""
        session = self.context.new_cdp_session(self.page)
        session.send("Network.enable")
        session.send(
            "Network.emulateNetworkConditions",
            {
                "offline": False,
                "latency": 0,
                "downloadThroughput": -1,
                "uploadThroughput": bytes_a_second or -1,
            },
        )

    def watch_progress(self) -> None:
        """From here on `progress` knows every step of every bar."""
        self.page.evaluate(WATCH)

    @property
    def progress(self) -> dict[str, list[float]]:
        """The values that the bars took."""
        return self.page.evaluate("window.progress")

    def is_accessible(self) -> None:
        """Fail with what axe-core finds wrong with the page as it is now."""
        self.page.wait_for_load_state()  # an element is there before the stylesheet is
        # Colours on their way are nobody's: what appears or goes is judged once it stands.
        self.page.evaluate(
            "() => Promise.all(document.getAnimations()"
            ".filter((a) => a.effect.getTiming().iterations !== Infinity).map((a) => a.finished))"
        )
        found = Axe().run(self.page, options=AXE)
        assert not found.response["violations"], found.generate_report()
