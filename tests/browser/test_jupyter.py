"""JupyterLab in a browser: what a reader of a notebook sees and does."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
DATA = (
    "import torch\nfrom pyro_vae import VAE, explore, fit, load_data\ndata = load_data('digits')"
)
MODEL = (
    "torch.manual_seed(0)\nvae = VAE(data.event_shape, latent_dim=8, prior='diagonal_normal')\n"
    "result = fit(vae, data, epochs=5, step='pyro')"
)
LONG = "result = fit(vae, data, epochs=5000, step='pyro')"
DECODED = "return document.querySelector('img[alt=\"p(x|z)\"]')?.src"
MAP = "svg[aria-label='map of the codes']"
PAGE = "window.jupyterapp?.shell.currentWidget?.content"
OPENED = f"{PAGE}?.model"
UNITS = "svg[aria-label*='KL of each dimension']"
QUIET = "jupyter_config_dir/lab/user-settings/@jupyterlab/apputils-extension"


@pytest.fixture
def lab(browser, tmp_path):
    """Opens these cells, or a notebook, in a JupyterLab, and runs them all."""
    pytest.importorskip("jupyterlab", reason="jupyterlab is not installed")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root",
               f"--port={port}", f"--IdentityProvider.token={token}", f"--notebook-dir={tmp_path}",
               "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # fmt: skip
    own = {name: str(tmp_path / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "IPYTHONDIR")}
    own["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    (tmp_path / QUIET).mkdir(parents=True)  # without it a question covers the notebook's corner
    (tmp_path / QUIET / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    log = (tmp_path / "log").open("w")
    server = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log)

    def run(*sources, notebook=None):
        from selenium.common.exceptions import WebDriverException

        cells = written(sources) if notebook is None else json.loads(notebook.read_text())["cells"]
        write(tmp_path / "shown.ipynb", cells)

        def opened(driver):
            try:
                browser.open(f"http://localhost:{port}/lab/tree/shown.ipynb?token={token}")
            except WebDriverException:  # the server is not there yet
                return False
            return True

        browser.wait(opened, 60)
        ready = f"return {OPENED}?.cells?.length"
        browser.wait(lambda d: browser.run(ready) == len(cells) and "| Idle" in d.page_source, 90)
        browser.run("window.jupyterapp.commands.execute('runmenu:run-all')")

    yield run
    server.kill()
    server.wait(30)
    log.close()


def written(sources):
    return [
        {"cell_type": "code", "id": f"cell{i}", "source": source, "metadata": {}}
        for i, source in enumerate(sources)
    ]


def write(path, cells):
    """A notebook without outputs."""
    for cell in cells:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4,
                "nbformat_minor": 5}  # fmt: skip
    path.write_text(json.dumps(notebook))


def find(browser, selector, seconds=60):
    from selenium.webdriver.common.by import By

    return browser.wait(lambda d: d.find_elements(By.CSS_SELECTOR, selector), seconds)


def test_a_cell_shows_a_models_formulas_its_graph_and_a_data_sets_images(browser, lab):
    lab(DATA + "\ndata", MODEL.replace("\nresult", "\nvae\n#"))
    find(browser, "img[alt='the first 20 training images']")
    assert len(find(browser, ".jp-OutputArea mjx-container")) == 1
    (said,) = find(browser, ".jp-RenderedMarkdown")
    for word in ("parameters", "diagonal_normal", "Graph of the model"):
        assert word in said.text
    assert "$$" not in said.text
    (summary,) = find(browser, ".jp-RenderedMarkdown summary")
    summary.click()
    pytest.importorskip("graphviz", reason="graphviz is not installed")
    (graph,) = find(browser, "img[alt='graph of the Pyro model']")
    browser.wait(lambda d: graph.size["height"] > 100)
    browser.shot("jupyterlab")


def test_the_explorer_follows_a_slider_and_a_click_on_the_map(browser, lab):
    from selenium.webdriver import ActionChains, Keys

    lab(DATA, MODEL, "found = explore(vae, data)\nfound")
    handle = find(browser, ".noUi-handle")[0]
    before = browser.wait(lambda d: browser.run(DECODED))
    browser.run("arguments[0].scrollIntoView({block: 'center'})", handle)
    handle.click()
    handle.send_keys(*[Keys.ARROW_RIGHT] * 30)
    browser.wait(lambda d: browser.run(DECODED) != before)
    browser.shot("explorer-slider")
    pytest.importorskip("anywidget", reason="anywidget is not installed")
    moved = browser.run(DECODED)
    (plane,) = find(browser, MAP)
    browser.run("arguments[0].scrollIntoView({block: 'center'})", plane)
    ActionChains(browser.driver).move_to_element_with_offset(plane, 60, 20).click().perform()
    chosen = "return document.querySelector('.widget-text input').value"
    browser.wait(lambda d: browser.run(chosen) not in ("", "0"))
    browser.wait(lambda d: browser.run(DECODED) != moved)
    browser.shot("explorer-click")


def test_a_training_shows_its_curves_and_an_interrupt_leaves_them(browser, lab):
    lab(DATA, MODEL, LONG, "result", "fit(vae, data, epochs=len(result.history) + 2, step='pyro',"
        " resume=result).ended")  # fmt: skip
    bars = "return [...document.querySelectorAll('progress')].map(e => e.value)"
    browser.wait(lambda d: len(browser.run(bars)) == 2, 120)  # the second training
    first = browser.run(bars)[1]
    browser.wait(lambda d: browser.run(bars)[1] > first)
    browser.wait(lambda d: len(find(browser, UNITS)) == 2)
    time.sleep(1)
    browser.shot("training")
    browser.run("window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
    stopped = "return document.querySelector('.jp-Notebook').innerText"
    browser.wait(lambda d: "(stopped)" in browser.run(stopped), 30)
    assert len(find(browser, UNITS)) >= 2  # the last cell may have begun
    browser.run("window.jupyterapp.commands.execute('notebook:run-all-below')")
    browser.wait(lambda d: "'finished'" in browser.run(stopped), 60)
    assert "interrupted after" in browser.run(stopped)
    assert "KeyboardInterrupt" not in browser.run(stopped)
    browser.shot("interrupted")


@pytest.mark.parametrize("name", sorted(path.stem for path in ROOT.glob("notebooks/*.ipynb")))
def test_a_notebook_runs_from_top_to_bottom(browser, lab, name):
    lab(notebook=ROOT / "notebooks" / f"{name}.ipynb")
    code = f"return {OPENED}.toJSON().cells.filter(cell => cell.cell_type == 'code')"

    def ended(driver):
        cells = browser.run(code)
        failed = [o for cell in cells for o in cell["outputs"] if o["output_type"] == "error"]
        assert not failed, failed[0]["evalue"]
        return all(cell["execution_count"] for cell in cells) and "| Idle" in driver.page_source

    browser.wait(ended, 600)
    shown = "return [...document.querySelectorAll('.jp-OutputArea-output img')]"
    for place in ("0", "cells.length - 3"):
        browser.run(f"const cells = {PAGE}.widgets; return {PAGE}.scrollToItem({place})")
        time.sleep(2)
        browser.shot(f"{name}-{'start' if place == '0' else 'end'}")
    broken = f"{shown}.filter(image => image.complete && !image.naturalWidth).length"
    assert browser.run(broken) == 0
