//! Finds what markdown must not read: formulas and roles.
//!
//! In `$a_1 * b_2 * c$` markdown would see emphasis, in a formula's line `- b` a list, in `$|x|$` the
//! end of a table's cell. So formulas and roles (``:numref:`fig_x` ``) are found first, by this
//! scanner, and markdown reads a copy of the source in which each of them is a run of [`MASK`]s of
//! the same length. Offsets stay the same, and the parser puts them back by their offsets.
//!
//! The scanner must know code when it sees it. Code spans and escapes it reads itself; code blocks
//! and raw HTML come from a first run of the markdown parser.

use super::{Span, latex};

/// What hides a formula: neither space nor punctuation to markdown, so emphasis around it works.
pub(super) const MASK: u8 = 0x1A;

/// Something that markdown does not read.
#[derive(Debug, Clone)]
pub(super) struct Atom {
    /// All of it, with its delimiters.
    pub(super) span: Span,
    pub(super) kind: AtomKind,
}

#[derive(Debug, Clone)]
pub(super) enum AtomKind {
    /// `$…$` or, `display`, `$$…$$`.
    Math { display: bool, latex: String },
    /// ``:role:`argument` ``
    Role { role: Role, argument: String },
    /// A line that opens or closes a region.
    Marker { region: Region, is_open: bool, argument: String },
    /// Marks for slides, and what only slides show.
    Slide,
}

/// What stands between two lines that mark it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Region {
    /// ``:begin_tab:`names` `` … `:end_tab:`
    Tab,
    /// `:begin_solution:` … `:end_solution:`
    Solution,
}

impl Region {
    pub(super) fn name(self) -> &'static str {
        match self {
            Region::Tab => "tab",
            Region::Solution => "solution",
        }
    }
}

/// The roles of the dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Label,
    EqLabel,
    Width,
    Height,
    NumRef,
    Ref,
    EqRef,
    Cite,
    CiteTextual,
    Index,
    Term,
}

impl Role {
    /// Every name an author can write.
    const NAMES: [(&str, Role); 12] = [
        ("label", Role::Label),
        ("eqlabel", Role::EqLabel),
        ("width", Role::Width),
        ("height", Role::Height),
        ("numref", Role::NumRef),
        ("ref", Role::Ref),
        ("eqref", Role::EqRef),
        ("cite", Role::Cite),
        ("citep", Role::Cite),
        ("citet", Role::CiteTextual),
        ("index", Role::Index),
        ("term", Role::Term),
    ];

    /// Whether it says something about the block before it and is itself not part of the text.
    pub(super) fn is_placement(self) -> bool {
        matches!(self, Role::Label | Role::EqLabel | Role::Width | Role::Height)
    }
}

/// A mistake, before it knows its document.
pub(super) struct Finding {
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) help: String,
    pub(super) is_error: bool,
}

/// What the scanner found.
#[derive(Default)]
pub(super) struct Scan {
    /// In order; they do not overlap.
    pub(super) atoms: Vec<Atom>,
    /// Each `[^name]` outside code.
    pub(super) footnotes: Vec<Span>,
    pub(super) findings: Vec<Finding>,
}

impl Scan {
    /// The source as markdown shall read it: the same length, every atom hidden.
    pub(super) fn mask(&self, source: &str) -> String {
        let mut bytes = source.as_bytes().to_vec();
        for atom in &self.atoms {
            let filler = match &atom.kind {
                AtomKind::Role { role, .. } if role.is_placement() => b' ',
                // The line becomes an empty one, which ends the paragraph before it.
                AtomKind::Marker { .. } => b' ',
                _ => MASK,
            };
            for byte in &mut bytes[atom.span.range()] {
                // What slides alone show may have several lines, in a list or quotation too.
                if *byte != b'\n'
                    || filler == MASK && !matches!(atom.kind, AtomKind::Slide)
                {
                    *byte = filler;
                }
            }
        }
        String::from_utf8(bytes).expect("atoms start and end at ASCII characters")
    }
}

