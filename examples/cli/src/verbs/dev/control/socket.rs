//! A Unix socket that carries lines of bounded length.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::LINE_WITHIN;

/// One end of a connection.
#[derive(Debug)]
pub(in crate::verbs::dev) struct Socket(UnixStream);

/// Where connections come in. Dropped, it removes its socket.
#[derive(Debug)]
pub(in crate::verbs::dev) struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens at `path`, in a folder that only its owner may enter. A socket that is there already is removed: whoever
    /// calls this has the cluster's folder.
    pub(in crate::verbs::dev) fn bind(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            if !folder.is_dir() {
                DirBuilder::new().mode(0o700).create(folder)?;
            }
            fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    pub(in crate::verbs::dev) async fn accept(&self) -> io::Result<Socket> {
        Ok(Socket(self.listener.accept().await?.0))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // One that stays behind hinders nobody: nothing listens there, and the next start removes it.
        fs::remove_file(&self.path).ok();
    }
}

impl Socket {
    pub(in crate::verbs::dev) async fn connect(path: &Path) -> io::Result<Self> {
        UnixStream::connect(path).await.map(Self)
    }

    /// A line without its end. One that is longer than `most` bytes, or is cut off, is an error.
    pub(in crate::verbs::dev) async fn read_line(&self, most: usize) -> io::Result<Vec<u8>> {
        let failed = |kind, what: String| Err(io::Error::new(kind, what));
        // A line and its end.
        let mut bytes = vec![0; most + 1];
        let mut length = 0;
        loop {
            if let Some(end) = bytes[..length].iter().position(|byte| *byte == b'\n') {
                bytes.truncate(end);
                return Ok(bytes);
            }
            if length == bytes.len() {
                let what = format!("a line of more than {most} bytes");
                return failed(io::ErrorKind::InvalidData, what);
            }
            self.0.readable().await?;
            match self.0.try_read(&mut bytes[length..]) {
                Ok(0) => {
                    let what = "a line without an end".to_owned();
                    return failed(io::ErrorKind::UnexpectedEof, what);
                }
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a line.
    pub(in crate::verbs::dev) async fn write_line(&self, line: &str) -> io::Result<()> {
        let line = format!("{line}\n");
        let write = async {
            let mut left = line.as_bytes();
            while !left.is_empty() {
                self.0.writable().await?;
                match self.0.try_write(left) {
                    Ok(written) => left = &left[written..],
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        timeout(LINE_WITHIN, write).await?
    }

    /// Completes when the other end is closed, or says more than it may.
    pub(in crate::verbs::dev) async fn closed(&self) {
        self.read_line(0).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Socket, Socket) {
        let (one, other) = UnixStream::pair().unwrap();
        (Socket(one), Socket(other))
    }

    #[tokio::test]
    async fn a_line_comes_whole_and_one_that_is_too_long_or_cut_off_does_not() {
        let (one, other) = pair();
        one.write_line("x".repeat(10).as_str()).await.unwrap();
        assert_eq!(other.read_line(10).await.unwrap(), b"xxxxxxxxxx");

        let (one, other) = pair();
        one.write_line("x".repeat(11).as_str()).await.unwrap();
        let error = other.read_line(10).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);

        let (one, other) = pair();
        one.0.try_write(b"{").unwrap();
        drop(one);
        let error = other.read_line(10).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn only_its_owner_may_use_a_socket_and_it_is_gone_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control/socket");
        drop(Listener::bind(&path).unwrap());
        assert!(!path.exists());
        let crashed = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(crashed);
        assert!(path.exists());
        let _listener = Listener::bind(&path).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }
}
