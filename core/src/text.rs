//! A short text of bounded size, for reasons and errors that are kept in a state.

use core::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// A text of at most `N` bytes. What does not fit is cut off, between two characters.
///
/// It is `Copy` and `Hash`, so that a state that holds a reason is too. It is written to like any
/// other text:
///
/// ```
/// use core::fmt::Write;
/// use handoff_core::text::Text;
///
/// let mut reason: Text = Text::default();
/// write!(reason, "drain took {} s", 61)?;
/// assert_eq!(reason.as_str(), "drain took 61 s");
/// # Ok::<(), core::fmt::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text<const N: usize = 160> {
    /// The text in UTF-8, then zeros, so that equal texts have equal bytes.
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    /// The text, or as much of its front as fits.
    pub fn new(text: &str) -> Self {
        let mut new = Self::default();
        new.push(text);
        new
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let held = self.bytes.get(..self.len).unwrap_or_default();
        // Only whole characters are ever put in, so this is always UTF-8.
        core::str::from_utf8(held).unwrap_or_default()
    }

    fn push(&mut self, text: &str) {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        let fits = text.floor_char_boundary(room.len());
        for (to, from) in room.iter_mut().zip(text.bytes().take(fits)) {
            *to = from;
        }
        self.len = self.len.saturating_add(fits);
    }
}

impl<const N: usize> Default for Text<N> {
    /// The empty text.
    fn default() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }
}

impl<const N: usize> fmt::Write for Text<N> {
    /// Appends as much of `text` as fits; never fails.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> Serialize for Text<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, const N: usize> Deserialize<'de> for Text<N> {
    /// Reads a string; one that is too long is cut off, as everywhere else.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor<const N: usize>;

impl<const N: usize> Visitor<'_> for TextVisitor<N> {
    type Value = Text<N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<N>, E> {
        Ok(Text::new(text))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::fmt::Write;
    use std::format;
    use std::string::{String, ToString};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_that_fits_is_kept_whole() {
        let text: Text = Text::new("naïve ✓");
        assert_eq!(text.as_str(), "naïve ✓");
        assert_eq!(
            format!("{text}|{text:?}|{text:>9}"),
            "naïve ✓|\"naïve ✓\"|  naïve ✓"
        );
        assert_eq!(Text::<3>::new("abc").as_str(), "abc");
        assert_eq!(Text::<0>::new("abc"), Text::default());
    }

    #[test]
    fn a_longer_text_is_cut_between_two_characters() {
        assert_eq!(Text::<3>::new("abcd").as_str(), "abc");
        assert_eq!(Text::<3>::new("abï").as_str(), "ab");
        assert_eq!(Text::<2>::new("✓").as_str(), "");
        assert_eq!(Text::<3>::new("abï"), Text::new("ab"));
    }

    #[test]
    fn writing_appends_until_it_is_full() {
        let mut text = Text::<8>::default();
        assert_eq!(write!(text, "{}-{}", 123, "456"), Ok(()));
        assert_eq!(text.as_str(), "123-456");
        assert_eq!(write!(text, "{}", 789), Ok(()));
        assert_eq!(text.as_str(), "123-4567");
        assert_eq!(text, Text::new("123-4567"));
    }

    proptest! {
        #[test]
        fn it_holds_the_longest_front_that_fits(whole in "\\PC{0,20}") {
            let text = Text::<16>::new(&whole);
            let held = text.as_str();
            prop_assert!(whole.starts_with(held));
            let next = whole[held.len()..].chars().next();
            prop_assert!(next.is_none_or(|next| held.len() + next.len_utf8() > 16));
        }

        #[test]
        fn serde_treats_it_as_a_string(whole in "\\PC{0,20}") {
            let text = Text::<16>::new(&whole);
            let (mut as_text, mut as_string) = ([0; 128], [0; 128]);
            let as_text = postcard::to_slice(&text, &mut as_text).unwrap();
            prop_assert_eq!(&*as_text, postcard::to_slice(text.as_str(), &mut as_string).unwrap());
            prop_assert_eq!(postcard::from_bytes::<Text<16>>(as_text), Ok(text));

            let long: String = whole.repeat(3);
            let as_long = postcard::to_slice(long.as_str(), &mut as_string);
            if let Ok(as_long) = as_long {
                let cut = postcard::from_bytes::<Text<16>>(as_long).unwrap();
                prop_assert_eq!(cut.to_string(), Text::<16>::new(&long).to_string());
            }
        }
    }
}
