//! The I/O thread's tasks around the one driver.
//!
//! ```text
//!   inbox task    all submissions --.
//!   link tasks    frames, link state --> drive: refresh clocks, inputs, pump --> sends, answers
//!   timer task    ticks ------------'
//! ```
//!
//! Invariants: the driver is borrowed only inside [`Core::drive`], which never waits; every batch of
//! inputs ends with one pump. The timer is set again only if a tick is due before it would ring: one that
//! rings too early finds nothing to do.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::poll_fn;
use core::task::{Poll, ready};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quoit_ring::change::Known;
use quoit_ring::wire::{DecodeError, Frames};
use quoit_ring::{Moment, NodeId};
use quoit_transport::dial::Dialer;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep_until, timeout};

use super::env::{LinkTasks, Opener, RealEnv, instant_now};
use crate::bridge::DriverEnd;
use crate::coordinator::Settings;
use crate::driver::Driver;
use crate::env::Link;
use crate::transport::{Bounds, LinkEvents};

/// How long all links together may take to close; each bounds its own flush more tightly.
const FAREWELL: Duration = Duration::from_secs(2);
/// The timer does not ring.
const NEVER: Moment = Moment(u64::MAX);

/// The thread's tasks.
pub(super) struct Io {
    core: Rc<Core>,
    links: LinkTasks,
}

/// The driver, and the state that its tasks share.
struct Core {
    driver: RefCell<Driver<RealEnv>>,
    start: Instant,
    /// When the timer rings.
    rings: Cell<Moment>,
    rewind: Notify,
    /// Whether the inbox task waits for the last operations to end.
    closing: Cell<bool>,
    idle: Notify,
}

/// How links reach the driver. They do not keep it alive.
#[derive(Clone)]
pub(super) struct Hub(Weak<Core>);

impl Io {
    /// Builds the driver, which opens its links; inside a [`tokio::task::LocalSet`].
    pub(super) fn new(
        callers: DriverEnd,
        settings: Settings,
        known: Known,
        dialer: Rc<Dialer>,
        bounds: Bounds,
    ) -> Self {
        let links = LinkTasks::default();
        let tasks = Rc::clone(&links);
        let core = Rc::new_cyclic(|core| {
            let hub = Hub(Weak::clone(core));
            let opener = Opener {
                dialer,
                hub,
                bounds,
                tasks,
            };
            Core::new(callers, settings, known, opener)
        });
        Self { core, links }
    }

    /// Runs until the inbox is closed and everything under way has ended, or something panicked.
    pub(super) async fn run(self) {
        let mut tasks = JoinSet::new();
        tasks.spawn_local(Rc::clone(&self.core).take_in());
        tasks.spawn_local(Rc::clone(&self.core).keep_time());
        let ended = tokio::select! {
            biased;
            ended = tasks.join_next() => ended.unwrap_or(Ok(())),
            panic = panicked(&self.links) => Err(panic),
        };
        match ended {
            Ok(()) => self.say_farewell().await,
            Err(panic) => tracing::error!("the client is broken and stops: {panic}"),
        }
    }

    /// Lets the links write what they have and close.
    async fn say_farewell(&self) {
        self.core.drive(|driver| driver.env().finish());
        if timeout(FAREWELL, all_gone(&self.links)).await.is_err() {
            tracing::debug!("some connections were not closed in time");
        }
    }
}

/// Waits for a link that panicked. Links that are no longer needed just go.
async fn panicked(links: &LinkTasks) -> JoinError {
    poll_fn(|cx| {
        let mut links = links.borrow_mut();
        while let Poll::Ready(Some(ended)) = links.poll_join_next(cx) {
            if let Err(error) = ended
                && error.is_panic()
            {
                return Poll::Ready(error);
            }
        }
        Poll::Pending
    })
    .await
}

/// Waits until no link is left.
async fn all_gone(links: &LinkTasks) {
    poll_fn(|cx| {
        let mut links = links.borrow_mut();
        while ready!(links.poll_join_next(cx)).is_some() {}
        Poll::Ready(())
    })
    .await;
}

impl Core {
    fn new(callers: DriverEnd, settings: Settings, known: Known, opener: Opener) -> Self {
        let start = instant_now();
        let env = RealEnv::new(start, opener);
        Self {
            driver: RefCell::new(Driver::new(callers, settings, known, env)),
            start,
            rings: Cell::new(NEVER),
            rewind: Notify::new(),
            closing: Cell::new(false),
            idle: Notify::new(),
        }
    }

    /// Gives the driver a batch of inputs and carries out what it decides.
    fn drive<T>(&self, inputs: impl FnOnce(&mut Driver<RealEnv>) -> T) -> T {
        let mut driver = self.driver.borrow_mut();
        driver.env().refresh();
        let result = inputs(&mut driver);
        driver.pump();

        if driver
            .next_tick()
            .is_some_and(|tick| tick < self.rings.get())
        {
            self.rewind.notify_one();
        }
        if self.closing.get() && driver.is_idle() {
            self.idle.notify_one();
        }
        result
    }

    /// Takes submissions until the inbox is closed, then waits for what is under way.
    async fn take_in(self: Rc<Self>) {
        while poll_fn(|cx| self.driver.borrow_mut().poll_submissions(cx)).await {
            self.drive(Driver::take_in);
        }
        self.closing.set(true);
        while !self.driver.borrow().is_idle() {
            self.idle.notified().await;
        }
    }

    /// Calls the driver when it asked to be called.
    async fn keep_time(self: Rc<Self>) {
        loop {
            let tick = self.driver.borrow().next_tick().unwrap_or(NEVER);
            self.rings.set(tick);
            if tick == NEVER {
                self.rewind.notified().await;
                continue;
            }
            let due = self.start + Duration::from_micros(tick.0);
            tokio::select! {
                biased;
                () = self.rewind.notified() => {}
                () = sleep_until(due.into()) => {
                    // no notification needed: this loop sets the timer itself
                    self.rings.set(Moment::default());
                    self.drive(Driver::tick);
                }
            }
        }
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl LinkEvents for Hub {
    fn frames(&self, from: NodeId, frames: &mut Frames) -> Result<(), DecodeError> {
        let Some(core) = self.0.upgrade() else {
            return Ok(());
        };
        core.drive(|driver| {
            while let Some(frame) = frames.next()? {
                driver.received(from, frame)?;
            }
            Ok(())
        })
    }

    fn frame(&self, from: NodeId, frame: Bytes) -> Result<(), DecodeError> {
        let Some(core) = self.0.upgrade() else {
            return Ok(());
        };
        core.drive(|driver| driver.received(from, frame))
    }

    fn link(&self, node: NodeId, link: Link) {
        if let Some(core) = self.0.upgrade() {
            core.drive(|driver| driver.link(node, link));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_link_that_panics_is_the_end_of_the_client() {
        let links = LinkTasks::default();
        links.borrow_mut().spawn(async {});
        links.borrow_mut().spawn(core::future::pending()).abort();
        let soon = Duration::from_millis(50);
        assert!(timeout(soon, panicked(&links)).await.is_err());
        links.borrow_mut().spawn(core::future::pending());
        let broken = async {
            tokio::task::yield_now().await;
            links.borrow_mut().spawn(async { panic!("on purpose") });
        };
        let (panic, ()) = tokio::join!(panicked(&links), broken);
        assert!(panic.is_panic());
        links.borrow_mut().abort_all();
        assert!(timeout(soon, all_gone(&links)).await.is_ok());
    }
}
