//! A bar that shows how far a loop has come.
//!
//! In a notebook it is one display that is updated in place, in a terminal one line of standard
//! error; where there is neither, nothing is shown. A loop over [`progress`] can be interrupted at
//! every step, and what it has changed is kept.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::{display, display::Bundle, interrupt};

/// How often the bar is drawn anew at most.
const PACE: Duration = Duration::from_millis(100);

/// The bar's width in a terminal, in characters.
const WIDTH: usize = 30;

/// Gives what `steps` gives, and shows how far it has come.
///
/// # Panics
/// At the next step after an interrupt; see [`interrupt`].
///
/// ```
/// use d2l::progress::progress;
///
/// let sum: u32 = progress(0..100).sum();
/// assert_eq!(sum, 4950);
/// ```
pub fn progress<I: IntoIterator>(steps: I) -> Progress<I::IntoIter> {
    let steps = steps.into_iter();
    let total = steps.size_hint().1;
    Progress { steps, bar: Bar::new(total) }
}

/// An iterator that shows how far it has come: see [`progress`].
///
/// ```
/// let mut steps = d2l::progress::progress(0..3);
/// assert_eq!(steps.next(), Some(0));
/// ```
#[derive(Debug)]
pub struct Progress<I> {
    steps: I,
    bar: Bar,
}

impl<I: Iterator> Iterator for Progress<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        interrupt::check();
        let step = self.steps.next();
        self.bar.step(step.is_some());
        step
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.steps.size_hint()
    }
}

/// Where the bar is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Notebook,
    Terminal,
    Nowhere,
}

/// All that does not depend on the iterator, compiled once.
#[derive(Debug)]
struct Bar {
    place: Place,
    id: String,
    /// Steps that have ended.
    done: usize,
    /// The step under way is one of the loop's, so that its end counts.
    begun: bool,
    total: Option<usize>,
    started: Instant,
    drawn: Option<Instant>,
    ended: bool,
}

impl Bar {
    fn new(total: Option<usize>) -> Bar {
        let place = if display::is_connected() {
            Place::Notebook
        } else if std::io::stderr().is_terminal() {
            Place::Terminal
        } else {
            Place::Nowhere
        };
        Bar {
            place,
            id: display::new_id(),
            done: 0,
            begun: false,
            total,
            started: Instant::now(),
            drawn: None,
            ended: false,
        }
    }

    /// One step has ended, if one was begun; another one begins, if there is `more`.
    fn step(&mut self, more: bool) {
        self.done += usize::from(self.begun);
        self.begun = more;
        if !more {
            self.end();
        } else if self.drawn.is_none_or(|drawn| drawn.elapsed() >= PACE) {
            self.draw();
        }
    }

    /// Draws the bar for the last time, unless that was done.
    fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.draw();
            if self.place == Place::Terminal {
                let _ = writeln!(std::io::stderr());
            }
        }
    }

    fn draw(&mut self) {
        let first = self.drawn.replace(Instant::now()).is_none();
        let elapsed = self.started.elapsed();
        match self.place {
            Place::Nowhere => {}
            Place::Terminal => {
                // To the start of the line, and away with what is left of the old one.
                let _ = write!(std::io::stderr(), "\r{}\x1b[K", self.line(elapsed));
            }
            Place::Notebook => {
                let bundle = Bundle::new()
                    .with("text/html", self.html(elapsed))
                    .with("text/plain", self.line(elapsed));
                match first {
                    true => bundle.show_as(&self.id),
                    false => bundle.update(&self.id),
                }
            }
        }
    }

    /// `━━━━━━────── 50/100 · 0:03 · 16.7/s · 0:03 left`
    fn line(&self, elapsed: Duration) -> String {
        let words = self.words(elapsed);
        let Some(total) = self.total.filter(|total| *total > 0) else { return words };
        let full = WIDTH * self.done.min(total) / total;
        format!("{}{} {words}", "━".repeat(full), "─".repeat(WIDTH - full))
    }

    fn html(&self, elapsed: Duration) -> String {
        let value = match self.total {
            Some(total) => format!("value=\"{}\" max=\"{}\"", self.done, total.max(1)),
            None if self.ended => "value=\"1\"".to_owned(),
            None => String::new(),
        };
        format!(
            "<div><progress {value} style=\"width:18em;vertical-align:middle\"></progress> \
             <span style=\"font-variant-numeric:tabular-nums\">{}</span></div>",
            self.words(elapsed)
        )
    }

    fn words(&self, elapsed: Duration) -> String {
        let mut words = self.done.to_string();
        if let Some(total) = self.total {
            words.push_str(&format!("/{total}"));
        }
        words.push_str(&format!(" · {}", minutes(elapsed)));
        let seconds = elapsed.as_secs_f64();
        if self.done > 0 && seconds > 0.0 {
            let rate = self.done as f64 / seconds;
            match rate >= 1.0 {
                true => words.push_str(&format!(" · {rate:.1}/s")),
                false => words.push_str(&format!(" · {:.1} s each", 1.0 / rate)),
            }
            if let Some(left) = self.total.and_then(|total| total.checked_sub(self.done))
                && left > 0
                && !self.ended
            {
                let left = Duration::from_secs_f64(left as f64 / rate);
                words.push_str(&format!(" · {} left", minutes(left)));
            }
        }
        words
    }
}

impl Drop for Bar {
    /// A loop that was left early shows how far it had come.
    fn drop(&mut self) {
        if self.drawn.is_some() {
            self.end();
        }
    }
}

/// `1:02`, `1:00:02`.
fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(done: usize, total: Option<usize>) -> Bar {
        let mut bar = Bar::new(total);
        (bar.done, bar.place) = (done, Place::Nowhere);
        bar
    }

    #[test]
    fn a_bar_says_how_far_how_fast_and_how_long() {
        let line = bar(50, Some(100)).line(Duration::from_secs(4));
        let half = format!("{}{}", "━".repeat(15), "─".repeat(15));
        assert_eq!(line, format!("{half} 50/100 · 0:04 · 12.5/s · 0:04 left"));
        let line = bar(2, None).line(Duration::from_secs(3700));
        assert_eq!(line, "2 · 1:01:40 · 1850.0 s each");
        assert_eq!(bar(0, Some(0)).line(Duration::ZERO), "0/0 · 0:00");
    }

    #[test]
    fn only_steps_that_ended_count() {
        let mut steps = progress(0..3);
        assert_eq!((steps.next(), steps.bar.done), (Some(0), 0));
        assert_eq!((steps.next(), steps.bar.done), (Some(1), 1));
        assert_eq!((steps.nth(1), steps.bar.done, steps.bar.ended), (None, 3, true));
    }
}
