"""A reader's walk through the built site in a real browser, from a folder and without a server.

walk.py SITE PAGE_WITH_CODE AXE.min.js FIXTURE (needs Chromium and its driver)

Every page of the site, and of the fixture that shows every construct: nothing in the browser's console, no
request that leaves the site, nothing wider than a phone, no violation of WCAG 2.2 AA that axe can find, in
light and in dark. Then search, colours, copying, tabs, previews and menu, by mouse and by keys alone; the
weight of a page and its first paint; reading without scripts and without a network.
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

# Kinds of pages, and what tells them.
KINDS = {
    "cover": ".cover",
    "opening of a chapter": "h1.chapter",
    "formulas": ".equation",
    "code with outputs": ".cell .outputs",
    "figure": "figure svg, figure img",
    "table": ".table",
    "exercises with solutions": ".solution",
    "tabs": ".tabs",
    "notes": ".note",
    "footnotes": ".footnotes",
    "glossary": ".glossary",
    "references": ".references",
    "index": ".index",
    "not found": "title",
}
AXE_RUN = """
const [where, rules] = arguments, done = arguments[arguments.length - 1];
const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
// The contrast of each piece of text takes axe most of its time. Pieces in the same colours, size and weight on the
// same ground are alike: of each kind, the smallest one is looked at.
const styles = new Map();
const style = (at) => {
  if (!styles.has(at)) {
    const own = getComputedStyle(at), around = at.parentElement ? style(at.parentElement) : { ground: '' };
    const isClear = /, 0\\)$/.test(own.backgroundColor) && own.backgroundImage === 'none';
    const ground = (isClear ? around.ground : own.backgroundColor + own.backgroundImage) + (own.opacity < 1 ? own.opacity : '');
    styles.set(at, { ground, key: [own.color, own.fontSize, own.fontWeight, own.textShadow, own.textDecorationLine, ground].join() });
  }
  return styles.get(at);
};
const kinds = () => {
  const smallest = new Map();
  for (const at of document.querySelectorAll('body, body *')) {
    const isText = [...at.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!isText || !at.checkVisibility({ visibilityProperty: true })) continue;
    // A link is told from the words around it.
    const looked = at.matches('a') ? at.parentElement : at;
    const key = at === looked ? style(at).key : style(at).key + style(looked).key;
    const size = looked.querySelectorAll('*').length, known = smallest.get(key);
    if (!known || size < known.size) smallest.set(key, { at: looked, size });
  }
  return [...smallest.values()].map(({ at }) => at);
};
const look = (context, options) => axe.run(context, { preload: false, ...options }).then((found) =>
  found.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.html.slice(0, 160)).slice(0, 3).join(' | ')));
