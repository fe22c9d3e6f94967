"""Pictures of pages in a real browser: pictures.py SITE OUT (needs Chromium and its driver)

Reads lines `NAME PAGE WIDTH SCHEME` from standard input, and writes OUT/NAME.png for each: the whole
page, at most 4000 pixels high.
"""

import pathlib
import sys
import tempfile

from walk import colours, size, start


def main(site, out):
    site, out = pathlib.Path(site).resolve(), pathlib.Path(out)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = start(profile)
        try:
            for line in sys.stdin:
                name, page, width, scheme = line.split()
                colours(browser, scheme)
                size(browser, int(width), 900)
                browser.get((site / page).as_uri())
                browser.execute_async_script("document.fonts.ready.then(() => arguments[0]())")
                height = browser.execute_script("return document.documentElement.scrollHeight")
                size(browser, int(width), min(height, 4000))
                browser.save_screenshot(str(out / f"{name}.png"))
        finally:
            browser.quit()


main(*sys.argv[1:])
