#!/usr/bin/env python3
"""Makes the fonts of the site from those of the printed book: make_fonts.py FOLDER [INSTALLED]

FOLDER holds LibertinusSerif-*.otf and NewCMMath-Regular.otf, as the crate `typst-assets` does in
`files/fonts`. Needs `pip install fonttools brotli`. Each face of text becomes two files: the letters
of most books in Latin script, and the rest, which browsers fetch only for pages that use it. It prints the ranges of base.css; the same input
gives the same files.

INSTALLED holds, at any depth, LiberationSerif-*.ttf (as wide as Times New Roman), NotoSerif-*.ttf and DejaVuSerif*.ttf.
Then it prints the faces of base.css that stand in until a font has come: those fonts, made as wide as ours in
the text of this book, and as high, so that lines break where they will and nothing moves.
"""
import re
import sys
from collections import Counter
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

OUT = Path(__file__).parent / "html/static/fonts"
FACES = {
    "serif-regular": "LibertinusSerif-Regular.otf",
    "serif-italic": "LibertinusSerif-Italic.otf",
    "serif-bold": "LibertinusSerif-Bold.otf",
}
LATIN = "U+0020-017F,U+0192,U+0218-021B,U+02C6-02DD,U+2010-2027,U+2030-203A,U+2044,U+20AC,U+2122,U+2190-2193,U+21A9,U+2212,U+FB00-FB04"
FEATURES = ["kern", "liga", "ccmp", "locl", "mark", "mkmk", "onum", "lnum", "tnum", "pnum", "frac"]
MATH_FEATURES = ["ssty", "dtls", "flac", "ccmp", "mark"]
# Formulas: letters and the alphabets of most books, accents, arrows, operators, fences.
MATH = (
    "U+0020-007E,U+00A0-00FF,U+0131,U+0237,U+02C6-02DD,U+0300-0311,U+0338,U+0391-03F6,U+2010-2037,"
    "U+2061-2064,U+20D6-20D7,U+2102-2138,U+2190-2199,U+21A6-21A9,U+21D0-21D5,U+2200-2237,U+223C,"
    "U+2243-224D,U+2260-226B,U+2272-2273,U+227A-228B,U+2295-2299,U+22A2-22A5,U+22C0-22C6,U+22EE-22F1,"
    "U+2308-230B,U+23B4-23B5,U+23DC-23DF,U+25A1,U+25CB,U+27C2,U+27E8-27E9,U+27F5-27FA,U+2A00-2A02,U+2AAF-2AB0,"
    "U+1D400-1D4FF,U+1D538-1D56B,U+1D5A0-1D5D3,U+1D6A8-1D755,U+1D7CE-1D7D7,U+FE00-FE01"
)


def code_points(ranges):
    for part in ranges.split(","):
        first, _, last = part.removeprefix("U+").partition("-")
        yield from range(int(first, 16), int(last or first, 16) + 1)


def small_primes_only(font):
    """Keeps the small forms of primes, which the style sheet asks for, and no others."""
    primes = {font.getBestCmap()[code] for code in range(0x2032, 0x2038) if code in font.getBestCmap()}
    table = font["GSUB"].table
    lookups = {
        index
        for record in table.FeatureList.FeatureRecord
        if record.FeatureTag == "ssty"
        for index in record.Feature.LookupListIndex
    }
    for index in lookups:
        for part in table.LookupList.Lookup[index].SubTable:
            mapping = getattr(part, "alternates", None) or part.mapping
            for glyph in set(mapping) - primes:
                del mapping[glyph]


def rest(ranges):
    """All other code points, as the style sheet names them."""
    known = sorted(set(code_points(ranges)))
    starts = [0, *(code + 1 for code in known)]
    ends = [*(code - 1 for code in known), 0x10FFFF]
    gaps = [(first, last) for first, last in zip(starts, ends) if first <= last]
    return ",".join(f"U+{first:X}-{last:X}" if first < last else f"U+{first:X}" for first, last in gaps)


