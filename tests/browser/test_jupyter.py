"""JupyterLab in a browser: what a model and a data set look like at the end of a cell."""

import json
import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
CELLS = [
    "from pyro_vae import VAE, load_data\ndata = load_data('digits')\ndata",
    "vae = VAE(data.event_shape, latent_dim=8, prior='vamp', likelihood='bernoulli')\nvae",
]


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab with one notebook, and its end."""
    pytest.importorskip("jupyterlab", reason="jupyterlab is not installed")
    cells = [
        {"cell_type": "code", "id": f"cell{i}", "source": source, "metadata": {}, "outputs": [],
         "execution_count": None}
        for i, source in enumerate(CELLS)
    ]  # fmt: skip
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4,
                "nbformat_minor": 5}  # fmt: skip
    (tmp_path / "shown.ipynb").write_text(json.dumps(notebook))
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root",
               f"--port={port}", f"--IdentityProvider.token={token}", f"--notebook-dir={tmp_path}",
               "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # fmt: skip
    own = {name: str(tmp_path / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "IPYTHONDIR")}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            command, env=os.environ | own | {"PYTHONPATH": str(ROOT)}, stdout=log, stderr=log
        )
        yield f"http://localhost:{port}/lab/tree/shown.ipynb?token={token}"
        server.kill()
        server.wait(30)


def test_a_cell_shows_a_models_formulas_and_a_data_sets_images(browser, lab):
    from selenium.common.exceptions import WebDriverException

    def opened(driver):
        try:
            browser.open(lab)
        except WebDriverException:  # the server is not there yet
            return False
        return True

    browser.wait(opened, 60)
    ready = "return document.querySelectorAll('.jp-CodeCell .cm-content').length"
    browser.wait(lambda d: browser.run(ready) == len(CELLS) and "| Idle" in d.page_source, 90)
    browser.run("window.jupyterapp.commands.execute('runmenu:run-all')")
    image = "return document.querySelectorAll('img[alt=\"the first 20 training images\"]').length"
    browser.wait(lambda d: browser.run(image), 120)
    formulas = "return document.querySelectorAll('.jp-OutputArea mjx-container').length"
    assert browser.wait(lambda d: browser.run(formulas), 60) == 1
    said = browser.run("return document.querySelector('.jp-RenderedMarkdown').innerText")
    assert "parameters" in said
    assert "vamp" in said
    assert "$$" not in said
    browser.shot("jupyterlab")
