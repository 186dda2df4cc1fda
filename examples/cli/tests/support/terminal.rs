//! The program on a real terminal: a pseudo-terminal of a given width, whose other end the test reads.

use std::fs::File;
use std::io::Read as _;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{Home, wait};

impl Home {
    /// What a command writes to a terminal of type `term`. A terminal ends lines with `\r\n`.
    pub(crate) fn on_terminal(&self, term: &str, columns: u16, args: &[&str]) -> String {
        self.on_terminal_with(&[("TERM", term)], columns, args)
    }

    /// The same, with these variables in its environment.
    pub(crate) fn on_terminal_with(
        &self,
        variables: &[(&str, &str)],
        columns: u16,
        args: &[&str],
    ) -> String {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&ours, size).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs = File::from(open(name, flags, Mode::empty()).unwrap());

        let mut command = self.command(args);
        command.env_remove("NO_COLOR");
        command.envs(variables.iter().copied());
        command.stdin(Stdio::null());
        command.stdout(theirs.try_clone().unwrap()).stderr(theirs);
        let mut child = command.spawn().unwrap();
        // The command holds the terminal's other end open, too, and would hide the child's end.
        drop(command);

        let mut written = Vec::new();
        // The end of a terminal that nobody holds open any more is an error on Linux.
        File::from(ours).read_to_end(&mut written).ok();
        wait(&mut child).expect("the command ends in time");
        String::from_utf8(written).expect("what is shown is text")
    }
}
