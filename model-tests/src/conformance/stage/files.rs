//! What is on the disk: the lock, the control path, the journal.

use std::fs;
use std::time::Instant;

use handoff_core::journal::{Entry, Record, Stage as Reached};
use handoff_core::op::PathOwner;
use handoff_core::wire::HandoffId;
use handoff_std::host::control::knock;
use handoff_std::host::{ControlListener, JournalFile, Process, boot_id};
use handoff_std::{DataDirLock, LockError};

use super::super::log::{PATIENCE, Stopped};
use super::{MOMENT, Stage};

impl Stage {
    /// Look whether the lock is held.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn lock(&mut self) -> Result<(), Stopped> {
        let free = handoff_std::host::lock::lock_is_free(&self.place.data())?;
        let how = if free { "free" } else { "held" };
        self.log.line(format_args!("lock      is {how}"));
        Ok(())
    }

    /// Take the lock, as the one whom the kit plays.
    ///
    /// # Errors
    /// It is not to be had.
    pub fn takes_lock(&mut self, who: &str) -> Result<(), Stopped> {
        let until = Instant::now() + PATIENCE;
        while self.lock.is_none() {
            match DataDirLock::acquire(&self.place.data()) {
                Ok(lock) => self.lock = Some(lock),
                Err(LockError::Held { .. }) if Instant::now() < until => {
                    std::thread::sleep(MOMENT);
                }
                Err(e) => return Err(e.to_string().into()),
            }
        }
        self.log.line(format_args!("lock      {who} takes it"));
        Ok(())
    }

    /// Give it back.
    pub fn gives_lock(&mut self, who: &str) {
        self.lock = None;
        self.log.line(format_args!("lock      {who} gives it back"));
    }

    /// Take the control path, as the one whom the kit plays.
    ///
    /// # Errors
    /// It is not to be had.
    pub fn takes_path(&mut self, who: &str) -> Result<(), Stopped> {
        let taken = ControlListener::bind(&self.place.control()).map_err(|e| e.to_string())?;
        self.path = Some(taken);
        self.log.line(format_args!("path      {who} takes it"));
        Ok(())
    }

    /// Put something else where the control path is to be.
    ///
    /// # Errors
    /// It cannot be put there.
    pub fn blocks_path(&mut self) -> Result<(), Stopped> {
        fs::create_dir(self.place.control())?;
        self.log.line(format_args!("path      is a directory"));
        Ok(())
    }

    /// Look whether somebody listens at the control path.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn path(&mut self) -> Result<(), Stopped> {
        let owner = knock(&self.place.control())?;
        let who = match owner {
            PathOwner::Nobody => "leads nowhere",
            PathOwner::Ours | PathOwner::Theirs => "leads to somebody",
        };
        self.log.line(format_args!("path      {who}"));
        // A socket that is staged is beside the path.
        for file in fs::read_dir(self.place.dir())? {
            let name = file?.file_name();
            if name != "control" && name.to_string_lossy().contains("control") {
                self.log
                    .line(format_args!("path      something is left beside it"));
            }
        }
        Ok(())
    }

    /// Write the journal of a supervisor that has died after Begin.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn journaled(&mut self, incumbent: u32, successor: u32) -> Result<(), Stopped> {
        let of = |pid| Process::of(pid).unwrap_or(Process { pid, start: 0 }).into();
        let entry = Entry {
            id: HandoffId::from_random([5; 16]),
            stage: Reached::Begun,
            incumbent: of(incumbent),
            successor: of(successor),
        };
        let mut room = [0; 256];
        let record = Record::new(boot_id(), entry, b"");
        let bytes = record.encode(&mut room).ok_or("no room for the journal")?;
        JournalFile::new(self.place.journal()).write(bytes)?;
        self.log
            .line(format_args!("journal   says that N has begun"));
        Ok(())
    }

    /// Look whether there is a journal.
    pub fn journal(&mut self) {
        let there = self.place.journal().exists();
        let how = if there { "is there" } else { "is gone" };
        self.log.line(format_args!("journal   {how}"));
    }
}
