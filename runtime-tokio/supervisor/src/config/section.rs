//! A table of a file, read key by key: whatever is asked for is taken out, and what is left at the end
//! is unknown. So the code that reads a table is the list of its keys.

use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::{At, Mark, Report, cut};
use super::value::{Value, found, too_large};

/// The longest time that can be given: a year.
const LONGEST: Duration = Duration::from_hours(365 * 24);
const DURATION: &str = "a time such as \"5s\", \"1m30s\" or \"250ms\"";

/// A table that is being read.
pub(super) struct Section<'i> {
    /// Where it is, with the keys it is found under.
    pub(super) mark: Mark,
    /// The same keys, with `NAME` for a name that the file chose, and without indices.
    form: String,
    table: DeTable<'i>,
    asked: Vec<String>,
}

impl<'i> Section<'i> {
    /// The file itself.
    pub(super) fn root(table: DeTable<'i>) -> Self {
        let mark = Mark {
            key: String::new(),
            span: 0..0,
        };
        Self::new(mark, String::new(), table)
    }

    fn new(mark: Mark, form: String, table: DeTable<'i>) -> Self {
        Self {
            mark,
            form,
            table,
            asked: Vec::new(),
        }
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Where a key of this table would be.
    pub(super) fn place_of(&self, key: &str) -> Mark {
        Mark {
            key: join(&self.mark.key, key),
            span: self.mark.span.clone(),
        }
    }

    /// Takes out a key: the value with its own place, and the key's.
    fn take(&mut self, key: &str, report: &mut Report<'_>) -> Option<(At<DeValue<'i>>, Mark)> {
        report.asked.insert(join(&self.form, key));
        self.asked.push(key.into());
        self.take_silently(key)
    }

    fn take_silently(&mut self, key: &str) -> Option<(At<DeValue<'i>>, Mark)> {
        let (name, value) = self.table.remove_entry(key)?;
        let key = join(&self.mark.key, key);
        let mark = Mark {
            key: key.clone(),
            span: value.span(),
        };
        let at = At {
            value: value.into_inner(),
            mark,
        };
        let name = Mark {
            key,
            span: name.span(),
        };
        Some((at, name))
    }

    /// The value of a key that may be there.
    pub(super) fn value<T: Value>(&mut self, key: &str, report: &mut Report<'_>) -> Option<At<T>> {
        let (at, _) = self.take(key, report)?;
        let value = T::read(&at, report)?;
        Some(At {
            value,
            mark: at.mark,
        })
    }

    /// The value of a key, or this one if it is not there.
    pub(super) fn value_or<T: Value>(
        &mut self,
        key: &str,
        default: T,
        report: &mut Report<'_>,
    ) -> T {
        self.value(key, report).map_or(default, |at| at.value)
    }

    /// The value of a key that must be there.
    pub(super) fn required<T: Value>(
        &mut self,
        key: &str,
        report: &mut Report<'_>,
    ) -> Option<At<T>> {
        if !self.has(key) {
            report.missing(&self.place_of(key), T::EXPECTED);
        }
        self.value(key, report)
    }

    /// The time of a key that may be there, longer than nothing: text as `KEY`, or whole seconds as
    /// `KEY_secs`.
    pub(super) fn time(&mut self, key: &str, report: &mut Report<'_>) -> Option<At<Duration>> {
        let at = self.time_or_none(key, report)?;
        if at.value.is_zero() {
            report.wrong(&at.mark, "no time at all", "a time longer than zero");
            return None;
        }
        Some(at)
    }

    /// As [`time`](Self::time), but zero is allowed.
    pub(super) fn time_or_none(
        &mut self,
        key: &str,
        report: &mut Report<'_>,
    ) -> Option<At<Duration>> {
        let text = self.take(key, report);
        let seconds_key = format!("{key}_secs");
        self.asked.push(seconds_key.clone());
        let seconds = self.take_silently(&seconds_key);
        let at = match (text, seconds) {
            (Some((at, _)), None) => At {
                value: read_time(&at, key, report)?,
                mark: at.mark,
            },
            (None, Some((at, _))) => At {
                value: Duration::from_secs(u32::read(&at, report)?.into()),
                mark: at.mark,
            },
            (Some(_), Some((_, name))) => {
                report.wrong(
                    &name,
                    format!("`{key}` and `{seconds_key}` are both given"),
                    "one of them",
                );
                return None;
            }
            (None, None) => return None,
        };
        if at.value > LONGEST {
            report.wrong(&at.mark, found(&at.value), "at most a year");
            return None;
        }
        Some(at)
    }

    /// The table of a key; an empty one if it is not there, so that defaults have one place.
    pub(super) fn section(&mut self, key: &str, report: &mut Report<'_>) -> Section<'i> {
        self.section_if_given(key, report)
            .unwrap_or_else(|| self.empty(key))
    }

    fn empty(&self, key: &str) -> Section<'i> {
        Section::new(self.place_of(key), join(&self.form, key), DeTable::new())
    }

    /// The table of a key that may be there.
    pub(super) fn section_if_given(
        &mut self,
        key: &str,
        report: &mut Report<'_>,
    ) -> Option<Section<'i>> {
        self.asked.push(key.into());
        report.asked.insert(join(&self.form, key));
        let (at, name) = self.take_silently(key)?;
        into_section(at, name, join(&self.form, key), report)
    }

