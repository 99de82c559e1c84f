"""The site of the docs and the report, opened from their files in a browser."""

from pathlib import Path

import pytest

SITE = Path(__file__).parents[2] / "build" / "docs"
pytestmark = pytest.mark.browser

DATUM_IS_SHOWN = """
const shown = root => [...root.querySelectorAll('*')].some(e =>
    (e.tagName == 'IMG' && e.alt == 'the datum' && e.offsetParent !== null)
    || (e.shadowRoot && shown(e.shadowRoot)));
return shown(document)"""


@pytest.fixture
def site():
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not built: make docs")
    return SITE.as_uri()


def brightness(browser):
    color = browser.run("return getComputedStyle(document.body).backgroundColor")
    return sum(map(float, color.strip("rgba()").split(",")[:3])) / 3


def test_the_start_page_leads_to_everything(browser, site):
    browser.open(f"{site}/index.html")
    links = browser.wait(  # the page before it leads here
        lambda d: browser.run(
            "return [...document.querySelectorAll('.sidebar-tree a')].map(a => a.href)"
        )
    )
    assert any(link.endswith("mathematics.html") for link in links)
    assert any(link.endswith("01_first_vae.html") for link in links)
    browser.shot("docs-start")
    assert browser.requests() == []
    assert browser.errors() == []


def test_a_search_finds_a_component_without_a_server(browser, site):
    browser.open(f"{site}/search.html?q=pseudo-inputs")
    found = """
    const links = [...document.querySelectorAll('#search-results li a')].map(a => a.href);
    return links.some(link => link.includes('reference/priors.html'))"""
    browser.wait(lambda d: browser.run(found))  # they come one by one
    browser.shot("docs-search")
    assert browser.requests() == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_reference_shows_densities(browser, site, dark):
    browser.open(f"{site}/docs/reference/priors.html", dark)
    formulas = """
    const high = formula => formula.getBoundingClientRect().height > 5;
    return [...document.querySelectorAll('math')].filter(high).length"""
    assert browser.wait(lambda d: browser.run(formulas)) >= 13
    assert (brightness(browser) < 60) == dark
    browser.shot(f"docs-priors-{'dark' if dark else 'light'}")
    assert browser.requests() == []
    assert browser.errors() == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_report_makes_no_request_and_logs_no_error(browser, trained, command, tmp_path, dark):
    out = tmp_path / "report.html"
    assert command("report", trained, "--map", "--out", out)[0] == 0
    browser.open(out.as_uri(), dark)
    loaded = "return [...document.images].every(i => i.complete && i.naturalWidth > 0)"
    assert browser.wait(lambda d: browser.run(loaded))
    assert (brightness(browser) < 60) == dark
    wide = "return document.documentElement.scrollWidth <= window.innerWidth"
    assert browser.run(wide)
    browser.shot(f"report-{'dark' if dark else 'light'}")
    assert browser.requests() == []
    assert browser.errors() == []


def test_pointing_at_a_code_shows_its_datum(browser, trained, command, tmp_path):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By

    out = tmp_path / "report.html"
    assert command("report", trained, "--map", "--out", out)[0] == 0
    browser.open(out.as_uri())
    card = browser.driver.find_element(By.CLASS_NAME, "card")
    browser.run("arguments[0].scrollIntoView()", card)
    assert not browser.run(DATUM_IS_SHOWN)
    for step in range(400):
        dx, dy = 15 * (step % 20) - 150, 10 * (step // 20) - 100
        ActionChains(browser.driver, 0).move_to_element_with_offset(card, dx, dy).perform()
        if browser.run(DATUM_IS_SHOWN):
            break
    assert browser.run(DATUM_IS_SHOWN)
    browser.shot("report-map")
