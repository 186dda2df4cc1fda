//! A unified diff, parsed and applied strictly.
//!
//! ```text
//!   --- a/client/src/quorum/write.rs           the same path twice: nothing is created, deleted or renamed
//!   +++ b/client/src/quorum/write.rs
//!   @@ -398,7 +398,7 @@                        the counts must fit the body; the line numbers are not used
//!        let acked = self.acks();              context and removed lines together: found in the file exactly once
//!   -    if acked.nodes >= self.w {
//!   +    if acked.nodes >= 1 {
//! ```
//!
//! A hunk applies where its lines are, wherever that is: an edit further up does not break a patch. If the lines are
//! not there, or are there twice, it does not apply. `git apply` without fuzz is nearly as strict, and accepts these
//! files too; this code needs no git, and never guesses.
//!
//! Left out: new and deleted files, renames, and files without a newline at their end.

use std::path::PathBuf;

use thiserror::Error;

/// The changes to one or more files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// At least one, each file once.
    pub files: Vec<FilePatch>,
}

/// The changes to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePatch {
    /// Relative to the root of the workspace.
    pub path: PathBuf,
    hunks: Vec<Hunk>,
}

/// One place in a file: its lines before and after, each with its newline.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Hunk {
    before: String,
    after: String,
}

/// Why a diff cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// There are no changes.
    #[error("it changes nothing")]
    Empty,
    /// A line does not belong where it is.
    #[error("line {line} of the diff: {reason}")]
    Line {
        /// Its number in the diff, from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
}

/// Why a patch does not apply to a file.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("hunk {hunk} of {path} is there {found} times, and must be there once:\n{before}")]
#[non_exhaustive]
pub struct ApplyError {
    /// Which file.
    pub path: String,
    /// Which hunk of it, from 1.
    pub hunk: usize,
    /// How often its lines occur in the file.
    pub found: usize,
    /// Those lines.
    pub before: String,
}

/// The text in front of the first line of the diff, and the rest.
pub(super) fn split_header(text: &str) -> (&str, &str) {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with("diff --git ") || line.starts_with("--- ") {
            break;
        }
        at += line.len();
    }
    text.split_at(at)
}

impl Patch {
    /// Parses a unified diff.
    ///
    /// # Errors
    /// If it is malformed, or changes nothing.
    pub fn parse(diff: &str) -> Result<Self, ParseError> {
        let mut parser = Parser {
            lines: diff.lines().collect(),
            at: 0,
        };
        let mut files = Vec::new();
        while let Some(file) = parser.file()? {
            files.push(file);
        }
        match files.is_empty() {
            true => Err(ParseError::Empty),
            false => Ok(Self { files }),
        }
    }
}

impl FilePatch {
    /// The file after the change.
    ///
    /// # Errors
    /// If the lines of a hunk are not in `source` exactly once.
    pub fn apply(&self, source: &str) -> Result<String, ApplyError> {
        let mut patched = source.to_owned();
        for (index, hunk) in self.hunks.iter().enumerate() {
            let found = hunk.places(&patched);
            let [place] = found[..] else {
                return Err(ApplyError {
                    path: self.path.display().to_string(),
                    hunk: index + 1,
                    found: found.len(),
                    before: hunk.before.clone(),
                });
            };
            patched.replace_range(place..place + hunk.before.len(), &hunk.after);
        }
        Ok(patched)
    }
}

impl Hunk {
    /// Where the lines of this hunk begin in `source`, as offsets.
    fn places(&self, source: &str) -> Vec<usize> {
        let starts_line = |&at: &usize| at == 0 || source.as_bytes()[at - 1] == b'\n';
        let matches = source.match_indices(&self.before).map(|(at, _)| at);
        matches.filter(starts_line).collect()
    }
}

/// Reads a diff line by line.
struct Parser<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn file(&mut self) -> Result<Option<FilePatch>, ParseError> {
        // What git writes in front of a file says nothing that the two names do not.
        while self.take("diff --git ").is_some() || self.take("index ").is_some() {}
        if self.at == self.lines.len() {
            return Ok(None);
        }

        let old = self
            .take("--- a/")
            .ok_or_else(|| self.wrong("expected `--- a/PATH`"))?;
        let new = self
            .take("+++ b/")
            .ok_or_else(|| self.wrong("expected `+++ b/PATH`"))?;
        if old != new {
            return Err(self.wrong("a file keeps its name"));
        }