const contrast = 'color-contrast', all = document.querySelector(where);
({
  all: () => look(all, { runOnly: tags }),
  kinds: () => look(all, { runOnly: tags, rules: { [contrast]: { enabled: false } } })
    .then((found) => look({ include: kinds() }, { runOnly: [contrast] }).then((more) => [...found, ...more])),
  colours: () => look({ include: kinds() }, { runOnly: [contrast, 'link-in-text-block'] }),
})[rules]().then(done);
"""


def start(profile):
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                     "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium") or shutil.which("chromium-browser")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    browser.set_script_timeout(180)
    return browser


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
            url = message["params"]["request"]["url"]
            # The browser's own pages are not the site's.
            if not url.startswith("chrome"):
                yield url


def every_page(browser, site, axe):
    problems, kinds = [], set()
    pages = sorted(site.rglob("*.html"))
    for page in pages:
        name = page.relative_to(site)
        colours(browser, "light")
        size(browser, 1400, 1000)
        browser.get(page.as_uri())
        found = {kind for kind, css in KINDS.items() if browser.find_elements(By.CSS_SELECTOR, css)
                 and (kind != "not found" or name.name == "404.html")}
        # In the dark only colours are others.
        problems += [f"{name} (light): {found}" for found in violations(browser, axe, "kinds" if found <= kinds else "all")]
        colours(browser, "dark")
        problems += [f"{name} (dark): {found}" for found in violations(browser, axe, "colours" if found <= kinds else "all")]
        kinds |= found
        size(browser, 360, 740)
        width = browser.execute_script("return document.documentElement.scrollWidth")
        if width > 360:
            problems.append(f"{name}: {width} px wide on a phone of 360")
        problems += [f"{name}: console: {entry['message']}" for entry in browser.get_log("browser")]
        problems += [f"{name}: asks for {url}" for url in requested(browser)
                     if not url.startswith((site.as_uri(), "data:", "chrome:"))]
    print(f"{len(pages)} pages opened, in light and dark and as on a phone; of these kinds: {', '.join(sorted(kinds))}")
    return problems, kinds


def violations(browser, axe, rules="all", where="html"):
    """Of all rules for all pieces of text, of all for each kind of text, or of those about colours."""
    if not browser.execute_script("return 'axe' in window"):
        browser.execute_script(axe)
    return browser.execute_async_script(AXE_RUN, where, rules)


def one_page(browser, page, axe):
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
    assert not violations(browser, axe, where=".search"), violations(browser, axe, where=".search")
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
        assert not violations(browser, axe, where="#preview"), violations(browser, axe, where="#preview")
        browser.execute_script("arguments[0].blur()", link)
        assert not find("#preview").is_displayed()
        ActionChains(browser).move_to_element(link).perform()
        wait(lambda: find("#preview").is_displayed(), f"a preview of {css} under the mouse")
        ActionChains(browser).move_to_element(find("h1")).perform()
        wait(lambda: not find("#preview").is_displayed(), "which goes with the mouse")

    # The menu of a phone.
    size(browser, 390, 844)
    wait(lambda: not find("#contents").is_displayed(), "a phone shows the text alone")
    find("#menu-button").click()
    wait(lambda: find("#contents").is_displayed(), "the menu opens")
    assert not violations(browser, axe, where="#contents"), violations(browser, axe, where="#contents")
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


FOCUS = """
const at = document.activeElement;
if (at === document.body) return null;
const seen = at.closest('.tabs > label') ?? at;
const box = seen.getBoundingClientRect();
return { at, name: at.outerHTML.slice(0, 120), outline: getComputedStyle(seen).outlineStyle,
         isInView: box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 };
"""
REACHABLE = """
return [...document.querySelectorAll('a[href], button, input, summary, [tabindex="0"]')].filter((at) =>
  at.checkVisibility({ visibilityProperty: true }) && (at.type !== 'radio' || at.checked)).length;
"""


def by_keys(browser, page):
    """A page of the fixture, without a mouse: every control is reached, is seen when it is, and works."""
    size(browser, 1400, 1000)
    browser.get(page.as_uri())
    find = lambda css: browser.find_element(By.CSS_SELECTOR, css)
    press = lambda *keys: ActionChains(browser).send_keys(*keys).perform()
    focused = lambda: browser.execute_script(FOCUS)
    press(Keys.TAB)
    assert "Skip to the text" in focused()["name"], focused()
    stops = [focused()]
    while (press(Keys.TAB) or (stop := focused())) and stop["at"] != stops[0]["at"]:
        stops.append(stop)
    unseen = [stop["name"] for stop in stops if stop["outline"] == "none" or not stop["isInView"]]
    assert not unseen, unseen
    reachable = browser.execute_script(REACHABLE)
    assert len(stops) == reachable > 30, f"{len(stops)} of {reachable} controls"

    browser.get(page.as_uri())
    press(Keys.TAB, Keys.ENTER, Keys.TAB)
    inside = browser.execute_script("return document.activeElement.closest('main') !== null")
    assert inside, "after the skip link come the links of the text"
    find("#theme-button").send_keys(Keys.ENTER)
    assert browser.execute_script("return document.documentElement.dataset.theme") == "light"
    find("#theme-button").send_keys(Keys.ENTER, Keys.ENTER)
    first, second = browser.find_elements(By.CSS_SELECTOR, ".tabs .tab")[:2]
    assert first.is_displayed() and not second.is_displayed()
    find(".tabs input").send_keys(Keys.ARROW_RIGHT)
    assert second.is_displayed() and not first.is_displayed(), "an arrow turns to the next tab"
    find(".tabs input").find_element(By.XPATH, "..").click()
    assert first.is_displayed() and not second.is_displayed(), "and a click"
    find(".solution summary").send_keys(Keys.ENTER)
    assert find(".solution p").is_displayed(), "a solution opens"
    editions = find(".versions summary")
    editions.send_keys(Keys.ENTER)
    assert find(".versions a").get_attribute("href").endswith("one/all.html"), "this page of another edition"
    names = [link.text for link in browser.find_elements(By.CSS_SELECTOR, ".actions a")]
    assert names == ["Notebook", "Binder", "Colab", "JupyterLab", "Source", "Discussion"], names
    for link in browser.find_elements(By.CSS_SELECTOR, ".actions a"):
        assert "one/all" in link.get_attribute("href"), link.get_attribute("href")
    print(f"{len(stops)} controls are reached and work by keys alone")


def readable_without_scripts(browser, page, fixture):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    size(browser, 1400, 1000)
    browser.get(page.as_uri())
    find = lambda css: browser.find_element(By.CSS_SELECTOR, css)
    all_of = lambda css: browser.find_elements(By.CSS_SELECTOR, css)
    assert len(find("article").text) > 1000
    assert not all_of(".copy"), "scripts are off"
    sizes = [formula.size for formula in all_of("article > p math, .equation math")]
    assert len(sizes) > 20 and all(box["width"] > 0 and box["height"] > 0 for box in sizes), "formulas are set"
    inks = {word.value_of_css_property("color") for word in all_of(".code span")[:60]}
    assert len(inks) > 2, f"code has colours: {inks}"
    assert not any(control.is_displayed() for control in all_of("#search, .icon")), "what needs a script is hidden"
    for css in (".next", ".entry.current ~ .children a, .children .entry", ".home", ".book-contents a"):
        before = browser.current_url
        all_of(css)[0].click()
        assert browser.current_url != before and find("h1").text, f"{css} leads on"
    browser.get(fixture.as_uri())
    all_of(".tabs > label")[1].click()
    first, second = all_of(".tabs .tab")[:2]
    assert second.is_displayed() and not first.is_displayed(), "tabs turn"
    find(".solution summary").click()
    assert find(".solution p").is_displayed(), "solutions open"
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    print("text, formulas, colours, navigation, tabs and solutions are there without scripts")


PAINT = """
const done = arguments[arguments.length - 1];
let shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) shift += entry.value;
}).observe({ type: 'layout-shift', buffered: true });
const painted = () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime;
const look = () => document.readyState === 'complete' && painted()
  ? document.fonts.ready.then(() => setTimeout(() => done([painted() / 1000, shift]), 300)) : setTimeout(look, 50);
