//! Splits bytes into records of two fields, by RFC 4180 and nothing more lenient.
//!
//! ```text
//!            other              ,  or a line's end
//!  Start ------------> Plain ---------------------> Start, or a record
//!    |  "                            ,  or a line's end
//!    '-----> Quoted <-- " --> Closed -----------------> Start, or a record
//!                                '--- anything else: wrong
//! ```
//!
//! A line ends with `\n` or `\r\n`. Where a quote stands that none may, or one is missing, the records behind it can no
//! longer be told apart: what was meant as a value could be stored as pairs. Such a fault is the last thing that
//! is said of a file. Of any other, the record is skipped.
//!
//! A field has a bound, and a longer one is read without being kept: so memory is bounded whatever the bytes are. Pure:
//! bytes in, records out, the same however the bytes are cut into pieces.

/// The fields of a record.
const FIELDS: usize = 2;

/// Splits bytes into records.
#[derive(Debug)]
pub(super) struct Splitter {
    place: Place,
    /// The line of the next byte, counted from 1.
    line: u64,
    /// The line that the record begins at.
    first_line: u64,
    /// The line of the last opening quote.
    opened: u64,
    /// Whether the record has begun: a line without anything is no record.
    begun: bool,
    /// Separators of the record so far.
    separators: usize,
    fields: [Vec<u8>; FIELDS],
    longest: [usize; FIELDS],
    /// What is wrong with the record, once something is.
    fault: Option<Fault>,
}

/// Where the next byte falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the beginning of a field.
    Start,
    /// In a field without quotes.
    Plain,
    /// Between quotes.
    Quoted,
    /// Behind a quote that closes the field, unless another follows.
    Closed,
    /// Behind a carriage return, which a newline must follow.
    Return,
}

/// A record; its fields are the splitter's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    /// The line it begins at.
    pub(super) line: u64,
}

/// A record that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadRecord {
    /// The line to look at.
    pub(super) line: u64,
    pub(super) fault: Fault,
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("the quote that opens here is never closed")]
    OpenQuote,
    #[error(
        "text follows the closing quote{}; a field with quotes is quoted as a whole, and each quote in it is doubled",
        in_line(*.line)
    )]
    AfterQuote {
        /// The line of that text, if it is not the one where the field begins.
        line: Option<u64>,
    },
    #[error(
        "`\\\"` ends a field{}, since a backslash escapes nothing in CSV; a quote in a field is doubled",
        in_line(*.line)
    )]
    Backslash {
        /// As above.
        line: Option<u64>,
    },
    #[error(
        "a quote stands in a field that is not quoted; quote the field as a whole and double the quotes in it"
    )]
    QuoteInside,
    #[error("a carriage return ends no line; quote the field")]
    LoneReturn,
    #[error("the field {} has more than {longest} bytes", .field + 1)]
    TooLong { field: usize, longest: usize },
    #[error("{0} fields where there must be 2, key and value")]
    Fields(usize),
}

fn in_line(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!(" in line {line}"))
}

impl Fault {
    /// Whether nothing behind it can be trusted.
    pub(super) const fn is_last(&self) -> bool {
        match self {
            Self::OpenQuote
            | Self::AfterQuote { .. }
            | Self::Backslash { .. }
            | Self::QuoteInside => true,
            Self::LoneReturn | Self::TooLong { .. } | Self::Fields(_) => false,
        }
    }
}

impl Splitter {
    /// Keeps no more of each field than `longest`.
    pub(super) const fn new(longest: [usize; FIELDS]) -> Self {
        Self {
            place: Place::Start,
            line: 1,
            first_line: 1,
            opened: 1,
            begun: false,
            separators: 0,
            fields: [const { Vec::new() }; FIELDS],
            longest,
            fault: None,
        }
    }

    /// How many bytes of each field are kept from the next record on.
    pub(super) const fn set_longest(&mut self, longest: [usize; FIELDS]) {
        self.longest = longest;
    }

    /// The line of the next byte.
    pub(super) const fn line(&self) -> u64 {
        self.line
    }

    /// The fields of the last record, until the next byte.
    pub(super) const fn fields(&self) -> &[Vec<u8>; FIELDS] {
        &self.fields
    }

