"""A reader's walk through the built site in a real browser, from a folder and without a server.

walk.py SITE PAGE_WITH_CODE AXE.min.js (needs Chromium and its driver)

Every page: nothing in the browser's console, no request that leaves the site, nothing wider than a
phone, no violation of WCAG 2.2 AA that axe can find, in light and in dark. Then one page's search, colours,
copying, previews, menu and keys, its weight, and reading without scripts and without a network.
"""

import functools
import gzip
import http.server
import json
import pathlib
import shutil
import sys
import tempfile
import threading
import time
from urllib.parse import unquote, urlparse

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.chrome.service import Service

AXE_RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, { preload: false, runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] })
  .then((found) => done(found.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.html.slice(0, 160)).slice(0, 3).join(' | '))));
"""


def start(profile):
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                     "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or shutil.which("chromium-browser")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def size(browser, width, height):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})


def colours(browser, name):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia",
                            {"features": [{"name": "prefers-color-scheme", "value": name}]})


def requested(browser):
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            yield message["params"]["request"]["url"]


def every_page(browser, site, axe):
    problems = []
    pages = sorted(site.rglob("*.html"))
    for page in pages:
        name = page.relative_to(site)
        for scheme in ("light", "dark"):
            colours(browser, scheme)
            size(browser, 1400, 1000)
            browser.get(page.as_uri())
            browser.execute_script(axe)
            problems += [f"{name} ({scheme}): {found}" for found in browser.execute_async_script(AXE_RUN)]
        size(browser, 360, 740)
        width = browser.execute_script("return document.documentElement.scrollWidth")
        if width > 360:
            problems.append(f"{name}: {width} px wide on a phone of 360")
        problems += [f"{name}: console: {entry['message']}" for entry in browser.get_log("browser")]
        problems += [f"{name}: asks for {url}" for url in requested(browser)
                     if not url.startswith((site.as_uri(), "data:", "chrome:"))]
    print(f"{len(pages)} pages opened, in light and dark and as on a phone")
    return problems


def one_page(browser, page):
    browser.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
    colours(browser, "light")
    size(browser, 1400, 1000)
    browser.get(page.as_uri())
    find = lambda css: browser.find_element(By.CSS_SELECTOR, css)
    paper = lambda: browser.execute_script("return getComputedStyle(document.body).backgroundColor")

    # Colours: the system's, light, dark, and kept from page to page.
    light = paper()
    find("#theme-button").click()
    find("#theme-button").click()
    assert paper() != light, "the button darkens"
    browser.refresh()
    assert paper() != light, "the choice is kept"
    find("#theme-button").click()
    assert paper() == light, "and back to the system's"

    # Search, by keys alone; it finds words of the text and items of the crate.
    body = find("body")
    body.send_keys("/")
    box = browser.switch_to.active_element
    assert box.get_attribute("id") == "search"
    box.send_keys("plotting::plot")
    wait(lambda: browser.find_elements(By.CSS_SELECTOR, "#results a"), "the crate's items are found")
    assert "d2l::plotting::plot" in find("#results").text
    box.clear()
    box.send_keys("derivative")
    wait(lambda: "erivative" in find("#results").text, "words are found")
    before = browser.current_url
    box.send_keys(Keys.ARROW_DOWN, Keys.ENTER)
    wait(lambda: browser.current_url != before, "a result opens")
    browser.get(page.as_uri())

    # Copying gives the code.
    block = find(".code")
    ActionChains(browser).move_to_element(block).perform()
    block.find_element(By.CSS_SELECTOR, ".copy").click()
    wait(lambda: block.find_element(By.CSS_SELECTOR, ".copy").get_attribute("aria-label") == "Copied", "the button says so")
    copied = browser.execute_async_script("navigator.clipboard.readText().then(arguments[0], (e) => arguments[0](String(e)))")
    assert copied == block.find_element(By.CSS_SELECTOR, "code").get_attribute("textContent").rstrip()

    # A preview shows what a reference leads to, for the mouse and for keys.
    for css in (".ref[href^='#']", ".cite"):
        link = find(css)
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'}); arguments[0].focus()", link)
        wait(lambda: find("#preview").is_displayed(), f"a preview of {css}")
        assert (link.get_attribute("data-note") or "") in find("#preview").text != ""
        browser.execute_script("arguments[0].blur()", link)
        assert not find("#preview").is_displayed()

    # The menu of a phone.
    size(browser, 390, 844)
    wait(lambda: not find("#contents").is_displayed(), "a phone shows the text alone")
    find("#menu-button").click()
    wait(lambda: find("#contents").is_displayed(), "the menu opens")
    body = find("body")
    body.send_keys(Keys.ESCAPE)
    wait(lambda: not find("#contents").is_displayed(), "and closes")

    # The next page, by a key.
    size(browser, 1400, 1000)
    here = browser.current_url
    find("body").send_keys(Keys.ARROW_RIGHT)
    wait(lambda: browser.current_url.split("#")[0] != here.split("#")[0], "the next page opens")
    print("search, colours, copying, previews, menu and keys work")


def wait(holds, what):
    for _ in range(100):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError(what)


def readable_without_scripts(browser, page):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(page.as_uri())
    assert len(browser.find_element(By.TAG_NAME, "article").text) > 1000
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    print("the text is there without scripts")


def is_light(browser, page):
    """What a page makes a reader fetch before the first word: without pictures, at most 300 KB."""
    list(requested(browser))
    browser.get("about:blank")
    browser.get(page.as_uri())
    browser.execute_async_script("document.fonts.ready.then(() => arguments[0]())")
    addresses = [url for url in requested(browser) if url.startswith("file:")]
    files = {pathlib.Path(unquote(urlparse(address).path)) for address in addresses}
    text = sorted(file for file in files if file.suffix in (".html", ".css", ".js", ".woff2"))
    # As a server sends it: fonts are packed already.
    weight = sum(len(gzip.compress(file.read_bytes())) for file in text)
    print(f"{weight / 1000:.0f} KB for {page.name}: {', '.join(file.name for file in text)}")
    assert {"base.css", "serif-regular.woff2"} <= {file.name for file in text}
    assert weight <= 300_000


def offline(browser, site, pages):
    """A published site that was opened once is read without a network."""
    handler = functools.partial(Quiet, directory=site)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    at = f"http://book.localhost:{server.server_address[1]}/"
    browser.get(at + pages[0])
    browser.set_script_timeout(60)
    browser.execute_async_script("navigator.serviceWorker.ready.then(() => arguments[0]())")
    manifest = browser.execute_async_script(
        "fetch(document.querySelector('link[rel=manifest]').href).then((r) => r.json()).then(arguments[0])")
    assert manifest["name"] and manifest["icons"], manifest
    server.shutdown()
    server.server_close()
    for page in pages[1:]:
        browser.get(at + page)
        assert len(browser.find_element(By.TAG_NAME, "article").text) > 1000, page
        font = browser.execute_script("return document.fonts.ready.then(() => document.fonts.check('1em \"Book Serif\"'))")
        assert font and "Book Serif" in browser.execute_script("return getComputedStyle(document.body).fontFamily"), page
    print(f"{len(pages) - 1} other pages were read offline")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def main(site, page, axe):
    site = pathlib.Path(site).resolve()
    axe = pathlib.Path(axe).read_text()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = start(profile)
        try:
            problems = every_page(browser, site, axe)
            assert not problems, "\n".join(problems)
            one_page(browser, site / page)
            readable_without_scripts(browser, site / page)
            is_light(browser, site / page)
            offline(browser, site, ["index.html", page, "references.html"])
        finally:
            browser.quit()


if __name__ == "__main__":
    main(*sys.argv[1:])