        let mut hunks = Vec::new();
        while let Some(range) = self.take("@@ -") {
            hunks.push(self.hunk(range)?);
        }
        match hunks.is_empty() {
            true => Err(self.wrong("expected `@@ -l,n +l,n @@`")),
            false => Ok(Some(FilePatch {
                path: PathBuf::from(old),
                hunks,
            })),
        }
    }

    /// The body of a hunk whose range line goes on with `range` after its first minus.
    fn hunk(&mut self, range: &str) -> Result<Hunk, ParseError> {
        let counts = counts(range).ok_or_else(|| self.wrong("the range above cannot be read"))?;
        let (mut old, mut new) = counts;
        let mut hunk = Hunk::default();

        while old > 0 || new > 0 {
            // Editors strip the one space of an empty context line.
            let line = match self.lines.get(self.at) {
                Some(&"") => " ",
                Some(line) => line,
                None => return Err(self.wrong("the hunk is shorter than its range says")),
            };
            let (sign, text) = line.split_at_checked(1).unwrap_or(("", ""));
            let (in_old, in_new) = match sign {
                " " => (1, 1),
                "-" => (1, 0),
                "+" => (0, 1),
                _ => return Err(self.wrong("a line of a hunk begins with a space, - or +")),
            };

            let (Some(old_left), Some(new_left)) = (
                usize::checked_sub(old, in_old),
                usize::checked_sub(new, in_new),
            ) else {
                return Err(self.wrong("the hunk is longer than its range says"));
            };
            (old, new) = (old_left, new_left);
            if in_old == 1 {
                hunk.before += text;
                hunk.before.push('\n');
            }
            if in_new == 1 {
                hunk.after += text;
                hunk.after.push('\n');
            }
            self.at += 1;
        }

        // Lines that are only added could go anywhere.
        match hunk.before.is_empty() || hunk.before == hunk.after {
            true => Err(self.wrong("the hunk above has no context or no change")),
            false => Ok(hunk),
        }
    }

    /// The rest of the next line, if that begins with `prefix`; it is consumed then.
    fn take(&mut self, prefix: &str) -> Option<&'a str> {
        let rest = self.lines.get(self.at)?.strip_prefix(prefix)?;
        self.at += 1;
        Some(rest)
    }

    const fn wrong(&self, reason: &'static str) -> ParseError {
        ParseError::Line {
            line: self.at + 1,
            reason,
        }
    }
}

/// The two counts of `1,7 +1,8 @@ ...`; a count of one may be left out.
fn counts(range: &str) -> Option<(usize, usize)> {
    let (old, rest) = range.split_once(" +")?;
    let (new, _) = rest.split_once(" @@")?;
    let count = |side: &str| match side.split_once(',') {
        Some((_, count)) => count.parse().ok(),
        None => Some(1),
    };
    Some((count(old)?, count(new)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "\
diff --git a/one.rs b/one.rs
index 1..2 100644
--- a/one.rs
+++ b/one.rs
@@ -1,3 +1,3 @@ fn first()
 one

-two
+2
@@ -9 +9,2 @@
-nine
+9
+10
--- a/two.rs
+++ b/two.rs
@@ -1,2 +1 @@
 a
-b
";

    fn one(before: &str, after: &str) -> FilePatch {
        FilePatch {
            path: PathBuf::from("one.rs"),
            hunks: vec![Hunk {
                before: before.to_owned(),
                after: after.to_owned(),
            }],
        }
    }

    #[test]
    fn a_diff_is_read_file_by_file_and_hunk_by_hunk() {
        let patch = Patch::parse(DIFF).unwrap();
        let paths: Vec<_> = patch.files.iter().map(|file| file.path.clone()).collect();
        assert_eq!(paths, [PathBuf::from("one.rs"), PathBuf::from("two.rs")]);

        let moved = "zero\none\n\ntwo\nthree\nnine\n";
        let patched = patch.files[0].apply(moved).unwrap();
        assert_eq!(patched, "zero\none\n\n2\nthree\n9\n10\n", "further down");
    }

    #[test]
    fn lines_that_are_missing_or_there_twice_do_not_apply() {
        let patch = one("a\nb\n", "a\n");
        assert_eq!(patch.apply("a\nc\n").unwrap_err().found, 0);
        assert_eq!(patch.apply("a\nb\na\nb\n").unwrap_err().found, 2);
        assert_eq!(patch.apply("xa\nb\n").unwrap_err().found, 0, "half a line");
        assert_eq!(patch.apply("xa\nb\na\nb\n").unwrap(), "xa\nb\na\n");
    }

    #[test]
    fn a_malformed_diff_is_an_error_and_names_the_line() {
        let file = "--- a/x\n+++ b/x\n";
        for (diff, line) in [
            ("--- a/x\n", 2),
            ("--- a/x\n+++ b/y\n", 3),
            (file, 3),
            (&format!("{file}@@ nonsense\n"), 3),
            (&format!("{file}@@ -1 +1\n"), 4),
            (&format!("{file}@@ -1,2 +1 @@\n a\n"), 5),
            (&format!("{file}@@ -1 +1,2 @@\n-a\n a\n"), 5),
            (&format!("{file}@@ -1 +1 @@\n*a\n"), 4),
            (&format!("{file}@@ -1 +1 @@\n a\n"), 5),
            (&format!("{file}@@ -0,0 +1 @@\n+a\n"), 5),
            (&format!("{file}@@ -1 +1 @@\n-a\n+b\njunk\n"), 6),
        ] {
            match Patch::parse(diff) {
                Err(ParseError::Line { line: at, .. }) => assert_eq!(at, line, "{diff}"),
                other => panic!("{diff}: {other:?}"),
            }
        }
        assert_eq!(Patch::parse(""), Err(ParseError::Empty));
    }

    #[test]
    fn the_header_ends_where_the_diff_begins() {
        let (header, diff) = split_header("Words.\nMore - words.\n\n--- a/x\n+++ b/x\n");
        assert_eq!(header, "Words.\nMore - words.\n\n");
        assert_eq!(diff, "--- a/x\n+++ b/x\n");
        assert_eq!(split_header("only words\n"), ("only words\n", ""));
    }
}
