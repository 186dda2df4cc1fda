//! Where there are no Unix sockets, a dev cluster that runs cannot be asked for anything.

use std::io;
use std::path::Path;

/// There is none.
#[derive(Debug)]
pub(in crate::verbs::dev) enum Socket {}

/// There is none.
#[derive(Debug)]
pub(in crate::verbs::dev) enum Listener {}

impl Listener {
    pub(in crate::verbs::dev) fn bind(_path: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(in crate::verbs::dev) async fn accept(&self) -> io::Result<Socket> {
        match *self {}
    }
}

impl Socket {
    pub(in crate::verbs::dev) async fn connect(_path: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(in crate::verbs::dev) async fn read_line(&self, _most: usize) -> io::Result<Vec<u8>> {
        match *self {}
    }

    pub(in crate::verbs::dev) async fn write_line(&self, _line: &str) -> io::Result<()> {
        match *self {}
    }

    pub(in crate::verbs::dev) async fn closed(&self) {
        match *self {}
    }
}
