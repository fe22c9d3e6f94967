//! The grammar of fences and of `//#@save`.
//!
//! ```text
//! info      = [ language ] { separator attribute }
//!           | "{" "." language { separator attribute } "}"
//! attribute = name [ "=" value ]
//! value     = word | '"' text '"'          (in text, \" and \\ stand for " and \)
//! separator = "," | spaces | ", "
//! save      = ( "//#@save" | "#@save" ) [ topic ]
//! ```
//!
//! `rust` is run unless it says `no-run`; every other language is only shown.

use super::{CellAttrs, Save, Span};
use bytesize::ByteSize;

/// What a fence says: the language, and how a cell is to be run and shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fence {
    /// The first word; empty if there is none.
    pub language: String,
    /// Whether the code is run.
    pub is_cell: bool,
    /// The attributes, without `caption`, whose text is markdown.
    pub attrs: CellAttrs,
    /// Where the value of `caption` stands.
    pub caption: Option<Span>,
    /// Where the value of `label` stands.
    pub label: Option<Span>,
    /// What is wrong.
    pub mistakes: Vec<Mistake>,
}

/// Something wrong in a fence.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    /// The attribute.
    pub span: Span,
    /// What is wrong with it.
    pub message: String,
    /// The way out.
    pub help: String,
}

/// What an attribute wants after its name.
#[derive(Clone, Copy, PartialEq)]
enum Value {
    None,
    Optional,
    Required,
}

/// The attributes of a cell, in the order in which they are listed to an author.
const ATTRIBUTES: [(&str, Value); 13] = [
    ("no-run", Value::None),
    ("hide", Value::None),
    ("hide-code", Value::None),
    ("hide-output", Value::None),
    ("fails", Value::Optional),
    ("timeout", Value::Required),
    ("memory", Value::Required),
    ("gpu", Value::None),
    ("approx", Value::Required),
    ("volatile", Value::None),
    ("label", Value::Required),
    ("caption", Value::Required),
    ("alt", Value::Required),
];

/// What other tools call an attribute of ours.
const ALIASES: [(&str, &str); 5] = [
    ("ignore", "no-run"),
    ("no_run", "no-run"),
    ("compile_fail", "fails"),
    ("should_panic", "fails"),
    ("hidden", "hide"),
];

/// Reads the info string that stands at byte `offset` of the chapter.
pub fn parse_info(info: &str, offset: usize) -> Fence {
    let mut words = words(info).into_iter().peekable();
    let mut fence = Fence::default();
    let Some(first) = words.next_if(|word| word.value.is_none()) else {
        fence.report_attributes(info, offset, words);
        return fence;
    };
    fence.language = first.name.trim_start_matches('.').to_lowercase();
    fence.is_cell = fence.language == "rust";
    // `{.rust .cell}` and the original book's `{.python .input}` say what `rust` says alone.
    let mut is_input = false;
    while let Some(word) =
        words.next_if(|w| matches!(w.name, ".cell" | ".input") && w.value.is_none())
    {
        is_input |= word.name == ".input";
    }
    if is_input && !fence.is_cell {
        // Its attributes, such as `n=7`, were for the tool that ran it.
        return fence;
    }
    if fence.is_cell {
        for word in words {
            fence.read_attribute(&word, info, offset);
        }
    } else {
        fence.report_attributes(info, offset, words);
    }
    fence
}

/// Reads a first line `//#@save [topic]` or `#@save [topic]` of a cell that starts at byte `offset`.
///
/// Gives the marker and how many bytes the line takes.
pub fn parse_save(code: &str, offset: usize) -> Option<(Save, usize)> {
    let line = code.lines().next()?;
    let marker = line.trim();
    let marker = marker.strip_prefix("//").map_or(marker, str::trim_start);
    let rest = marker.strip_prefix("#@save")?;
    if rest.starts_with(|c: char| !c.is_whitespace()) {
        return None;
    }
    let topic = Some(rest.trim()).filter(|topic| !topic.is_empty()).map(str::to_owned);
    let start = offset + line.len() - line.trim_start().len();
    let span = Span::new(start..offset + line.trim_end().len());
    let length = code.find('\n').map_or(code.len(), |newline| newline + 1);
    Some((Save { topic, span }, length))
}

