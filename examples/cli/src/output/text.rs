//! What people read: pieces of text that may have a colour. The only thing that `Output` prints, besides JSON
//! and a value's bytes.
//!
//! A verb makes it of whatever it has, a key from outside included. Colours are no part of the text until it is
//! printed, so whatever looks like one in it is escaped.

use crate::escape;

/// Text for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text(Vec<(Option<Tone>, String)>);

/// What a text is, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Strong,
    Good,
    Bad,
}

/// A text in the colour of `tone`.
pub(crate) fn painted(tone: Tone, text: impl Into<String>) -> Text {
    Text(vec![(Some(tone), text.into())])
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(vec![(None, text)])
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        text.clone().into()
    }
}

impl Text {
    /// This, and `more` behind it.
    pub(crate) fn then(mut self, more: impl Into<Self>) -> Self {
        self.0.extend(more.into().0);
        self
    }

    /// The colour of its first piece.
    pub(super) fn tone(&self) -> Option<Tone> {
        self.0.first().and_then(|(tone, _)| *tone)
    }

    /// As one line without colours, as a cell of a table holds it.
    pub(super) fn in_one_line(&self) -> String {
        let pieces = self
            .0
            .iter()
            .map(|(_, text)| escape::one_line(text.as_bytes()));
        pieces.collect()
    }

    /// As a terminal may have it, with colours or without.
    pub(crate) fn shown(&self, colours: bool) -> String {
        let pieces = self.0.iter().map(|(tone, text)| {
            let safe = escape::lines(text.as_bytes());
            match tone.filter(|_| colours) {
                Some(tone) => format!("\x1b[{}m{safe}\x1b[0m", tone.code()),
                None => safe,
            }
        });
        pieces.collect()
    }
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Strong => "1",
            Self::Good => "32",
            Self::Bad => "31;1",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_plain_unless_colours_are_wanted() {
        let text = painted(Tone::Good, "ok").then(": all");
        assert_eq!(text.shown(false), "ok: all");
        assert_eq!(text.shown(true), "\x1b[32mok\x1b[0m: all");
    }

    #[test]
    fn a_colour_within_a_text_is_escaped_and_its_own_is_not() {
        let text = painted(Tone::Bad, "a\x1b[0mb\r");
        assert_eq!(text.shown(true), "\x1b[31;1ma\\x1b[0mb\\r\x1b[0m");
        assert_eq!(text.shown(false), "a\\x1b[0mb\\r");
        assert_eq!(Text::from("a\nb").in_one_line(), "a\\nb");
    }
}
