//! Plain and conditional writes of the same keys, recorded with what each has seen.
//!
//! ```text
//!   put, swap, read --> history.shared: when it began and ended, the dot of a write, what was seen
//! ```
//!
//! Only what succeeded is recorded: what failed promises nothing here.

use bytes::Bytes;
use quoit_client::{Compared, Consistency, Context};
use quoit_ring::{Dot, Moment};

use super::Session;
use super::outcome::seen_of;
use crate::history::{SharedOp, Source};

impl Session {
    /// Puts a value without looking, on a context or on none: what its writer knows now.
    pub async fn shared_put(&mut self, key: &Bytes, context: Option<&Context>) -> Option<Context> {
        let (began, value) = (self.site.now(), self.fresh_value(0));
        let mut put = self.client.put(key.clone(), value);
        if let Some(context) = context {
            put = put.context(context);
        }
        let written = put.await.ok()?;
        let dot = Some(written.dot);
        self.shared(key, (Source::Plain, began), dot, &written.context);
        Some(written.context)
    }

    /// Writes a key under the condition that a context names, or under none: what is there now.
    pub async fn shared_swap(&mut self, key: &Bytes, context: Option<&Context>) -> Option<Context> {
        let (began, value) = (self.site.now(), self.fresh_value(0));
        let mut write = self.client.compare_and_set(key.clone());
        if let Some(context) = context {
            write = write.if_context(context);
        }
        let (dot, context) = match write.set(value).await.ok()? {
            Compared::Applied(applied) => (Some(applied.dot), applied.context),
            Compared::Mismatch(entry) => (None, entry.context().clone()),
        };
        self.shared(key, (Source::Conditional, began), dot, &context);
        Some(context)
    }

    /// Reads a key.
    pub async fn shared_read(&mut self, key: &Bytes, consistency: Consistency) -> Option<Context> {
        let began = self.site.now();
        let get = self.client.get(key.clone()).consistency(consistency);
        let context = get.await.ok()?.context().clone();
        self.shared(key, (Source::Read, began), None, &context);
        Some(context)
    }

    fn shared(
        &self,
        key: &Bytes,
        (source, began): (Source, Moment),
        dot: Option<Dot>,
        context: &Context,
    ) {
        let op = SharedOp {
            source,
            began,
            ended: self.site.now(),
            dot,
            seen: seen_of(context),
        };
        let mut recorder = self.site.recorder().borrow_mut();
        let ops = &mut recorder.history_mut().shared;
        ops.entry(key.clone()).or_default().push(op);
    }
}
