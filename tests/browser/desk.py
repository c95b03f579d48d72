"""What a person does in JupyterLab with the sidebar, as methods."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any


class Desk:
    def __init__(self, page: Any) -> None:
        self.page = page
        self.sidebar = page.locator("#mlops-workbench")

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.page.locator("#jp-main-dock-panel").wait_for()

    def open_sidebar(self) -> None:
        self.page.locator('.jp-SideBar .lm-TabBar-tab[data-id="mlops-workbench"]').click()
        self.sidebar.wait_for()

    def run_all(self) -> None:
        """Runs every cell, and waits for the last one's end."""
        self.idle()
        self.menu("Run", "Run All Cells")
        last = self.page.locator(".jp-CodeCell .jp-InputPrompt").last
        last.filter(has_text="]:").wait_for()
        self.page.wait_for_function(
            """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
                .every(one => /\\[\\d+\\]:/.test(one.textContent))""",
            timeout=120_000,
        )
        self.idle()

    def cell(self, text: str) -> Any:
        """The first code cell whose source contains this."""
        source = self.page.locator(".jp-InputArea-editor").filter(has_text=text)
        return self.page.locator(".jp-CodeCell").filter(has=source).first

    def select(self, text: str) -> None:
        """Selects the code cell, in command mode."""
        self.cell(text).locator(".jp-InputPrompt").click()

    def run(self, text: str) -> None:
        """Runs the code cell, and waits for its end."""
        self.select(text)
        self.page.keyboard.press("Control+Enter")
        self.ran(text)

    def ran(self, text: str) -> None:
        """Waits until the code cell and what was to run before it have ended."""
        prompt = self.cell(text).locator(".jp-InputPrompt")
        prompt.filter(has_text=re.compile(r"\[\d+\]:")).wait_for(timeout=120_000)
        self.idle()

    def failures(self) -> list[str]:
        """What cells have failed with."""
        found = self.page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]')
        return list(found.all_inner_texts())

    def show(self, part: Any) -> None:
        """Scrolls the notebook until this is at its upper edge."""
        part.evaluate("node => node.scrollIntoView({ block: 'start' })")
        self.page.mouse.move(0, 0)
        self.page.wait_for_timeout(300)  # for the frame after the scroll

    def quiet(self) -> None:
        """Waits until notifications have gone."""
        self.page.wait_for_function("() => !document.querySelector('.Toastify__toast')")

    def dark(self) -> None:
        self.menu("Settings", "Theme", "JupyterLab Dark")
        self.page.locator('body[data-jp-theme-light="false"]').wait_for(state="attached")

    def idle(self) -> None:
        self.page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for(timeout=60_000)

    def menu(self, *words: str) -> None:
        self.page.locator(".lm-MenuBar-itemLabel", has_text=words[0]).first.click()
        for word in words[1:]:
            self.page.locator(".lm-Menu-itemLabel").get_by_text(word, exact=True).click()

    def act(self, target: str, action: str) -> None:
        """Picks an action from the ⋯ menu of a model or of a version (`tumour v2`)."""
        self.sidebar.get_by_role("button", name=f"Actions for {target}", exact=True).click()
        self.page.locator(".mlops-Menu .lm-Menu-itemLabel").get_by_text(action).click()

    @property
    def dialog(self) -> Any:
        return self.page.locator(".mlops-Dialog")

    def line(self, text: str) -> None:
        """Waits until the dialog shows this equivalent line."""
        self.dialog.locator(".mlops-Line-code").get_by_text(text, exact=True).wait_for()

    def more(self) -> None:
        """Unfolds what the dialog asks less often, by keyboard."""
        self.dialog.get_by_text("More options").press("Enter")

    def accept(self, label: str) -> None:
        self.dialog.get_by_role("button", name=label, exact=True).click()

    def notification(self, text: str) -> Any:
        found = self.page.locator(".jp-toastContainer, .Toastify").get_by_text(text).first
        found.wait_for()
        return found

    def version(self, number: int) -> Any:
        return self.sidebar.locator(".mlops-Version").filter(
            has=self.page.get_by_text(f"v{number}", exact=True)
        )

    def section(self, name: str) -> Any:
        return self.sidebar.get_by_role("region", name=name, exact=True)

    def outputs(self) -> Any:
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-OutputArea-output")

    def picture(self, name: str, part: Any = None) -> None:
        """Keeps a picture for the docs, if someone wants them."""
        folder = os.environ.get("MLOPS_SCREENSHOTS")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            (part or self.page).screenshot(path=str(Path(folder) / f"{name}.png"))
