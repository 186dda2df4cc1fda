//! Conditions of a request that changes a key (RFC 9110, section 13).
//!
//! ```text
//!   If-Match: "v1", "v2"     it has one of these versions     *   it has a value
//!   If-None-Match: "v1"      it has none of these             *   it has no value
//! ```
//!
//! An ETag names the write that made the version, and no two writes have one name. So to find that version and to write
//! unless the key has changed since is the same as to compare versions: nothing but the ETag is needed.

use axum::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, header};
use quoit_client::Consistency;

use crate::failure::{Failure, Kind};
use crate::store::Terms;

/// Versions, or any at all.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    Any,
    /// With their quotes, and `W/` if they are weak.
    These(Vec<String>),
}

/// What must hold; if both are there, both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conditions {
    matches: Option<Tags>,
    none_match: Option<Tags>,
}

impl Conditions {
    /// The conditions of a request; `None` if it has none.
    ///
    /// # Errors
    /// One is not readable, or by the time of a change, which is too coarse to compare.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Self>, Failure> {
        let dated = [header::IF_UNMODIFIED_SINCE, header::IF_MODIFIED_SINCE];
        refuse(headers, &dated)?;
        let conditions = Self {
            matches: tags(headers, &IF_MATCH)?,
            none_match: tags(headers, &IF_NONE_MATCH)?,
        };
        let has_any = conditions.matches.is_some() || conditions.none_match.is_some();
        Ok(has_any.then_some(conditions))
    }

    /// Whether it is only that there is no value.
    pub(crate) fn is_absence(&self) -> bool {
        self.matches.is_none() && self.none_match == Some(Tags::Any)
    }

    /// Whether they hold of a key with this ETag; a key without a value has none.
    pub(crate) fn hold(&self, tag: Option<&str>) -> bool {
        let is_match = match (&self.matches, tag) {
            (None, _) | (Some(Tags::Any), Some(_)) => true,
            (Some(_), None) => false,
            (Some(Tags::These(tags)), Some(tag)) => tags.iter().any(|other| other == tag),
        };
        let is_other = match (&self.none_match, tag) {
            (None, _) | (Some(_), None) => true,
            (Some(Tags::Any), Some(_)) => false,
            (Some(Tags::These(tags)), Some(tag)) => {
                let strong = |other: &String| other.strip_prefix("W/").unwrap_or(other) == tag;
                !tags.iter().any(strong)
            }
        };
        is_match && is_other
    }
}

/// Refuses conditions that are not served here: one that is ignored would be a lost update.
pub(crate) fn refuse(headers: &HeaderMap, refused: &[HeaderName]) -> Result<(), Failure> {
    match refused.iter().find(|name| headers.contains_key(*name)) {
        None => Ok(()),
        Some(name) => {
            let what = format!("`{name}` is not served here");
            Err(Failure::new(Kind::NoCondition, what)
                .advice("use `If-Match` or `If-None-Match` on PUT and DELETE"))
        }
    }
}

/// Refuses options that say something else than the condition does.
pub(crate) fn check(terms: &Terms) -> Result<(), Failure> {
    let loose = matches!(
        terms.consistency,
        Some(Consistency::One | Consistency::Quorum)
    );
    let what = if loose {
        "a conditional request is linearizable: leave `consistency` out"
    } else if terms.replicas.is_some() {
        "a conditional request takes a majority: leave `w` out"
    } else if terms.context.is_some() {
        "a condition is on the whole version, a context on what it has seen: leave one of them out"
    } else {
        return Ok(());
    };
    Err(Failure::new(Kind::BadOption, what))
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Failure> {
    let bad = || {
        let what = format!("`{name}` takes `*`, or ETags in quotes with commas between them");
        Failure::new(Kind::BadOption, what)
    };
    let mut tags = Vec::new();
    let mut is_any = false;
    for list in headers.get_all(name) {
        for tag in list.to_str().map_err(|_other| bad())?.split(',') {
            match tag.trim() {
                "*" => is_any = true,
                tag if is_tag(tag) => tags.push(tag.to_owned()),
                _ => return Err(bad()),
            }
        }
    }
    match (is_any, tags.is_empty()) {
        (true, true) => Ok(Some(Tags::Any)),
        (true, false) => Err(bad()),
        (false, true) => Ok(None),
        (false, false) => Ok(Some(Tags::These(tags))),
    }
}

/// Whether a text is an ETag; the gateway's own have neither commas nor quotes within.
fn is_tag(text: &str) -> bool {
    let quoted = text.strip_prefix("W/").unwrap_or(text);
    let inner = quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.is_some_and(|inner| !inner.contains('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(pairs: &[(HeaderName, &str)]) -> Result<Option<Conditions>, Failure> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value.parse().unwrap());
        }
        Conditions::of(&headers)
    }

    #[test]
    fn conditions_hold_of_versions() {
        let table = [
            (IF_MATCH, "\"a\"", true, false),
            (IF_MATCH, "\"b\", \"a\"", true, false),
            (IF_MATCH, "W/\"a\"", false, false),
            (IF_MATCH, "*", true, false),
            (IF_NONE_MATCH, "*", false, true),
            (IF_NONE_MATCH, "\"a\"", false, true),
            (IF_NONE_MATCH, "W/\"a\"", false, true),
            (IF_NONE_MATCH, "\"b\"", true, true),
        ];
        for (name, text, of_a, of_none) in table {
            let conditions = conditions(&[(name.clone(), text)]).unwrap().unwrap();
            assert_eq!(conditions.hold(Some("\"a\"")), of_a, "{name} {text}");
            assert_eq!(conditions.hold(None), of_none, "{name} {text}");
        }
        let both = [(IF_MATCH, "\"a\", \"b\""), (IF_NONE_MATCH, "\"b\"")];
        let both = conditions(&both).unwrap().unwrap();
        assert!(both.hold(Some("\"a\"")) && !both.hold(Some("\"b\"")));
        assert_eq!(conditions(&[]), Ok(None));
    }

    #[test]
    fn what_is_no_condition_is_refused_and_never_ignored() {
        for text in ["", "a", "\"a", "*, \"a\"", "\"a\",", "\"a\"\"b\"", "W/a"] {
            let failure = conditions(&[(IF_MATCH, text)]).unwrap_err();
            assert_eq!(failure.kind, Kind::BadOption, "{text}");
        }
        let dated = conditions(&[(header::IF_UNMODIFIED_SINCE, "Mon")]).unwrap_err();
        assert_eq!(dated.kind, Kind::NoCondition);
    }
}
