//! The file of a service's history: an event on each line, in JSON.
//!
//! It is only ever appended to, and not waited for on the disk: it has to survive the supervisor, not
//! the machine. A line that is cut off, since its writer was killed or the disk was full, costs that line
//! and no other. When the file has grown too large, its newer half replaces it in one step.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::Context;
use atomic_write_file::AtomicWriteFile;
use atomic_write_file::unix::OpenOptionsExt as _;

use crate::operate::event::Event;

/// The size from which on it is shortened, in bytes: some thousand handoffs.
const LARGEST: u64 = 2 << 20;
/// What is left of it then, at most.
const KEPT: u64 = LARGEST / 2;
/// For its owner alone: who may know what is in it, the supervisor's sockets decide.
const MODE: u32 = 0o600;

/// What a file says.
#[derive(Debug, Default)]
pub(in crate::supervise::fleet) struct Past {
    /// The oldest first.
    pub(in crate::supervise::fleet) events: Vec<Event>,
    /// What could not be read.
    pub(in crate::supervise::fleet) damage: Option<String>,
}

impl Past {
    pub(super) fn unreadable(why: String) -> Self {
        Self {
            events: Vec::new(),
            damage: Some(why),
        }
    }
}

/// A service's file.
pub(super) struct HistoryFile {
    path: PathBuf,
    largest: u64,
    kept: u64,
}

impl HistoryFile {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self {
            path,
            largest: LARGEST,
            kept: KEPT,
        }
    }

    /// Adds an event.
    ///
    /// # Errors
    /// The system's, with the path.
    pub(super) fn append(&self, event: &Event) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.write(line)
            .with_context(|| format!("{} cannot be written", self.path.display()))
    }

    fn write(&self, mut line: Vec<u8>) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(MODE)
            .open(&self.path)?;
        if !ends_well(&mut file)? {
            line.insert(0, b'\n');
        }
        // In one piece, so that a kill leaves all of it or none.
        file.write_all(&line)
    }

    /// Shortens it, if it has grown too large. Nothing that it holds is missing if that fails.
    ///
    /// # Errors
    /// The system's, with the path.
    pub(super) fn bound(&self) -> anyhow::Result<()> {
        self.shorten()
            .with_context(|| format!("{} cannot be shortened", self.path.display()))
    }

    fn shorten(&self) -> io::Result<()> {
        let mut file = File::open(&self.path)?;
        if file.metadata()?.len() <= self.largest {
            return Ok(());
        }
        let tail = tail(&mut file, self.kept)?;
        let mut new = AtomicWriteFile::options();
        new.preserve_mode(false).mode(MODE);
        let mut new = new.open(&self.path)?;
        new.write_all(&tail)?;
        new.commit()
    }

    /// The last events, so many of them.
    ///
    /// # Errors
    /// The system's, with the path. A file that is not there is empty.
    pub(super) fn read(&self, limit: usize) -> anyhow::Result<Past> {
        let path = self.path.display();
        let text = match File::open(&self.path) {
            Ok(mut file) => tail(&mut file, self.largest),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Past::default()),
            Err(error) => Err(error),
        };
        let text = text.with_context(|| format!("{path} cannot be read"))?;
        let mut past = Past::default();
        let mut damaged: u32 = 0;
        let lines = text.split(|byte| *byte == b'\n');
        for line in lines.rev().filter(|line| !line.is_empty()) {
            if past.events.len() >= limit {
                break;
            }
            match serde_json::from_slice(line) {
                Ok(event) => past.events.push(event),
                Err(_) => damaged = damaged.saturating_add(1),
            }
        }
        past.events.reverse();
        past.damage = match damaged {
            0 => None,
            1 => Some(format!("{path}: a line is damaged, and left out")),
            count => Some(format!("{path}: {count} lines are damaged, and left out")),
        };
        Ok(past)
    }
}

