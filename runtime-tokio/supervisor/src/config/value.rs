//! What a key can hold, and what is said of anything else.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeInteger, DeValue};

use super::report::{At, Mark, Report, cut};

/// Something that a value of a file is read as.
pub(super) trait Value: Sized {
    /// What such a value looks like, in words.
    const EXPECTED: &'static str;

    /// Reads it, or reports what stands there instead.
    fn read(at: &At<DeValue<'_>>, report: &mut Report<'_>) -> Option<Self>;
}

/// What stands in a file, in words.
pub(super) trait Found {
    fn in_words(&self) -> String;
}

pub(super) fn found(value: &impl Found) -> String {
    value.in_words()
}

impl Found for DeValue<'_> {
    fn in_words(&self) -> String {
        match self {
            Self::String(text) => text.as_ref().in_words(),
            Self::Integer(number) => format!("the number {number}"),
            Self::Float(number) => format!("the number {number}"),
            Self::Boolean(value) => value.to_string(),
            Self::Datetime(date) => format!("the date {date}"),
            Self::Array(_) => "an array".into(),
            Self::Table(_) => "a table".into(),
        }
    }
}

impl Found for str {
    fn in_words(&self) -> String {
        format!("\"{}\"", cut(self))
    }
}

impl Found for String {
    fn in_words(&self) -> String {
        self.as_str().in_words()
    }
}

impl Found for Duration {
    fn in_words(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}

/// Whether a number is out of reach of everything here.
pub(super) fn too_large(number: &DeInteger<'_>) -> bool {
    unsigned(number).is_none()
}

fn unsigned(number: &DeInteger<'_>) -> Option<u32> {
    u32::from_str_radix(number.as_str(), number.radix()).ok()
}

impl Value for String {
    const EXPECTED: &'static str = "text in quotes";

    fn read(at: &At<DeValue<'_>>, report: &mut Report<'_>) -> Option<Self> {
        match &at.value {
            DeValue::String(text) if text.contains('\0') => {
                report.wrong(&at.mark, found(&at.value), "text without a zero byte");
                None
            }
            DeValue::String(text) => Some(text.clone().into_owned()),
            other => {
                report.wrong(&at.mark, found(other), Self::EXPECTED);
                None
            }
        }
    }
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(at: &At<DeValue<'_>>, report: &mut Report<'_>) -> Option<Self> {
        if let DeValue::Boolean(value) = at.value {
            return Some(value);
        }
        report.wrong(&at.mark, found(&at.value), Self::EXPECTED);
        None
    }
}

impl Value for u32 {
    const EXPECTED: &'static str = "a whole number from 0 to 4294967295";

    fn read(at: &At<DeValue<'_>>, report: &mut Report<'_>) -> Option<Self> {
        let number = match &at.value {
            DeValue::Integer(number) => unsigned(number),
            _ => None,
        };
        if number.is_none() {
            report.wrong(&at.mark, found(&at.value), Self::EXPECTED);
        }
        number
    }
}

/// From the directory of the file, if it is relative.
impl Value for PathBuf {
    const EXPECTED: &'static str = "a path in quotes";

    fn read(at: &At<DeValue<'_>>, report: &mut Report<'_>) -> Option<Self> {
        match &at.value {
            DeValue::String(text) if text.is_empty() || text.contains('\0') => {}
            DeValue::String(text) => return Some(report.resolve(text)),
            _ => {}
        }
        report.wrong(&at.mark, found(&at.value), Self::EXPECTED);
        None
    }
}

/// Every element by itself, so that all that is wrong is said at once.
impl<T: Value> Value for Vec<At<T>> {
    const EXPECTED: &'static str = "an array in square brackets";

    fn read(at: &At<DeValue<'_>>, report: &mut Report<'_>) -> Option<Self> {
        let DeValue::Array(array) = &at.value else {
            let expected = format!("{}, each of it {}", Self::EXPECTED, T::EXPECTED);
            report.wrong(&at.mark, found(&at.value), expected);
            return None;
        };
        let mut values = Self::new();
        for (index, value) in array.iter().enumerate() {
            let mark = Mark {
                key: format!("{}[{index}]", at.mark.key),
                span: value.span(),
            };
            let element = At {
                value: value.get_ref().clone(),
                mark,
            };
            if let Some(value) = T::read(&element, report) {
                values.push(At {
                    value,
                    mark: element.mark,
                });
            }
        }
        Some(values)
    }
}

/// The values without their places.
pub(super) fn bare<T>(values: Vec<At<T>>) -> Vec<T> {
    values.into_iter().map(|at| at.value).collect()
}
