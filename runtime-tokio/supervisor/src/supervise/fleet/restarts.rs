//! Whether and when a service is started again that has ended.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::daemon::End;
use super::backoff::Backoff;
use crate::config::{CrashLoop, Restart, RestartPolicy};

/// What the configuration says of it, and what has happened so far.
pub(super) struct Restarts {
    policy: RestartPolicy,
    backoff: Backoff,
    limit: Option<CrashLoop>,
    /// The latest starts, as many as the limit needs.
    starts: VecDeque<Instant>,
}

impl Restarts {
    pub(super) const fn new(restart: &Restart) -> Self {
        Self {
            policy: restart.policy,
            backoff: Backoff::new(restart),
            limit: restart.crash_loop,
            starts: VecDeque::new(),
        }
    }

    /// The configuration says something else from now on. What has happened so far still counts.
    pub(super) fn renew(&mut self, restart: &Restart) {
        let starts = std::mem::take(&mut self.starts);
        *self = Self {
            starts,
            ..Self::new(restart)
        };
    }

    /// A daemon has ended that lived for so long. If it is not to be started again: why.
    pub(super) fn ended(&mut self, end: &End, lived: Duration) -> Option<String> {
        self.backoff.ended(lived);
        let well = matches!(end, End::Reaped(status) if status.success());
        let never = match self.policy {
            RestartPolicy::Always => false,
            RestartPolicy::OnFailure => well,
            RestartPolicy::Never => true,
        };
        never.then(|| format!("it has ended ({end}), and its restart policy lets it be"))
    }

    /// The daemon was started, or that was tried.
    pub(super) fn started(&mut self, now: Instant) {
        if let Some(limit) = self.limit {
            self.starts.push_back(now);
            let kept = usize::try_from(limit.max_starts).unwrap_or(usize::MAX);
            while self.starts.len() > kept {
                self.starts.pop_front();
            }
        }
    }

    /// The pause before the next start; or why there is none: it has been started too often.
    pub(super) fn pause(&mut self, now: Instant) -> Result<Duration, String> {
        let pause = self.backoff.pause();
        let Some(CrashLoop { max_starts, within }) = self.limit else {
            return Ok(pause);
        };
        let recent = |at: &&Instant| now.saturating_duration_since(**at) < within;
        let count = self.starts.iter().filter(recent).count();
        if count >= usize::try_from(max_starts).unwrap_or(usize::MAX) {
            let within = humantime::format_duration(within);
            return Err(format!("it was started {count} times within {within}"));
        }
        Ok(pause)
    }

    /// Somebody wants it started, whatever came before.
    pub(super) fn forgive(&mut self) {
        self.starts.clear();
        self.backoff.ended(Duration::MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn restarts(policy: RestartPolicy, max_starts: u32) -> Restarts {
        let within = Duration::from_mins(1);
        Restarts::new(&Restart {
            policy,
            crash_loop: Some(CrashLoop { max_starts, within }),
            ..Restart::default()
        })
    }

    #[test]
    fn a_policy_looks_at_how_it_ended() {
        let (well, ill) = (ExitStatus::from_raw(0), ExitStatus::from_raw(9));
        let rests = |policy, end| {
            let mut restarts = restarts(policy, 1);
            restarts.ended(&end, Duration::ZERO).is_some()
        };
        assert!(!rests(RestartPolicy::Always, End::Reaped(well)));
        assert!(rests(RestartPolicy::OnFailure, End::Reaped(well)));
        assert!(!rests(RestartPolicy::OnFailure, End::Reaped(ill)));
        assert!(!rests(RestartPolicy::OnFailure, End::Unknown));
        assert!(rests(RestartPolicy::Never, End::Reaped(ill)));
    }

    #[test]
    fn so_many_starts_are_let_be_in_such_a_time() {
        let mut restarts = restarts(RestartPolicy::Always, 2);
        let now = Instant::now();
        restarts.started(now);
        assert!(restarts.pause(now).is_ok());
        restarts.started(now);
        assert!(restarts.pause(now).is_err());
        assert!(restarts.pause(now + Duration::from_mins(1)).is_ok());
        restarts.forgive();
        assert_eq!(restarts.pause(now), Ok(Duration::from_millis(100)));
    }
}
