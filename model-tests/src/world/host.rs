//! What operations do, and what comes of them.

use handoff_core::op::Scene;

use super::{Body, Call, Conn, Life, Mutation, Result, World};

/// How many connections wait to be accepted; a frozen process would collect them without end.
const BACKLOG: usize = 2;

impl World {
    /// What an operation may come to, now, and whether that is a fault.
    pub(crate) fn prospects(&self, at: usize, call: Call) -> Vec<(Result, bool)> {
        let mut prospects: Vec<_> = self
            .prospect(at, call)
            .map(|result| (result, false))
            .into_iter()
            .collect();
        let may_fail = !matches!(
            call,
            Call::TryLock | Call::Inspect | Call::Probe(_) | Call::ClearJournal
        );
        if self.setup.failures && self.faults < self.setup.faults && may_fail {
            if !prospects.contains(&(Result::Failed, false)) {
                prospects.push((Result::Failed, true));
            }
            if call == Call::Open && !prospects.is_empty() {
                prospects.push((Result::Opened { healthy: false }, true));
            }
        }
        prospects
    }

    /// What it comes to when nothing goes wrong; `None`: it is not the time yet.
    fn prospect(&self, at: usize, call: Call) -> Option<Result> {
        match call {
            // The daemon opens its data when it is warm.
            Call::Open
                if self.processes[at]
                    .pending
                    .iter()
                    .any(|op| op.call == Call::WarmUp) =>
            {
                None
            }
            Call::WatchProbation(pid, until) => {
                let well = self
                    .by_pid(pid)
                    .is_some_and(|at| self.processes[at].life == Life::Running);
                if well && self.now < until {
                    return None;
                }
                Some(if well { Result::Done } else { Result::Failed })
            }
            other => Some(self.outcome(at, other)),
        }
    }

    fn outcome(&self, at: usize, call: Call) -> Result {
        match call {
            Call::Drain => Result::Drained,
            Call::Seal => Result::Sealed,
            Call::Open => Result::Opened { healthy: true },
            Call::TryLock if self.can_take(at) => Result::Taken,
            Call::TryLock => Result::Held,
            Call::Inspect => match self.path {
                Some(owner) if owner == at => Result::Ours,
                Some(_) => Result::Theirs,
                None => Result::Nobody,
            },
            Call::Connect => match self.path {
                Some(owner) if self.lives(owner) && self.backlog(owner) < BACKLOG => {
                    Result::Linked {
                        conn: self.conns.len(),
                        pid: self.processes[owner].pid,
                    }
                }
                _ => Result::Failed,
            },
            Call::Spawn if !self.processes[at].listeners => Result::Failed,
            Call::Spawn => Result::Linked {
                conn: self.conns.len(),
                pid: self.next_pid(),
            },
            Call::ColdStart if self.lock.is_none() && self.can_listen(at) => {
                Result::Started(self.next_pid())
            }
            Call::Probe(entry) => Result::Scene(Scene {
                incumbent_alive: entry.is_some_and(|entry| self.pid_lives(entry.incumbent.pid)),
                successor_alive: entry.is_some_and(|entry| self.pid_lives(entry.successor.pid)),
                lock_free: self.lock.is_none(),
            }),
            // As an adapter must: who does not hold the lock may not take the path any more.
            Call::Bind | Call::Publish if self.lock != Some(at) => Result::Failed,
            Call::ListListeners
                if self.processes[at].listeners && !self.without(Mutation::DropsListeners) =>
            {
                Result::Listeners
            }
            Call::ColdStart | Call::ListListeners => Result::Failed,
            Call::Snapshot => Result::Snapshot,
            Call::Resume
            | Call::WarmUp
            | Call::Serve(_)
            | Call::Confirm
            | Call::WatchProbation(..)
            | Call::AdoptListeners
            | Call::Release
            | Call::Bind
            | Call::Stage
            | Call::Publish
            | Call::Kill(_)
            | Call::WriteJournal(_)
            | Call::ClearJournal => Result::Done,
        }
    }

    /// Connections that a process has not accepted yet.
    fn backlog(&self, at: usize) -> usize {
        let waits = |conn: &&Conn| conn.ends[0] == at && conn.open[0] && !conn.known[0];
        self.conns.iter().filter(waits).count()
    }

    fn next_pid(&self) -> u32 {
        super::PIDS + u32::try_from(self.processes.len()).expect("few processes")
    }

    fn can_take(&self, at: usize) -> bool {
        self.lock.is_none_or(|holder| holder == at) || self.without(Mutation::OpenLock)
    }

    /// An operation takes effect.
    pub(crate) fn effect(&mut self, at: usize, call: Call, result: Result) {
        match (call, result) {
            (Call::Seal, Result::Sealed) => self.processes[at].writer = false,
            (Call::Resume, Result::Done) => self.acknowledges(at),
            (Call::AdoptListeners, Result::Done) => self.processes[at].listeners = true,
            (Call::Release, Result::Done) if self.lock == Some(at) => self.lock = None,
            (Call::TryLock, Result::Taken) => self.lock = Some(at),
            (Call::TryLock, Result::Held) => {
                self.processes[at].met |= self.lock.is_some_and(|holder| self.lives(holder));
            }
            (Call::Inspect, Result::Theirs) => {
                self.processes[at].met |= self.path.is_some_and(|owner| self.lives(owner));
            }
            (Call::Bind, Result::Done) => self.path = Some(at),
            (Call::Stage, Result::Done) => self.processes[at].staged = true,
            (Call::Publish, Result::Done) => {
                self.processes[at].staged = false;
                self.path = Some(at);
            }
            (Call::Connect, Result::Linked { pid, .. }) => {
                let owner = self.by_pid(pid).expect("it listens");
                self.connect([owner, at], [false, false]);
            }
            (Call::Spawn, Result::Linked { conn, .. }) => {
                let child = self.spawn("N", Body::Idle);
                self.processes[child].published = self.setup.v1_successor;
                self.processes[child].listeners = true;
                self.connect([at, child], [false, true]);
                self.become_successor(child, conn);
            }
            (Call::ColdStart, Result::Started(_)) => {
                let child = self.spawn("C", Body::Idle);
                self.lock = Some(child);
                self.path = Some(child);
                self.processes[at].listeners = true;
                self.processes[child].listeners = true;
                self.begin_service(child);
                self.become_incumbent(child, true, false);
            }
            (Call::Kill(pid), Result::Done) => {
                if let Some(target) = self.by_pid(pid).filter(|target| self.lives(*target)) {
                    // A daemon that misses its deadline is at fault, and its supervisor is told to kill it.
                    self.faults += u8::from(self.processes[target].name == "O");
                    self.exit(target);
                    self.deserted |= self.processes[at].pending.iter().any(|op| op.rash);
                }
            }
            (Call::WriteJournal(entry), Result::Done) => self.journal = Some(entry),
            (Call::ClearJournal, Result::Done) => self.journal = None,
            _ => {}
        }
    }

    /// Whether what came of an operation can be reported yet: a kill is done when the process is
    /// gone for good.
    pub(crate) fn reportable(&self, call: Call, result: Result) -> bool {
        match call {
            Call::Kill(pid) if result == Result::Done => self
                .by_pid(pid)
                .is_none_or(|target| self.processes[target].life == Life::Dead),
            _ => true,
        }
    }
}
