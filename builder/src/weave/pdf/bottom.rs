//! Pages that end on one line.
//!
//! Typst leaves at the foot of a page what the next block did not fit into. Compositors spread a little
//! of that over the gaps between the page's blocks, so that facing pages end at the same height; so does this.

use typst::layout::{Abs, Frame, FrameItem, GroupItem, Point};
use typst::model::Document;
use typst_layout::PagedDocument;

/// Smaller gaps are those between the lines of a paragraph, which stay alike, also where a formula is higher than they.
const SMALLEST: Abs = Abs::raw(9.0);

/// By which part of itself a gap grows at most. A page that would need more stays as it is.
const STRETCH: f64 = 0.75;

/// How much of the size of letters stands on their line.
const CAPITALS: f64 = 0.66;

/// The document with the foot of its pages even, where little is missing.
pub(super) fn even(document: &PagedDocument) -> PagedDocument {
    let pages = document.pages().iter().cloned().map(|mut page| {
        if let Some(frame) = even_page(&page.frame) {
            page.frame = frame;
        }
        page
    });
    PagedDocument::new(pages.collect(), document.info().clone())
}

/// The page with its text evened, between head and foot.
fn even_page(page: &Frame) -> Option<Frame> {
    let is_text = |group: &GroupItem| {
        group.frame.height() > page.height() * 0.5 && group.transform.is_identity()
    };
    let mut even = Frame::new(page.size(), page.kind());
    let mut changed = None;
    for (at, item) in page.items() {
        match item {
            FrameItem::Group(group) if changed.is_none() && is_text(group) => {
                changed = even_text(&group.frame);
                let frame = changed.clone()?;
                even.push(*at, FrameItem::Group(GroupItem { frame, ..group.clone() }));
            }
            item => even.push(*at, item.clone()),
        }
    }
    changed.map(|_| even)
}

/// The text of a page, spread over its whole height; `None` if it is so already or would be too loose.
fn even_text(text: &Frame) -> Option<Frame> {
    let mut blocks: Vec<(Abs, Abs)> =
        text.items().filter_map(|(at, item)| extent(*at, item)).collect();
    blocks.sort_by(|a, b| a.0.cmp(&b.0));
    // Where each gap begins, and how large it is.
    let mut gaps: Vec<(Abs, Abs)> = Vec::new();
    let mut bottom = blocks.first()?.1;
    for &(top, end) in &blocks {
        if top - bottom > SMALLEST {
            gaps.push((bottom, top - bottom));
        }
        bottom.set_max(end);
    }
    let missing = text.height() - bottom;
    let all: Abs = gaps.iter().map(|gap| gap.1).sum();
    let stretch = missing / all;
    if missing < Abs::pt(0.1) || gaps.is_empty() || stretch > STRETCH {
        return None;
    }
    let mut even = Frame::new(text.size(), text.kind());
    for (at, item) in text.items() {
        let above = gaps.iter().filter(|gap| gap.0 + gap.1 / 2.0 < at.y);
        let down: Abs = above.map(|gap| gap.1 * stretch).sum();
        even.push(Point::new(at.x, at.y + down), item.clone());
    }
    Some(even)
}

/// Top and bottom of what is seen; letters stand on their line.
fn extent(at: Point, item: &FrameItem) -> Option<(Abs, Abs)> {
    match item {
        FrameItem::Group(group) => Some((at.y, at.y + group.frame.height())),
        FrameItem::Text(text) => Some((at.y - text.size * CAPITALS, at.y)),
        FrameItem::Shape(shape, _) => {
            let shape = shape.bbox(true);
            Some((at.y + shape.min.y, at.y + shape.max.y))
        }
        FrameItem::Image(_, size, _) => Some((at.y, at.y + size.y)),
        FrameItem::Link(..) | FrameItem::Tag(_) => None,
    }
}
