//! Typst's passes over a book, in a bounded memory.
//!
//! Typst remembers what it laid out, for documents that are edited and typeset again, and for its own
//! next pass. Of a large book this is more than half of all memory that it takes, so there it forgets
//! now and then. The pages are the same. Of an earlier pass only the places of headings and labels stay.

use super::world::Press;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;
use typst::comemo;
use typst::diag::{SourceResult, Warned};
use typst::engine::Engine;
use typst::foundations::{Content, Output, StyleChain, Target};
use typst::introspection::Introspector;
use typst_layout::{PagedDocument, PagedIntrospector};

/// Bytes of markup, about 500 pages: smaller books are set faster with all that is remembered.
const LARGE: usize = 1_500_000;

/// How long typst remembers. Most of what helps it is measured and then set within milliseconds.
const PAUSE: Duration = Duration::from_millis(500);

/// Lays out the pages.
pub(super) fn compile(press: &Press) -> Warned<SourceResult<PagedDocument>> {
    let size: usize = press.sheets().iter().map(|sheet| sheet.text.len()).sum();
    if size < LARGE { typst::compile(press) } else { compile_forgetting(press, PAUSE) }
}

/// As [`typst::compile`], without the pages of earlier passes, and while another thread clears what typst
/// remembers, again after each pause. Its memory is behind locks, as typst lays out chapters in parallel.
fn compile_forgetting(
    press: &Press,
    pause: Duration,
) -> Warned<SourceResult<PagedDocument>> {
    let (working, is_working) = mpsc::channel::<()>();
    let Warned { output, warnings } = thread::scope(|scope| {
        scope.spawn(move || {
            while is_working.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                comemo::evict(0);
            }
        });
        let made = typst::compile::<Pass>(press);
        drop(working);
        made
    });
    let pages = PAGES.take();
    let output = output.map(|_| pages.expect("the last pass left them"));
    Warned { output, warnings }
}

/// What typst keeps of a pass: that which the next one asks it. It would keep the pages, too.
struct Pass(Arc<PagedIntrospector>);

thread_local! {
    /// The pages of the latest pass on this thread.
    static PAGES: Cell<Option<PagedDocument>> = const { Cell::new(None) };
}

impl Output for Pass {
    fn target() -> Target {
        Target::Paged
    }

    fn create(
        engine: &mut Engine,
        content: &Content,
        styles: StyleChain,
    ) -> SourceResult<Self> {
        PAGES.set(None);
        let pages = typst_layout::layout_document(engine, content, styles)?;
        let pass = Self(pages.introspector().clone());
        PAGES.set(Some(pages));
        Ok(pass)
    }

    fn introspector(&self) -> &dyn Introspector {
        &*self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weave::Theme;
    use crate::weave::pdf::markup::Sheet;
    use std::collections::BTreeMap;
    use typst::utils::hash128;

    /// Two passes: the second one knows the pages that the contents name.
    #[test]
    fn forgetting_changes_no_page() {
        let mut text = String::from("#outline()\n");
        for chapter in 0..40 {
            text += &format!("= Chapter {chapter}\n#lorem(900)\n$ x^2 + {chapter} $\n");
        }
        let sheet = Sheet { path: "/sheet.typ".into(), text, origins: Vec::new() };
        let press = Press::new(vec![sheet], BTreeMap::new(), &Theme::default());
        let remembering = typst::compile::<PagedDocument>(&press).output.unwrap();
        comemo::evict(0);
        let forgetting = compile_forgetting(&press, Duration::from_millis(1));
        let forgetting = forgetting.output.unwrap();
        assert!(forgetting.pages().len() > 40);
        assert_eq!(hash128(&forgetting), hash128(&remembering));
    }
}