look();
"""


def paints_early(browser, site, pages):
    """As Lighthouse asks: the first words within 1.8 s on a phone's slow line, and they stay when the letters come."""
    server, at = serve(site)
    size(browser, 390, 844)
    line = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 750e3 / 8}
    for page in pages:
        best = None
        for _ in range(3):
            browser.execute_cdp_cmd("Network.enable", {})
            browser.execute_cdp_cmd("Network.clearBrowserCache", {})
            browser.execute_cdp_cmd("Network.emulateNetworkConditions", line)
            browser.get(at + page)
            found = browser.execute_async_script(PAINT)
            best = min(best or found, found)
        print(f"{page}: first paint after {best[0]:.2f} s, moved by {best[1]:.3f}")
        assert best[0] <= 1.8 and best[1] <= 0.1, best
    free = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", free)
    server.shutdown()
    server.server_close()


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
    server, at = serve(site)
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


def serve(site):
    handler = functools.partial(Packed, directory=site)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://book.localhost:{server.server_address[1]}/"


class Packed(http.server.SimpleHTTPRequestHandler):
    """Sends text compressed, as a real server does."""

    def do_GET(self):
        file = pathlib.Path(self.translate_path(self.path))
        if file.suffix not in (".html", ".css", ".js", ".svg"):
            return super().do_GET()
        content = gzip.compress(file.read_bytes())
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(file)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


def main(site, page, axe, fixture):
    site, fixture = pathlib.Path(site).resolve(), pathlib.Path(fixture).resolve()
    axe = pathlib.Path(axe).read_text()
    # Its addresses are those of the server that it is for.
    (fixture / "404.html").unlink()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = start(profile)
        try:
            problems, kinds = every_page(browser, fixture, axe)
            more, others = every_page(browser, site, axe)
            assert not problems + more, "\n".join(problems + more)
            assert kinds | others == set(KINDS), set(KINDS) - kinds - others
            one_page(browser, site / page, axe)
            by_keys(browser, fixture / "one/all.html")
            readable_without_scripts(browser, site / page, fixture / "one/all.html")
            is_light(browser, site / page)
            paints_early(browser, site, ["index.html", page, "references.html"])
            offline(browser, site, ["index.html", page, "references.html"])
        finally:
            browser.quit()


if __name__ == "__main__":
    main(*sys.argv[1:])