/// The name of the first public item that `code` defines, in lower case with hyphens.
///
/// It reads lines, not Rust: an id must exist even for code that does not parse.
pub fn first_public_name(code: &str) -> Option<String> {
    const KEYWORDS: [&str; 9] =
        ["struct", "enum", "union", "trait", "type", "const", "static", "fn", "mod"];
    const MODIFIERS: [&str; 4] = ["unsafe", "async", "extern", "const"];
    code.lines().find_map(|line| {
        let rest =
            line.strip_prefix("pub ").or_else(|| line.strip_prefix("macro_rules! "))?;
        let is_macro = line.starts_with("macro_rules!");
        let mut words = rest.split_whitespace().peekable();
        if !is_macro {
            while let Some(word) = words.next() {
                let is_modifier = MODIFIERS.contains(&word)
                    && words.peek().is_some_and(|next| KEYWORDS.contains(next));
                if KEYWORDS.contains(&word) && !is_modifier {
                    break;
                }
            }
        }
        let name = words.next()?;
        let end =
            name.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(name.len());
        (end > 0).then(|| kebab(&name[..end]))
    })
}

/// `LinearRegression` and `linear_regression` as `linear-regression`.
pub fn kebab(name: &str) -> String {
    let mut out = String::new();
    let mut previous_is_lower = false;
    for c in name.chars() {
        if c.is_uppercase() && previous_is_lower {
            out.push('-');
        }
        previous_is_lower = c.is_lowercase() || c.is_ascii_digit();
        out.extend(if c == '_' { vec!['-'] } else { c.to_lowercase().collect() });
    }
    out.trim_matches('-').to_owned()
}

/// One attribute as written; positions are bytes of the info string.
struct Word<'a> {
    name: &'a str,
    /// The value as written, without quotes, and where it stands.
    value: Option<(&'a str, Span)>,
    span: Span,
    is_closed: bool,
}

/// Splits an info string at commas and spaces, except in quotes.
fn words(info: &str) -> Vec<Word<'_>> {
    let bytes = info.as_bytes();
    let mut words = Vec::new();
    let mut at = 0;
    let is_separator = |b: u8| matches!(b, b',' | b'{' | b'}') || b.is_ascii_whitespace();
    while at < bytes.len() {
        if is_separator(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && !is_separator(bytes[at]) && bytes[at] != b'=' {
            at += 1;
        }
        let name = &info[start..at];
        let mut is_closed = true;
        let mut value = None;
        if bytes.get(at) == Some(&b'=') {
            at += 1;
            let (from, to, end);
            (from, to, end, is_closed) = value_at(bytes, at, is_separator);
            value = Some((&info[from..to], Span::new(from..to)));
            at = end;
        }
        words.push(Word { name, value, span: Span::new(start..at), is_closed });
    }
    words
}

/// Start, end and what follows of the value at `at`, and whether its quotation mark is closed.
fn value_at(
    bytes: &[u8],
    at: usize,
    is_separator: impl Fn(u8) -> bool,
) -> (usize, usize, usize, bool) {
    if bytes.get(at) != Some(&b'"') {
        let length = bytes[at..].iter().take_while(|&&b| !is_separator(b)).count();
        return (at, at + length, at + length, true);
    }
    let start = at + 1;
    let mut end = start;
    while end < bytes.len() && bytes[end] != b'"' {
        end += if bytes[end] == b'\\'
            && end + 1 < bytes.len()
            && bytes[end + 1].is_ascii()
        {
            2
        } else {
            1
        };
    }
    (start, end, (end + 1).min(bytes.len()), end < bytes.len())
}