/// Whether it is empty, or its last line is whole.
fn ends_well(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The last lines of the file, so many bytes at most.
fn tail(file: &mut File, longest: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    // With the line break before them, if there are others.
    let skipped = length.saturating_sub(longest.saturating_add(1));
    file.seek(SeekFrom::Start(skipped))?;
    let mut text = Vec::new();
    file.take(longest.saturating_add(1))
        .read_to_end(&mut text)?;
    if skipped > 0 {
        let start = text.iter().position(|byte| *byte == b'\n');
        text.drain(..start.map_or(text.len(), |at| at.saturating_add(1)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, UNIX_EPOCH};

    use tempfile::TempDir;

    use super::*;
    use crate::operate::event::What;

    fn file(largest: u64) -> (TempDir, HistoryFile) {
        let dir = tempfile::tempdir().unwrap();
        let file = HistoryFile {
            path: dir.path().join("a.history"),
            largest,
            kept: largest / 2,
        };
        (dir, file)
    }

    fn event(number: u32) -> Event {
        Event {
            at: UNIX_EPOCH + Duration::from_secs(number.into()),
            service: "a".into(),
            handoff_id: None,
            what: What::DaemonStarted {
                pid: number,
                binary: "/bin/a".into(),
            },
        }
    }

    fn numbers(past: &Past) -> Vec<u32> {
        let pid = |event: &Event| match event.what {
            What::DaemonStarted { pid, .. } => pid,
            _ => 0,
        };
        past.events.iter().map(pid).collect()
    }

    #[test]
    fn the_last_ones_come_back_in_their_order() {
        let (_dir, file) = file(LARGEST);
        assert!(file.read(9).unwrap().events.is_empty());
        for number in 1..=5 {
            file.append(&event(number)).unwrap();
        }
        let past = file.read(9).unwrap();
        assert_eq!(past.events[0], event(1));
        assert_eq!(numbers(&past), [1, 2, 3, 4, 5]);
        assert_eq!(numbers(&file.read(2).unwrap()), [4, 5]);
        let mode = fs::metadata(&file.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
    }

    #[test]
    fn a_torn_line_costs_no_other() {
        let (_dir, file) = file(LARGEST);
        file.append(&event(1)).unwrap();
        file.append(&event(2)).unwrap();
        let whole = fs::read(&file.path).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for cut in first + 1..whole.len() - 1 {
            fs::write(&file.path, &whole[..cut]).unwrap();
            assert_eq!(numbers(&file.read(9).unwrap()), [1], "{cut}");
            file.append(&event(3)).unwrap();
            let past = file.read(9).unwrap();
            assert_eq!(numbers(&past), [1, 3], "{cut}");
            assert!(past.damage.unwrap().contains("a line is damaged"));
        }
        // All of it is there but the line break.
        fs::write(&file.path, &whole[..whole.len() - 1]).unwrap();
        file.append(&event(3)).unwrap();
        let past = file.read(9).unwrap();
        assert_eq!((numbers(&past), past.damage), (vec![1, 2, 3], None));
    }

    #[test]
    fn nonsense_in_the_middle_is_left_out_and_said() {
        let (_dir, file) = file(LARGEST);
        file.append(&event(1)).unwrap();
        let mut all = fs::read(&file.path).unwrap();
        all.extend(b"\xff\xfe{\n\n{\"event\":\"of a later version\"}\n");
        fs::write(&file.path, all).unwrap();
        file.append(&event(2)).unwrap();
        let past = file.read(9).unwrap();
        assert_eq!(numbers(&past), [1, 2]);
        assert!(past.damage.unwrap().contains("2 lines are damaged"));
    }

    #[test]
    fn it_is_shortened_to_its_newer_half() {
        let (dir, file) = file(2000);
        for number in 1..=100 {
            file.append(&event(number)).unwrap();
            file.bound().unwrap();
            assert!(fs::metadata(&file.path).unwrap().len() <= 2000);
            let past = file.read(usize::MAX).unwrap();
            assert_eq!(past.damage, None);
            let numbers = numbers(&past);
            assert_eq!(numbers.last(), Some(&number));
            assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
            assert!(numbers.len() >= 5.min(number as usize));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let mode = fs::metadata(&file.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
    }

    #[test]
    fn a_file_without_a_line_break_is_bounded_as_well() {
        let (_dir, file) = file(100);
        fs::write(&file.path, [b'x'; 1000]).unwrap();
        assert!(file.read(9).unwrap().events.is_empty());
        file.append(&event(1)).unwrap();
        file.bound().unwrap();
        assert!(fs::metadata(&file.path).unwrap().len() <= 100);
    }

    // Where files can be written, and no other can take their place.
    #[test]
    fn an_event_is_not_missing_if_the_file_cannot_be_shortened() {
        let open = tempfile::tempfile().unwrap();
        let file = HistoryFile {
            path: format!("/proc/self/fd/{}", open.as_raw_fd()).into(),
            largest: 50,
            kept: 25,
        };
        file.append(&event(1)).unwrap();
        let error = file.bound().unwrap_err().to_string();
        assert!(error.ends_with("cannot be shortened"), "{error}");
        let whole = fs::read_to_string(&file.path).unwrap();
        assert!(whole.contains("daemon_started"), "{whole}");
    }
}