def write(source, name, unicodes, features):
    options = subset.Options()
    options.flavor = "woff2"
    options.layout_features = features
    options.name_IDs = [0, 1, 2, 13, 14]
    options.notdef_outline = True
    options.recalc_timestamp = False
    font = subset.load_font(str(source), options)
    if "ssty" in features:
        small_primes_only(font)
    keep = subset.Subsetter(options)
    keep.populate(unicodes=unicodes)
    keep.subset(font)
    subset.save_font(font, str(OUT / f"{name}.woff2"), options)
    print(f"{(OUT / f'{name}.woff2').stat().st_size:8} {name}")


STYLES = {"regular": "", "italic": "font-style: italic; ", "bold": "font-weight: 700; "}
# By family: its files, and the names by which a reader's machine may have it.
STAND_INS = {
    "Times": ("LiberationSerif-{}.ttf", ["Times New Roman", "Liberation Serif", "Tinos"]),
    "Noto": ("NotoSerif-{}.ttf", ["Noto Serif"]),
    "DejaVu": ("DejaVuSerif-{}.ttf", ["DejaVu Serif"]),
}


def letters():
    """How often each letter stands in the text of the book, code and formulas left out."""
    chapters = sorted((Path(__file__).parent.parent / "book").rglob("*.md"))
    text = "".join(re.sub(r"(?ms)^```.*?^```|\$[^$]*\$|\{\w+\}`[^`]*`", "", file.read_text()) for file in chapters)
    return Counter(letter for letter in text if " " <= letter <= "~")


def measures(file, counts):
    """Of a font, in parts of its size: the mean width of a letter, ascent, descent and gap of a line."""
    font = TTFont(file)
    widths, glyphs, size, line = font["hmtx"], font.getBestCmap(), font["head"].unitsPerEm, font["hhea"]
    mean = sum(count * widths[glyphs[ord(letter)]][0] for letter, count in counts.items()) / counts.total()
    return [value / size for value in (mean, line.ascent, -line.descent, line.lineGap)]


def print_stand_ins(fonts, installed):
    counts = letters()
    for family, (files, names) in STAND_INS.items():
        for style, css in STYLES.items():
            ours = measures(fonts / FACES[f"serif-{style}"], counts)
            named = files.format(style.capitalize())
            found = [*installed.rglob(named), *installed.rglob(named.replace("-Regular", ""))]
            theirs = measures(found[0], counts)
            scale = ours[0] / theirs[0]
            end = "" if style == "regular" else f" {style.capitalize()}"
            sources = ", ".join(f'local("{name}{end}")' for name in names)
            sizes = [f"{round(100 * value, 1):g}%" for value in (scale, *(value / scale for value in ours[1:]))]
            keys = ("size-adjust", "ascent-override", "descent-override", "line-gap-override")
            rules = "; ".join(f"{key}: {value}" for key, value in zip(keys, sizes))
            print(f'@font-face {{ font-family: "Book Serif as {family}"; {css}src: {sources}; {rules}; }}')


def main():
    fonts = Path(sys.argv[1])
    if len(sys.argv) > 2:
        print_stand_ins(fonts, Path(sys.argv[2]))
    latin = set(code_points(LATIN))
    for name, file in FACES.items():
        known = set(TTFont(fonts / file).getBestCmap())
        write(fonts / file, name, known & latin, FEATURES)
        write(fonts / file, f"{name}-more", known - latin, FEATURES)
    source, core = fonts / "NewCMMath-Regular.otf", set(code_points(MATH))
    known = set(TTFont(source).getBestCmap())
    write(source, "math", known & core, MATH_FEATURES)
    write(source, "math-more", known - core, MATH_FEATURES)
    for name, ranges in [("text", LATIN), ("formulas", MATH)]:
        print(f"{name}: unicode-range: {ranges}; the rest: unicode-range: {rest(ranges)}")


main()
