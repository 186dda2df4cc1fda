//! One RESP connection: reads, runs and writes at once, each within a bound.
//!
//! ```text
//!   read --INPUT--> parser --> session --> pipeline --> replies --OUTPUT--> write
//!     '- not while the input is full      '- nothing new while the replies are not taken
//! ```
//!
//! Bounds: bytes that wait to be parsed, commands under way, bytes of replies that wait for the peer; memory for long
//! commands and values comes from the gateway's budget. A peer that sends and never reads fills them, and is closed after
//! the listener's time for one write. One that leaves a command half sent is closed as well.

use std::io;
use std::sync::Arc;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::parse::{Bounds, Command, Parser};
use super::pipeline::Pipeline;
use super::reply::{Reply, Version};
use super::session::{Session, Step};
use super::work::{Answer, Work};
use crate::budget::Permit;
use crate::gateway::Shared;
use crate::listener::{Stop, Stream, stopped};
use crate::metrics;

/// Bytes of commands that wait for those before them.
const INPUT: usize = 128 << 10;
/// Bytes read at least.
const PIECE: usize = 16 << 10;
/// Bytes of replies that wait for the peer, before nothing new begins.
const OUTPUT: usize = 256 << 10;
/// Bytes of a command that the budget is not asked for.
const FREE: usize = 16 << 10;
/// Longest key, and so what a command may have besides its values.
const MAX_KEY: usize = 32 << 10;

/// One connection.
pub(crate) struct Connection {
    shared: Arc<Shared>,
    session: Session,
    parser: Parser,
    input: BytesMut,
    output: BytesMut,
    pipeline: Pipeline,
    /// A command that waits for others of its keys.
    waiting: Option<(Work, Vec<Permit>, Version)>,
    /// Memory of the command that is being read, and how many bytes that is.
    reserved: (Vec<Permit>, usize),
    /// Memory of the replies in `output`.
    held: Vec<Permit>,
    /// When a command that has begun to arrive must be there.
    due: Option<Instant>,
    /// No more bytes come.
    ended: bool,
    /// No more commands are taken.
    closing: bool,
    unflushed: bool,
}

impl Connection {
    pub(crate) fn new(session: Session, shared: Arc<Shared>) -> Self {
        let value = shared.limits.max_value_bytes.max(MAX_KEY);
        let bounds = Bounds {
            argument: value,
            command: 4 * value + (1 << 20),
        };
        Self {
            shared,
            session,
            parser: Parser::new(bounds),
            input: BytesMut::new(),
            output: BytesMut::new(),
            pipeline: Pipeline::default(),
            waiting: None,
            reserved: (Vec::new(), 0),
            held: Vec::new(),
            due: None,
            ended: false,
            closing: false,
            unflushed: false,
        }
    }

    /// Serves until the peer has gone, says `QUIT`, sends what is no command, or the gateway is stopped.
    pub(crate) async fn serve(mut self, stream: Stream, mut stop: Stop) -> io::Result<()> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        loop {
            self.begin();
            if self.is_over() {
                break;
            }
            let wants = self.wants_input();
            if wants {
                let missing = self.parser.missing(&self.input);
                self.input.reserve(missing.max(PIECE));
            }
            let due = self.due;
            let late = async move {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };

            tokio::select! {
                biased;
                Some((answer, version)) = self.pipeline.next(), if !self.pipeline.is_empty() => {
                    self.answered(answer, version);
                }
                sent = send(&mut writer, &self.output), if !self.output.is_empty() || self.unflushed => {
                    self.sent(sent?);
                }
                read = reader.read_buf(&mut self.input), if wants => {
                    self.ended = read? == 0;
                }
                () = late => return Err(io::ErrorKind::TimedOut.into()),
                () = stopped(&mut stop), if !self.closing => self.closing = true,
            }
        }
        writer.shutdown().await
    }

    /// Begins what may begin of what has arrived.
    fn begin(&mut self) {
        if let Some((work, memory, version)) = self.waiting.take() {
            self.start(work, memory, version);
        }
        while !self.closing && self.waiting.is_none() && self.may_begin() {
            match self.parser.next(&mut self.input) {
                Ok(Some(command)) => self.take(command),
                // What was sent before the end is still answered.
                Ok(None) if self.ended => self.closing = true,
                Ok(None) => {
                    self.reserve();
                    break;
                }
                Err(malformed) => self.last(Reply::error(malformed.to_string())),
            }
        }
        self.due = match (self.parser.bytes(), self.due) {
            (0, _) => None,
            (_, None) => Some(Instant::now() + self.shared.limits.transfer),
            (_, due) => due,
        };
    }

    fn may_begin(&self) -> bool {
        self.pipeline.has_room() && self.output.len() < OUTPUT
    }

    fn take(&mut self, command: Command) {
        self.due = None;
        let (memory, _) = std::mem::take(&mut self.reserved);
        let step = self.session.step(command, &self.shared);
        let version = self.session.version;
        match step {
            // A reply may repeat what was sent, so it keeps the memory of that.
            Step::Now(reply) if self.pipeline.is_empty() => {
                self.answered(Answer { reply, memory }, version);
            }
            Step::Now(reply) => self.pipeline.reply(Answer { reply, memory }, version),
            Step::Later(work) => self.start(work, memory, version),
            Step::Close(reply) => self.last(reply),
        }
    }

    fn start(&mut self, work: Work, memory: Vec<Permit>, version: Version) {
        if self.pipeline.admits(&work) {
            self.pipeline.begin(work, memory, version, &self.shared);
        } else {
            self.waiting = Some((work, memory, version));
        }
    }

    /// Takes memory for a long command before it is read.
    fn reserve(&mut self) {
        let (needed, reserved) = (self.parser.bytes(), self.reserved.1);
        if needed <= FREE.max(reserved) {
            return;
        }
        match self.shared.store.memory(needed - reserved) {
            Ok(permit) => {
                self.reserved.0.push(permit);
                self.reserved.1 = needed;
            }
            Err(failure) => {
                metrics::refused("resp", &failure);
                self.last(failure.into());
            }
        }
    }

    /// Replies for the last time.
    fn last(&mut self, reply: Reply) {
        self.pipeline.reply(reply.into(), self.session.version);
        self.closing = true;
    }

    /// Writes an answer behind those before it.
    fn answered(&mut self, answer: Answer, version: Version) {
        let Answer { reply, memory } = answer;
        reply.write(version, &mut self.output);
        self.held.extend(memory);
    }

    /// So many bytes were written; none means that all are flushed.
    fn sent(&mut self, bytes: usize) {
        self.unflushed = bytes > 0;
        self.output.advance(bytes);
        if self.output.is_empty() {
            self.held.clear();
            // What a long reply took is given back.
            self.output = BytesMut::new();
        }
    }

    /// Whether more bytes may be read: there is a place for them, or a long command lacks them.
    fn wants_input(&self) -> bool {
        let has_room = self.input.len() < INPUT || self.parser.missing(&self.input) > 0;
        has_room && !self.closing && !self.ended
    }

    fn is_over(&self) -> bool {
        self.closing
            && self.waiting.is_none()
            && self.pipeline.is_empty()
            && self.output.is_empty()
            && !self.unflushed
    }
}

/// Writes some of what there is, or flushes if there is nothing; how many bytes were written. Nothing is lost if it is
/// dropped.
async fn send(writer: &mut (impl AsyncWrite + Unpin), output: &[u8]) -> io::Result<usize> {
    if output.is_empty() {
        writer.flush().await?;
        return Ok(0);
    }
    match writer.write(output).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        bytes => Ok(bytes),
    }
}