    /// Takes bytes up to the end of a record; how many, and the record if it is whole.
    pub(super) fn push(&mut self, bytes: &[u8]) -> (usize, Option<Result<Record, BadRecord>>) {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            let run = self.run(rest);
            if run > 0 {
                self.keep(&rest[..run]);
                used += run;
                continue;
            }

            used += 1;
            if let Some(ended) = self.step(rest[0]) {
                return (used, Some(ended));
            }
        }
        (used, None)
    }

    /// The end of the bytes: the record that no line's end closed.
    pub(super) fn finish(&mut self) -> Option<Result<Record, BadRecord>> {
        match self.place {
            Place::Quoted => Some(self.wrong(Fault::OpenQuote)),
            Place::Start | Place::Plain | Place::Closed | Place::Return => self.end(),
        }
    }

    /// How many of the next bytes are simply the field's.
    fn run(&self, bytes: &[u8]) -> usize {
        let ends = |&byte: &u8| match self.place {
            Place::Plain => matches!(byte, b'"' | b',' | b'\r' | b'\n'),
            Place::Quoted => matches!(byte, b'"' | b'\n'),
            Place::Start | Place::Closed | Place::Return => true,
        };
        bytes.iter().position(ends).unwrap_or(bytes.len())
    }

    fn step(&mut self, byte: u8) -> Option<Result<Record, BadRecord>> {
        if !self.begun {
            self.begin();
        }
        let ended = match (self.place, byte) {
            (Place::Quoted, b'"') => self.go_to(Place::Closed),
            (Place::Quoted, _) => self.take(byte, Place::Quoted),
            (Place::Closed, b'"') => self.take(byte, Place::Quoted),
            (_, b'\n') => self.end(),
            (Place::Return, _) => self.lone_return(byte),
            (Place::Start | Place::Plain | Place::Closed, b'\r') => self.go_to(Place::Return),
            (Place::Start | Place::Plain | Place::Closed, b',') => self.separate(),
            (Place::Closed, _) => Some(self.after_quote()),
            (Place::Start, b'"') => self.open(),
            (Place::Plain, b'"') => Some(self.wrong(Fault::QuoteInside)),
            (Place::Start | Place::Plain, _) => self.take(byte, Place::Plain),
        };
        if byte == b'\n' {
            self.line += 1;
        }
        ended
    }

    /// Prepares for a record at this line.
    fn begin(&mut self) {
        self.first_line = self.line;
        self.separators = 0;
        self.fault = None;
        self.fields.iter_mut().for_each(Vec::clear);
    }

    fn go_to(&mut self, place: Place) -> Option<Result<Record, BadRecord>> {
        self.begun |= place != Place::Return;
        self.place = place;
        None
    }

    fn open(&mut self) -> Option<Result<Record, BadRecord>> {
        self.opened = self.line;
        self.go_to(Place::Quoted)
    }

    fn take(&mut self, byte: u8, place: Place) -> Option<Result<Record, BadRecord>> {
        self.keep(&[byte]);
        self.go_to(place)
    }

    fn separate(&mut self) -> Option<Result<Record, BadRecord>> {
        self.separators += 1;
        self.go_to(Place::Start)
    }

    /// Adds to the field, up to its bound.
    fn keep(&mut self, bytes: &[u8]) {
        let field = self.separators;
        let (Some(kept), Some(&longest)) = (self.fields.get_mut(field), self.longest.get(field))
        else {
            return;
        };
        if kept.len() + bytes.len() > longest {
            self.fault.get_or_insert(Fault::TooLong { field, longest });
        }
        if self.fault.is_none() {
            kept.extend_from_slice(bytes);
        }
    }

    /// A carriage return within a line: the record is skipped.
    fn lone_return(&mut self, byte: u8) -> Option<Result<Record, BadRecord>> {
        self.fault.get_or_insert(Fault::LoneReturn);
        self.begun = true;
        self.place = Place::Plain;
        match byte {
            b',' => self.separate(),
            b'\r' => self.go_to(Place::Return),
            b'"' => Some(self.wrong(Fault::QuoteInside)),
            _ => None,
        }
    }

    fn after_quote(&self) -> Result<Record, BadRecord> {
        let line = (self.line != self.opened).then_some(self.line);
        let field = self.fields.get(self.separators);
        let fault = if field.is_some_and(|field| field.ends_with(b"\\")) {
            Fault::Backslash { line }
        } else {
            Fault::AfterQuote { line }
        };
        Err(BadRecord {
            line: self.opened,
            fault,
        })
    }

    fn wrong(&self, fault: Fault) -> Result<Record, BadRecord> {
        let line = match fault {
            Fault::OpenQuote => self.opened,
            _ => self.line,
        };
        Err(BadRecord { line, fault })
    }

    /// The end of a line outside of quotes, or of the file.
    fn end(&mut self) -> Option<Result<Record, BadRecord>> {
        let begun = std::mem::take(&mut self.begun);
        self.place = Place::Start;
        let line = self.first_line;
        let fields = self.separators + 1;
        let fault = match self.fault.take() {
            Some(fault) => Some(fault),
            None if fields == FIELDS => None,
            None => Some(Fault::Fields(fields)),
        };
        begun.then(|| fault.map_or(Ok(Record { line }), |fault| Err(BadRecord { line, fault })))
    }
}
