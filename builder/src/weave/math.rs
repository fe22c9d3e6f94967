//! LaTeX → MathML.

use crate::diagnostic::Diagnostic;
use crate::document::{Document, Span};
use math_core::{LatexToMathML, MathCoreConfig, MathDisplay};

/// A converter of formulas; none keeps state from formula to formula.
pub(super) struct MathMl(LatexToMathML);

impl MathMl {
    pub(super) fn new() -> Self {
        let config = MathCoreConfig { annotation: true, ..MathCoreConfig::default() };
        Self(LatexToMathML::new(config).expect("no macros that could be wrong"))
    }

    /// The formula `latex`, which stands at `span` of the chapter.
    pub(super) fn convert(
        &self,
        document: &Document,
        span: Span,
        latex: &str,
        display: MathDisplay,
    ) -> Result<String, Box<Diagnostic>> {
        let converted = self.0.convert_with_local_state(latex, display);
        converted.map(|result| result.mathml).map_err(|error| {
            let source = &document.source[span.range()];
            let at = source.find(latex).map_or(span, |offset| {
                let start = span.start + offset + error.0.start.min(latex.len());
                Span::new(
                    start
                        ..span.start
                            + offset
                            + error.0.end.clamp(error.0.start, latex.len()),
                )
            });
            let message = format!("a formula that cannot be set: {error}");
            Box::new(Diagnostic::error(document, at, message))
        })
    }
}