    /// The tables of a key that holds an array of them.
    pub(super) fn sections(&mut self, key: &str, report: &mut Report<'_>) -> Vec<Section<'i>> {
        self.asked.push(key.into());
        let form = join(&self.form, key);
        report.asked.insert(form.clone());
        let Some((at, _)) = self.take_silently(key) else {
            return Vec::new();
        };
        let DeValue::Array(array) = at.value else {
            let expected = format!("tables that begin with [[{}]]", at.mark.key);
            report.wrong(&at.mark, found(&at.value), expected);
            return Vec::new();
        };
        let whole = at.mark;
        array
            .into_iter()
            .enumerate()
            .filter_map(|(index, value)| {
                let mark = Mark {
                    key: format!("{}[{index}]", whole.key),
                    span: value.span(),
                };
                let at = At {
                    value: value.into_inner(),
                    mark: mark.clone(),
                };
                into_section(at, mark, form.clone(), report)
            })
            .collect()
    }

    /// The tables in the table of a key, by their names, in the order of the file.
    pub(super) fn named(
        &mut self,
        key: &str,
        report: &mut Report<'_>,
    ) -> Vec<(String, Section<'i>)> {
        self.asked.push(key.into());
        let form = join(&join(&self.form, key), "NAME");
        report.asked.insert(form.clone());
        let Some((at, name)) = self.take_silently(key) else {
            return Vec::new();
        };
        let DeValue::Table(table) = at.value else {
            let expected = format!("tables that begin with [{key}.NAME], such as [{key}.web]");
            report.wrong(&name, found(&at.value), expected);
            return Vec::new();
        };
        if table.is_empty() {
            let expected = format!("at least one table such as [{key}.web]");
            report.missing(&name, expected);
        }
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        entries
            .into_iter()
            .filter_map(|(name, value)| {
                let (at, mark) = entry(&at.mark.key, &name, value);
                let section = into_section(at, mark, form.clone(), report)?;
                Some((name.into_inner().into_owned(), section))
            })
            .collect()
    }

    /// All that is in the table, whatever its names are.
    pub(super) fn entries<T: Value>(mut self, report: &mut Report<'_>) -> Vec<(At<String>, T)> {
        let table = std::mem::take(&mut self.table);
        table
            .into_iter()
            .filter_map(|(name, value)| {
                let (at, mark) = entry(&self.mark.key, &name, value);
                let value = T::read(&at, report)?;
                let name = At {
                    value: name.into_inner().into_owned(),
                    mark,
                };
                Some((name, value))
            })
            .collect()
    }

    /// Takes out a key that has no place here.
    pub(super) fn refuse(
        &mut self,
        key: &str,
        found: &str,
        expected: &str,
        report: &mut Report<'_>,
    ) {
        if let Some((_, name)) = self.take_silently(key) {
            report.wrong(&name, found, expected);
        }
    }

    /// A key that could be here, for words about those that cannot.
    pub(super) fn asked(&mut self, key: &str) {
        self.asked.push(key.into());
    }

    /// What is left is unknown. `advice` goes behind what was expected.
    pub(super) fn end(self, advice: &str, report: &mut Report<'_>) {
        for name in self.table.keys() {
            let mark = Mark {
                key: join(&self.mark.key, name.get_ref()),
                span: name.span(),
            };
            let expected = nearest(name.get_ref(), &self.asked);
            report.wrong(
                &mark,
                format!("no key here is called `{}`", cut(name.get_ref())),
                format!("{expected}{advice}"),
            );
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.into()
    } else {
        format!("{path}.{key}")
    }
}

fn entry<'i>(
    path: &str,
    name: &Spanned<std::borrow::Cow<'i, str>>,
    value: Spanned<DeValue<'i>>,
) -> (At<DeValue<'i>>, Mark) {
    let key = join(path, &cut(name.get_ref()));
    let mark = Mark {
        key: key.clone(),
        span: value.span(),
    };
    let at = At {
        value: value.into_inner(),
        mark,
    };
    let name = Mark {
        key,
        span: name.span(),
    };
    (at, name)
}

fn into_section<'i>(
    at: At<DeValue<'i>>,
    name: Mark,
    form: String,
    report: &mut Report<'_>,
) -> Option<Section<'i>> {
    match at.value {
        DeValue::Table(table) => Some(Section::new(name, form, table)),
        other => {
            let expected = format!("a table, such as one that begins with [{}]", name.key);
            report.wrong(&at.mark, found(&other), expected);
            None
        }
    }
}

fn read_time(at: &At<DeValue<'_>>, key: &str, report: &mut Report<'_>) -> Option<Duration> {
    match &at.value {
        DeValue::String(text) => match humantime::parse_duration(text) {
            Ok(time) => return Some(time),
            Err(error) => report.wrong(
                &at.mark,
                format!("{} ({error})", found(&at.value)),
                DURATION,
            ),
        },
        DeValue::Integer(number) if !too_large(number) => report.wrong(
            &at.mark,
            found(&at.value),
            format!("{DURATION}; whole seconds are written {key}_secs = {number}"),
        ),
        _ => report.wrong(&at.mark, found(&at.value), DURATION),
    }
    None
}

/// The key that was meant, or all there are.
fn nearest(name: &str, keys: &[String]) -> String {
    let best = keys
        .iter()
        .map(|key| (strsim::jaro_winkler(name, key), key))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, key)) = best {
        return format!("`{key}`");
    }
    let keys: Vec<_> = keys
        .iter()
        .filter(|key| !key.ends_with("_secs"))
        .map(|key| format!("`{key}`"))
        .collect();
    format!("one of {}", keys.join(", "))
}
