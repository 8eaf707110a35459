"""A JupyterLab of its own in headless Chromium, for tests of what a reader does with a notebook.

Files that use it hold no other tests: Playwright keeps an event loop running in its process until the file is done.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MISSING = "needs Chromium or Chrome on PATH: install it (Debian: apt-get install chromium), or run the tests as root"
PATIENCE = 120  # seconds for anything that a page or a server should do; a busy machine is slow
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


@pytest.fixture(scope="module")
def chromium():
    """A browser without network for the tests of one file; they are skipped where there is none."""
    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if executable is None:
        pytest.skip(MISSING)
    from playwright.sync_api import sync_playwright

    # nothing but this machine can be reached, as for a reader without network
    offline = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=[offline])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def jupyterlab(tmp_path_factory, chromium):
    """A running `Lab` for the tests of one file."""
    lab = Lab(tmp_path_factory.mktemp("jupyterlab"), chromium)
    try:
        lab.start()
        yield lab
    finally:
        lab.stop()


@dataclass
class Lab:
    """A JupyterLab server with a token, a port, a root folder and settings of its own."""

    place: Path
    browser: object  # of Playwright
    token: str = field(default_factory=secrets.token_hex)
    server: subprocess.Popen | None = None
    address: str = ""

    @property
    def root(self) -> Path:
        """The folder whose notebooks can be opened."""
        return self.place / "root"

    def start(self) -> None:
        """Start the server and wait until it answers. Raises RuntimeError if it does not."""
        self.root.mkdir()
        self.settings("labconfig/page_config.json", {"disabledExtensions": {NEWS: True}})
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
        command += [f"--port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={self.root}"]
        command += ["--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"]
        with open(self.place / "server.log", "wb") as log:
            self.server = subprocess.Popen(command, env=self.environment(), stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while not self.answers():
            if self.server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"JupyterLab did not start: {(self.place / 'server.log').read_text('utf-8')}")
            time.sleep(0.2)

    def environment(self) -> dict[str, str]:
        """This process's, without what Jupyter would read of the user's own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON"))}
        folders = {name: str(self.place / below) for name, below in FOLDERS.items()}
        return {**kept, **folders, "JUPYTER_TOKEN": self.token, "OMP_NUM_THREADS": "1"}

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/api?token={self.token}", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, TimeoutError):
            return False

    def settings(self, below: str, content: dict) -> None:
        path = self.place / "config" / below
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), "utf-8")

    def open(self, notebook: str, theme: str = "light") -> "Notebook":
        """Open a notebook of the root folder in a page of its own, with its kernel running. theme: a key of THEMES."""
        self.settings(
            "lab/user-settings/@jupyterlab/apputils-extension/themes.jupyterlab-settings", {"theme": THEMES[theme]}
        )
        page = self.browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme=theme)
        page.set_default_timeout(1000 * PATIENCE)
        opened = Notebook(self, page)
        page.on("console", lambda message: message.type == "error" and opened.errors.append(message.text))
        page.on("pageerror", lambda error: opened.errors.append(str(error)))
        page.goto(f"{self.address}/doc/tree/{notebook}?token={self.token}&reset")
        opened.wait_for_kernel()
        return opened

    def kernels(self) -> list[psutil.Process]:
        """The kernels' processes."""
        found = psutil.Process(self.server.pid).children(recursive=True)
        return [process for process in found if any("ipykernel" in word for word in process.cmdline())]

    def stop(self) -> None:
        """Stop the server, and with it the kernels."""
        if self.server is None:
            return
        processes = [self.server, *self.kernels()] if self.server.poll() is None else []
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(10)
            except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
                process.kill()


NEWS = "@jupyterlab/apputils-extension:announcements"  # asks a question when JupyterLab opens
FOLDERS = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "config/lab/user-settings",
    "JUPYTERLAB_WORKSPACES_DIR": "config/lab/workspaces",
    "IPYTHONDIR": "ipython",
}


@dataclass
class Notebook:
    """A notebook in a page. `page` is Playwright's; `errors` is what the browser's console has reported."""

    lab: Lab
    page: object
    errors: list[str] = field(default_factory=list)

    def wait_for_kernel(self) -> None:
        self.page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext")
        self.page.evaluate(
            """async () => {
                const { context, sessionContext } = window.jupyterapp.shell.currentWidget;
                await Promise.all([context.ready, sessionContext.ready]);
                await sessionContext.session.kernel.info;
            }"""
        )

    def command(self, name: str) -> None:
        """Carry out a command of JupyterLab's, such as "notebook:trust", and wait until it is done."""
        self.page.evaluate("name => window.jupyterapp.commands.execute(name)", name)

    def run_all(self) -> None:
        """Run all cells and wait until the last has run. Raises AssertionError if a cell failed."""
        self.command("notebook:run-all-cells")
        failures = self.page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']")
        failures = failures.or_(self.page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']"))
        assert not failures.count(), failures.first.inner_text()

    def kill_kernel(self) -> None:
        """Kill the kernel's process, as a lack of memory does, and wait for the one that takes its place."""
        (kernel,) = self.lab.kernels()
        os.kill(kernel.pid, signal.SIGKILL)
        self.page.get_by_role("button", name="Ok").click()
        deadline = time.monotonic() + PATIENCE
        while kernel.pid in (pids := [process.pid for process in self.lab.kernels()]) or not pids:
            assert time.monotonic() < deadline, "the kernel was not started again"
            self.page.wait_for_timeout(100)
        self.wait_for_kernel()

    def violations(self, selector: str) -> list[str]:
        """What axe finds serious or critical for people who use keys or a screen reader: rule and element."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page, context=selector).response["violations"]
        serious = [one for one in found if one["impact"] in ("serious", "critical")]
        return [f"{one['id']}: {node['html'][:200]}" for one in serious for node in one["nodes"]]

    def screenshot(self, name: str) -> Path:
        """The page as it is seen, in a temporary folder."""
        path = self.lab.place / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def close(self) -> None:
        self.page.close()
