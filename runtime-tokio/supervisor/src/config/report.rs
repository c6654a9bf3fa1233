//! Collects, while a file is read, all that is wrong with it and all that is worth a note.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use super::claims::Claims;
use super::machine::Machine;
use super::problem::{Note, Place, Problem};

/// Where a value stands: its key, and its bytes in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) key: String,
    pub(super) span: Range<usize>,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) mark: Mark,
}

/// What has come up so far, and what is needed to look at values.
pub(super) struct Report<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    /// The directory of the file.
    base: PathBuf,
    pub(super) machine: &'a dyn Machine,
    problems: Vec<Problem>,
    notes: Vec<Note>,
    /// What only one can have.
    pub(super) claims: Claims,
    /// Lines that are no TOML. What was made of them says nothing.
    broken: BTreeSet<usize>,
    /// Whether more may be missing than is.
    incomplete: bool,
    /// Every key and table that was looked for, with `NAME` for a name that the file is free to choose.
    pub(super) asked: BTreeSet<String>,
}

impl<'a> Report<'a> {
    /// `base` is what relative paths start from.
    pub(super) fn new(text: &'a str, base: &Path, machine: &'a dyn Machine) -> Self {
        let breaks = text.match_indices('\n');
        let after = breaks.map(|(at, _)| at.saturating_add(1));
        Self {
            text,
            lines: std::iter::once(0).chain(after).collect(),
            base: base.to_path_buf(),
            machine,
            problems: Vec::new(),
            notes: Vec::new(),
            claims: Claims::default(),
            broken: BTreeSet::new(),
            incomplete: false,
            asked: BTreeSet::new(),
        }
    }

    /// The file is no TOML here.
    pub(super) fn broken(&mut self, error: &toml::de::Error) {
        let span = error.span().unwrap_or_default();
        let place = self.place(&Mark {
            key: String::new(),
            span: span.clone(),
        });
        self.broken.insert(place.line);
        let is_double = error.message() == "duplicate key";
        self.incomplete |= !is_double;
        let (found, expected) = match error.message().split_once(", expected ") {
            Some((found, expected)) => (found.into(), expected.into()),
            None if is_double => {
                let name = self.text.get(span).unwrap_or_default();
                (
                    format!("`{}` is defined a second time", cut(name)),
                    "every key and every table once; remove one, or rename it".into(),
                )
            }
            None => (error.message().into(), "TOML that can be read".into()),
        };
        self.problems.push(Problem {
            place,
            found,
            expected,
        });
    }

    pub(super) fn wrong(
        &mut self,
        mark: &Mark,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        let place = self.place(mark);
        if !self.broken.contains(&place.line) {
            self.problems.push(Problem {
                place,
                found: found.into(),
                expected: expected.into(),
            });
        }
    }

    /// A key that must be there is not. That says nothing if part of the file could not be read.
    pub(super) fn missing(&mut self, mark: &Mark, expected: impl Into<String>) {
        if !self.incomplete {
            self.wrong(mark, "missing", expected);
        }
    }

    pub(super) fn note(&mut self, mark: &Mark, text: impl Into<String>) {
        let place = self.place(mark);
        self.notes.push(Note {
            place,
            text: text.into(),
        });
    }

    /// The line of a mark, for words about another place in the file.
    pub(super) fn line(&self, mark: &Mark) -> usize {
        self.place(mark).line
    }

    fn place(&self, mark: &Mark) -> Place {
        let start = mark.span.start;
        let line = self.lines.partition_point(|begin| *begin <= start);
        let begin = self.lines.get(line.saturating_sub(1)).copied();
        let before = self.text.get(begin.unwrap_or_default()..start);
        Place {
            line,
            column: before.unwrap_or_default().chars().count().saturating_add(1),
            key: mark.key.clone(),
        }
    }

    /// The path, from the directory of the file if it is relative, without `.` and doubled slashes.
    /// A `..` stays: what it leads to depends on symbolic links.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.base
            .join(path)
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect()
    }

    /// All that came up, in the order of the file.
    pub(super) fn end(self) -> (Vec<Problem>, Vec<Note>) {
        let (mut problems, mut notes) = (self.problems, self.notes);
        let order = |place: &Place| (place.line, place.column);
        problems.sort_by_key(|problem| order(&problem.place));
        notes.sort_by_key(|note| order(&note.place));
        (problems, notes)
    }
}

/// What stands in a file, short enough for a message and fit for a terminal.
pub(super) fn cut(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).collect::<String>();
    shown = shown.escape_debug().to_string();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