/// Finds the atoms of `source`, leaving out `opaque`: code blocks and raw HTML, in order.
pub(super) fn scan(source: &str, opaque: &[Span]) -> Scan {
    let mut scanner = Scanner {
        source,
        bytes: source.as_bytes(),
        slides: Vec::new(),
        found: Scan::default(),
    };
    let mut opaque = opaque.iter().peekable();
    let mut at = 0;
    while at < source.len() {
        while opaque.next_if(|span| span.start < at || span.end <= at).is_some() {}
        if let Some(span) = opaque.next_if(|span| span.start == at) {
            at = span.end;
            continue;
        }
        at = match scanner.bytes[at] {
            b'\\' => at + 2,
            b'`' => scanner.code_span(at),
            b'$' => scanner.math(at),
            b':' => scanner.marker(at).unwrap_or_else(|| scanner.role(at)),
            b'[' | b'(' => scanner.slide(at).unwrap_or_else(|| scanner.footnote(at)),
            b'*' => scanner.slide_end(at),
            _ => at + 1,
        };
    }
    scanner.found
}

struct Scanner<'a> {
    source: &'a str,
    bytes: &'a [u8],
    /// Where marks for slides close.
    slides: Vec<usize>,
    found: Scan,
}

impl Scanner<'_> {
    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(b'\n')
    }

    fn run_of(&self, byte: u8, at: usize) -> usize {
        self.bytes[at..].iter().take_while(|&&b| b == byte).count()
    }

    /// Skips a code span; a run of backticks without its partner is text.
    fn code_span(&self, at: usize) -> usize {
        let ticks = self.run_of(b'`', at);
        let mut i = at + ticks;
        while i < self.bytes.len() {
            match self.bytes[i] {
                b'`' => {
                    let run = self.run_of(b'`', i);
                    i += run;
                    if run == ticks {
                        return i;
                    }
                }
                b'\n' if self.paragraph_ends(i) => break,
                _ => i += 1,
            }
        }
        at + ticks
    }

    /// Whether the line after the newline at `newline` is blank or opens a code block.
    fn paragraph_ends(&self, newline: usize) -> bool {
        let line = unquoted(self.line_at(newline + 1));
        line.is_empty() || line.starts_with("```") || line.starts_with("~~~")
    }

    fn line_at(&self, start: usize) -> &str {
        self.source.get(start..).and_then(|rest| rest.lines().next()).unwrap_or("")
    }

    /// The line that holds `at`.
    fn line_around(&self, at: usize) -> &str {
        let before = self.source.get(..at).unwrap_or("");
        self.line_at(before.rfind('\n').map_or(0, |newline| newline + 1))
    }

    fn math(&mut self, at: usize) -> usize {
        let display = self.byte(at + 1) == b'$';
        let open = at + if display { 2 } else { 1 };
        let close = if display { self.display_end(open) } else { self.inline_end(open) };
        let Some(close) = close else {
            let span = Span::new(at..open);
            self.found.findings.push(if display {
                Finding {
                    span,
                    message: "this formula is never closed".into(),
                    help: "close it with `$$` before the next blank line".into(),
                    is_error: true,
                }
            } else {
                Finding {
                    span,
                    message: "this `$` opens no formula".into(),
                    help: "a formula starts and ends with `$` beside something other than a \
                           space, within one paragraph; write `\\$` for a dollar sign"
                        .into(),
                    is_error: false,
                }
            });
            return open;
        };
        let end = close + open - at;
        let mut latex = self.unquoted_latex(at, open, close);
        if latex::is_excessive(&latex) {
            self.found.findings.push(Finding {
                span: Span::new(at..open),
                message: "this formula is too long or too deeply nested".into(),
                help: "break it into several".into(),
                is_error: true,
            });
            latex.clear();
        } else {
            self.check_latex(at, open, close, end);
        }
        self.found.atoms.push(Atom {
            span: Span::new(at..end),
            kind: AtomKind::Math { display, latex },
        });
        end
    }

    fn check_latex(&mut self, at: usize, open: usize, close: usize, end: usize) {
        let latex = &self.source[open..close];
        let mut report = |span: Span, message: String, help: String| {
            self.found.findings.push(Finding { span, message, help, is_error: true });
        };
        if latex.trim().is_empty() {
            report(Span::new(at..end), "this formula is empty".into(), String::new());
        }
        if let Some(problem) = latex::problem(latex) {
            let span = Span::new(open + problem.span.start..open + problem.span.end);
            report(span, problem.message, problem.help);
        }
    }

    /// The formula without the `>` that a quotation puts at the start of its lines.
    fn unquoted_latex(&self, at: usize, open: usize, close: usize) -> String {
        let latex = &self.source[open..close];
        let is_quoted = self.line_around(at).trim_start().starts_with('>');
        if !is_quoted || !latex.contains('\n') {
            return latex.replace("\r\n", "\n").trim().to_owned();
        }
        let lines = latex.lines().enumerate();
        let lines: Vec<_> =
            lines.map(|(i, l)| if i == 0 { l } else { unquoted(l) }).collect();
        lines.join("\n").trim().to_owned()
    }

    /// Where the `$$` after `open` stands.
    fn display_end(&self, open: usize) -> Option<usize> {
        let mut i = open;
        while i < self.bytes.len() {
            match self.bytes[i] {
                b'\\' => i += 2,
                b'$' if self.byte(i + 1) == b'$' => return Some(i),
                b'\n' if self.paragraph_ends(i) => return None,
                _ => i += 1,
            }
        }
        None
    }

    /// Where the `$` that closes the formula after `open` stands. As in pandoc, spaces may not stand
    /// directly inside the dollars, nor a digit directly after them, so prices are left alone.
    fn inline_end(&self, open: usize) -> Option<usize> {
        if self.byte(open).is_ascii_whitespace() {
            return None;
        }
        let first_line = unquoted(self.line_around(open));
        let mut i = open;
        while i < self.bytes.len() {
            match self.bytes[i] {
                b'\\' => i = self.text_group_end(i).unwrap_or(i + 2),
                b'$' => {
                    let is_closed = !self.bytes[i - 1].is_ascii_whitespace()
                        || self.bytes[i - 2] == b'\\';
                    return (is_closed && !self.byte(i + 1).is_ascii_digit())
                        .then_some(i);
                }
                b'`' => return None,
                b'\n' if self.paragraph_ends(i) => return None,
                b'\n' => {
                    let next = unquoted(self.line_at(i + 1));
                    let leaves_block = first_line.starts_with('|')
                        || next.starts_with("# ")
                        || next.starts_with("##")
                        || is_list_item(first_line) && is_list_item(next);
                    if leaves_block {
                        return None;
                    }
                    i += 1;
                }
                _ => i += 1,
            }
        }
        None
    }

    /// For `\text{if $x$}` at `at`: where it ends, so that the dollars inside do not close the formula.
    fn text_group_end(&self, at: usize) -> Option<usize> {
        let rest = self.source.get(at..)?;
        let name_end = rest[1..].find(|c: char| !c.is_ascii_alphabetic())? + 1;
        let is_text = rest[1..name_end].starts_with("text")
            || matches!(&rest[1..name_end], "mbox" | "hbox" | "intertext");
        if !is_text || rest.as_bytes()[name_end] != b'{' {
            return None;
        }
        let mut depth = 0;
        for (i, byte) in rest.bytes().enumerate().skip(name_end) {
            match byte {
                b'{' => depth += 1,
                b'}' if depth == 1 => return Some(at + i + 1),
                b'}' => depth -= 1,
                b'\n' => return None,
                _ => {}
            }
        }
        None
    }

    /// A line `:begin_tab:`, `:end_tab:`, `:begin_solution:` or `:end_solution:`.
    fn marker(&mut self, at: usize) -> Option<usize> {
        let before = &self.source[..at];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        if !unquoted(&before[line_start..]).is_empty() {
            return None;
        }
        let line = self.line_at(at).trim_end();
        let (is_open, rest) = match line.strip_prefix(":begin_") {
            Some(rest) => (true, rest),
            None => (false, line.strip_prefix(":end_")?),
        };
        let (name, argument) = rest.split_once(':')?;
        let region =
            [Region::Tab, Region::Solution].into_iter().find(|r| r.name() == name)?;
        let argument = argument.trim().trim_matches('`').trim().to_owned();
        let span = Span::new(at..at + line.len());
        if is_open && region == Region::Tab && argument.is_empty() {
            self.found.findings.push(Finding {
                span,
                message: "a tab without a name".into(),
                help: "say what it is for: :begin_tab:`pytorch`".into(),
                is_error: true,
            });
        }
        self.found
            .atoms
            .push(Atom { span, kind: AtomKind::Marker { region, is_open, argument } });
        Some(span.end)
    }

    /// `[**text**]` and `(**text**)` are shown without the marks, `[~~text~~]` and `(~~text~~)` are
    /// for slides only.
    fn slide(&mut self, at: usize) -> Option<usize> {
        let mark = self.source.get(at + 1..at + 3)?;
        if !matches!(mark, "**" | "~~") {
            return None;
        }
        let bracket = if self.bytes[at] == b'[' { "]" } else { ")" };
        let closing = format!("{mark}{bracket}");
        let rest = &self.source[at + 3..];
        let length = rest.find(&closing)?;
        let end = at + 3 + length + 3;
        let is_link = bracket == "]" && matches!(self.byte(end), b'(' | b'[' | b':')
            || bracket == ")" && at > 0 && self.bytes[at - 1] == b']';
        let ends = |(newline, _)| self.paragraph_ends(at + 3 + newline);
        if is_link || length == 0 || rest[..length].match_indices('\n').any(ends) {
            return None;
        }
        if mark == "~~" {
            self.found
                .atoms
                .push(Atom { span: Span::new(at..end), kind: AtomKind::Slide });
            return Some(end);
        }
        self.found
            .atoms
            .push(Atom { span: Span::new(at..at + 3), kind: AtomKind::Slide });
        self.slides.push(end - 3);
        Some(at + 3)
    }

    fn slide_end(&mut self, at: usize) -> usize {
        let Some(index) = self.slides.iter().position(|&end| end == at) else {
            return at + 1;
        };
        self.slides.swap_remove(index);
        self.found
            .atoms
            .push(Atom { span: Span::new(at..at + 3), kind: AtomKind::Slide });
        at + 3
    }

    /// ``:name:`argument` ``
    fn role(&mut self, at: usize) -> usize {
        let after = at + 1;
        let before = if at == 0 { b' ' } else { self.bytes[at - 1] };
        // A mark of the index stands right behind its word.
        let is_behind_word = before.is_ascii_alphanumeric()
            && !self.source[after..].starts_with("index:`");
        if is_behind_word || before == b':' {
            return after;
        }
        let name = self.bytes[after..]
            .iter()
            .take_while(|b| b.is_ascii_lowercase() || **b == b'_')
            .count();
        let tick = after + name + 1;
        if name == 0 || self.byte(tick - 1) != b':' || self.byte(tick) != b'`' {
            return after;
        }
        let line = self.line_at(tick + 1);
        let Some(length) = line.find('`') else { return after };
        let end = tick + 1 + length + 1;
        let name = &self.source[after..after + name];
        let argument = line[..length].trim();
        let role =
            Role::NAMES.iter().find(|(known, _)| *known == name).map(|(_, role)| *role);
        let problem = match role {
            None => {
                let known: Vec<_> = Role::NAMES.iter().map(|(name, _)| *name).collect();
                Some((
                    format!("unknown role `:{name}:`"),
                    format!("known roles: {}", known.join(", ")),
                ))
            }
            Some(_) if argument.is_empty() => {
                Some((format!("`:{name}:` names nothing"), String::new()))
            }
            Some(_) => None,
        };
        if let Some((message, help)) = problem {
            let span = Span::new(at..end);
            self.found.findings.push(Finding { span, message, help, is_error: true });
            return end;
        }
        if let Some(role) = role {
            let kind = AtomKind::Role { role, argument: argument.to_owned() };
            self.found.atoms.push(Atom { span: Span::new(at..end), kind });
        }
        end
    }

    /// Notes `[^name]`, and goes on inside it: it may not be one.
    fn footnote(&mut self, at: usize) -> usize {
        if self.byte(at + 1) == b'^' {
            let rest = &self.source[at + 2..];
            let length = rest.find(|c: char| c == ']' || c == '[' || c.is_whitespace());
            if let Some(length) = length.filter(|&n| n > 0 && rest.as_bytes()[n] == b']')
            {
                self.found.footnotes.push(Span::new(at..at + 2 + length + 1));
            }
        }
        at + 1
    }
}

/// A line without its indentation and the `>` of quotations.
fn unquoted(line: &str) -> &str {
    line.trim_start_matches(|c: char| c.is_whitespace() || c == '>').trim_end()
}

fn is_list_item(line: &str) -> bool {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let marker = &line[digits..];
    let is_bullet =
        digits == 0 && ["- ", "* ", "+ "].iter().any(|m| marker.starts_with(m));
    is_bullet || digits > 0 && (marker.starts_with(". ") || marker.starts_with(") "))
}