impl Fence {
    fn read_attribute(&mut self, word: &Word<'_>, info: &str, offset: usize) {
        let Some((name, wants)) = ATTRIBUTES.iter().find(|(name, _)| *name == word.name)
        else {
            return self.report_unknown(word, offset);
        };
        let value =
            word.value.map(|(text, _)| text.replace("\\\"", "\"").replace("\\\\", "\\"));
        let place =
            word.value.map(|(_, span)| Span::new(offset + span.start..offset + span.end));
        let complaint = match (wants, &value) {
            _ if !word.is_closed => Some(format!("the text of `{name}` is never closed")),
            (Value::None, Some(_)) => Some(format!("`{name}` takes no value")),
            (Value::Required, None) => Some(format!("`{name}` needs a value")),
            (Value::Required, Some(text)) if text.trim().is_empty() => {
                Some(format!("`{name}` needs a value"))
            }
            _ => None,
        };
        if let Some(message) = complaint {
            let example = match *name {
                "timeout" => "timeout=60",
                "memory" => "memory=2GiB",
                "approx" => "approx=1e-3",
                "label" => "label=fig_loss",
                "caption" => "caption=\"The loss falls.\"",
                "alt" => "alt=\"A falling curve\"",
                other => other,
            };
            return self.report(
                word.span,
                info,
                offset,
                message,
                format!("as in `{example}`"),
            );
        }
        let attrs = &mut self.attrs;
        match *name {
            "no-run" => self.is_cell = false,
            "hide" => attrs.hide = true,
            "volatile" => attrs.volatile = true,
            "gpu" => attrs.gpu = true,
            "hide-code" => attrs.hide_code = true,
            "hide-output" => attrs.hide_output = true,
            "fails" => attrs.fails = Some(value.unwrap_or_default()),
            "timeout" => match value.unwrap_or_default().parse() {
                Ok(seconds) if seconds > 0 => attrs.timeout = Some(seconds),
                _ => {
                    let message = "`timeout` wants a number of seconds".to_owned();
                    self.report(
                        word.span,
                        info,
                        offset,
                        message,
                        "as in `timeout=60`".into(),
                    );
                }
            },
            "memory" => match value.unwrap_or_default().parse::<ByteSize>() {
                Ok(size) if size.as_u64() > 0 => attrs.memory = Some(size.as_u64()),
                _ => {
                    let message = "`memory` wants a size".to_owned();
                    let help = "as in `memory=2GiB`".to_owned();
                    self.report(word.span, info, offset, message, help);
                }
            },
            "approx" => match value.unwrap_or_default().parse::<f64>() {
                Ok(part) if part.is_finite() && part >= 0.0 => attrs.approx = Some(part),
                _ => {
                    let message =
                        "`approx` wants a number, the allowed relative difference"
                            .to_owned();
                    self.report(
                        word.span,
                        info,
                        offset,
                        message,
                        "as in `approx=1e-3`".into(),
                    );
                }
            },
            "label" => {
                attrs.label = value;
                self.label = place;
            }
            "caption" => self.caption = place,
            _ => attrs.alt = value,
        }
    }

    fn report_unknown(&mut self, word: &Word<'_>, offset: usize) {
        let known: Vec<_> = ATTRIBUTES.iter().map(|(name, _)| *name).collect();
        let mut help = format!("known attributes: {}", known.join(", "));
        let alias =
            ALIASES.iter().find(|(alias, _)| *alias == word.name).map(|(_, ours)| *ours);
        if let Some(meant) = alias.or_else(|| nearest(word.name, known.iter().copied())) {
            help = format!("did you mean `{meant}`?\n{help}");
        }
        let length = word.name.len().max(1);
        self.mistakes.push(Mistake {
            span: Span::new(offset + word.span.start..offset + word.span.start + length),
            message: format!("unknown attribute `{}`", word.name),
            help,
        });
    }

    /// Attributes belong to cells; a block that is only shown has none.
    fn report_attributes<'a>(
        &mut self,
        info: &str,
        offset: usize,
        words: impl Iterator<Item = Word<'a>>,
    ) {
        let language = self.language.clone();
        for word in words {
            let message = if language.is_empty() {
                format!("attribute `{}` without a language", word.name)
            } else {
                format!(
                    "attribute `{}` on a block in {language}, which is not run",
                    word.name
                )
            };
            let help = "only ```rust cells have attributes".to_owned();
            self.report(word.span, info, offset, message, help);
        }
    }

    fn report(
        &mut self,
        span: Span,
        info: &str,
        offset: usize,
        message: String,
        help: String,
    ) {
        let end = span.end.min(info.len());
        let span = Span::new(offset + span.start..offset + end);
        self.mistakes.push(Mistake { span, message, help });
    }
}

/// The candidate that differs from `name` in at most a third of its letters.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= (candidate.chars().count() / 3).max(1)
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitution = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitution.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_is_run_and_the_rest_is_shown() {
        assert!(parse_info("rust", 0).is_cell);
        assert!(parse_info("{.rust .cell hide}", 0).is_cell);
        assert!(!parse_info("rust, no-run", 0).is_cell);
        assert!(!parse_info("python", 0).is_cell);
        assert!(!parse_info("", 0).is_cell);
    }

    #[test]
    fn every_way_of_writing_attributes_means_the_same() {
        let expected = CellAttrs {
            hide_code: true,
            fails: Some("E0382".into()),
            timeout: Some(60),
            memory: Some(2 << 30),
            gpu: true,
            ..CellAttrs::default()
        };
        for info in [
            r#"rust, hide-code, fails="E0382", timeout=60, memory="2 GiB", gpu"#,
            r#"rust,hide-code,fails=E0382,timeout=60,memory=2GiB,gpu"#,
            r#"rust {gpu hide-code fails="E0382" timeout=60 memory=2GiB}"#,
            r#"{.rust .cell gpu hide-code fails="E0382" timeout=60 memory=2147483648}"#,
        ] {
            let fence = parse_info(info, 0);
            assert_eq!(fence.attrs, expected, "{info}");
            assert_eq!(fence.mistakes, [], "{info}");
        }
    }

    #[test]
    fn mistakes_are_pointed_at() {
        let cases = [
            ("rust, hidecode", "hidecode", "unknown attribute `hidecode`"),
            ("rust, ignore", "ignore", "unknown attribute `ignore`"),
            ("rust, timeout=soon", "timeout=soon", "`timeout` wants a number of seconds"),
            ("rust, memory=much", "memory=much", "`memory` wants a size"),
            ("rust, hide=1", "hide=1", "`hide` takes no value"),
            ("rust, label", "label", "`label` needs a value"),
            ("rust, alt=\"a b", "alt=\"a b", "the text of `alt` is never closed"),
            (
                "toml, hide",
                "hide",
                "attribute `hide` on a block in toml, which is not run",
            ),
        ];
        for (info, place, message) in cases {
            let fence = parse_info(info, 3);
            let [mistake] = fence.mistakes.as_slice() else {
                panic!("{info}: {fence:?}")
            };
            assert_eq!(mistake.message, message);
            assert_eq!(&info[mistake.span.start - 3..mistake.span.end - 3], place);
        }
        assert!(
            parse_info("rust, ignore", 0).mistakes[0]
                .help
                .starts_with("did you mean `no-run`?")
        );
        let hint = &parse_info("rust, hidecode", 0).mistakes[0].help;
        assert!(hint.starts_with("did you mean `hide-code`?"), "{hint}");
    }

    #[test]
    fn the_place_of_a_caption_is_known() {
        let info = r#"rust, caption="A \"loss\"", hide-code"#;
        let span = parse_info(info, 10).caption.unwrap();
        assert_eq!(&info[span.start - 10..span.end - 10], r#"A \"loss\""#);
    }

    #[test]
    fn save_lines_are_recognised() {
        let topic = |code| parse_save(code, 0).map(|(save, length)| (save.topic, length));
        assert_eq!(topic("//#@save train\nfn f() {}"), Some((Some("train".into()), 15)));
        assert_eq!(topic("#@save\nfn f() {}"), Some((None, 7)));
        assert_eq!(topic("// #@save plot"), Some((Some("plot".into()), 14)));
        assert_eq!(topic("//#@saved\n"), None);
        assert_eq!(topic("let x = 1; //#@save\n"), None);
    }

    #[test]
    fn public_names_become_ids() {
        let name = |code| first_public_name(code);
        assert_eq!(
            name("use std::io;\n/// Doc\npub struct HParams<T>(T);"),
            Some("hparams".into())
        );
        assert_eq!(name("pub fn set_axes(f: Figure) {}"), Some("set-axes".into()));
        assert_eq!(name("pub unsafe extern \"C\" fn go() {}"), Some("go".into()));
        assert_eq!(name("pub const fn half() {}"), Some("half".into()));
        assert_eq!(name("pub const HALF: f64 = 0.5;"), Some("half".into()));
        assert_eq!(name("macro_rules! maxima { () => {} }"), Some("maxima".into()));
        assert_eq!(name("let x = 1;"), None);
    }
}
