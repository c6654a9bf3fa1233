//! What must hold after a fault: the listener is where it was, the next handoffs work, nothing that was
//! acknowledged is lost, nothing is left behind, and nobody served again after a successor of his had
//! been told that nobody could.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use handoff_supervisor::load::Acked;

use super::play::{Play, RECOVERY};
use super::remote::Ended;
use super::world::{check_descriptors, descriptors};

/// What an incumbent says that is on probation itself.
const ON_PROBATION: &str = "not committed yet";
/// The pause between two handoffs that it refuses.
const PAUSE: Duration = Duration::from_millis(100);

impl Play<'_> {
    /// The right one serves, and all have their listener. No clients are connected.
    pub(super) fn check_scene(&self) -> anyhow::Result<()> {
        let server = self.world.server()?;
        let afresh = self.findings.outcome.contains("started afresh");
        ensure!(
            !afresh || self.case.spares_a_daemon() != Some(true),
            "a daemon was started, though one was left to serve"
        );
        ensure!(
            server == self.incumbent || !self.case.brings_incumbent_back(),
            "the incumbent is not back, pid {} serves",
            server.pid
        );
        if server == self.incumbent {
            // Whatever the fault opened has to be closed again.
            check_descriptors(server, self.descriptors)?;
        }
        if !self.case.closes_listener() {
            self.world.check_listener(server)?;
            self.world.check_listener(self.supervisor.process)?;
        }
        Ok(())
    }

    /// The next handoff works, nothing is lost and nothing is left.
    pub(super) fn conclude(mut self, first: &Acked) -> anyhow::Result<()> {
        self.begin_load("second")?;
        let ended = self.hand_over(&["handoff", "next", "--probation-ms", "30"])?;
        self.findings.next = ended.text();
        ensure!(ended.kind == "committed", "the next handoff did not work");
        self.await_write()?;
        let second = self.end_load()?;

        let next = self.world.server()?;
        let before = descriptors(next)?;
        let supervisor = descriptors(self.supervisor.process)?;
        let ended = self.hand_over(&["handoff", "last"])?;
        ensure!(
            ended.kind == "committed",
            "the last handoff: {}",
            ended.text()
        );
        self.world.check_committed()?;
        let last = self.world.server()?;
        check_descriptors(last, before)?;
        check_descriptors(self.supervisor.process, supervisor)?;

        self.findings.acknowledged = first.count() + second.count();
        let mut missing = 0;
        let mut examples = Vec::new();
        for acked in [first, &second] {
            let verified = acked.verify(self.world.address())?;
            missing += verified.lost;
            examples.extend(verified.examples);
        }
        self.findings.lost = Some(missing);
        ensure!(missing == 0, "lost: {}", examples.join(" "));
        self.world
            .check_leftovers(&[self.supervisor.process, last])?;
        check_hooks(&self.world.hooks()?)
    }

    /// Hands over. A daemon that has lost its supervisor may still count on the one before it.
    fn hand_over(&mut self, order: &[&str]) -> anyhow::Result<Ended> {
        let until = Instant::now() + RECOVERY;
        loop {
            let ended = self.supervisor.perform(order)?;
            if !ended.detail.contains(ON_PROBATION) || Instant::now() >= until {
                return Ok(ended);
            }
            thread::sleep(PAUSE);
        }
    }
}

/// No process has come back to serve once a younger one was told that nobody could; and each was told once.
fn check_hooks(hooks: &[(u32, String)]) -> anyhow::Result<()> {
    let age = |pid: u32| {
        let born = |(other, hook): &(u32, String)| *other == pid && hook == "born";
        hooks.iter().position(born)
    };
    let mut youngest = None;
    for line in hooks {
        let (pid, hook) = line;
        match &**hook {
            "committed" => {
                let times = hooks.iter().filter(|other| *other == line).count();
                ensure!(
                    times == 1,
                    "pid {pid} was committed {times} times: {hooks:?}"
                );
                youngest = youngest.max(age(*pid));
            }
            "resume" => ensure!(
                age(*pid) >= youngest,
                "pid {pid} came back, though a younger process was committed: {hooks:?}"
            ),
            "born" => {}
            _ => bail!("an unknown hook: {hook}"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hooks: &[(u32, &str)]) -> bool {
        let hooks: Vec<_> = hooks
            .iter()
            .map(|(pid, hook)| (*pid, (*hook).to_owned()))
            .collect();
        check_hooks(&hooks).is_ok()
    }

    #[test]
    fn who_was_replaced_for_good_may_not_come_back() {
        let start = [(7, "born"), (7, "committed"), (5, "born")];
        let with = |more: &[(u32, &str)]| check(&[&start[..], more].concat());
        assert!(with(&[(7, "resume"), (5, "committed")]));
        assert!(with(&[(5, "committed"), (5, "resume")]));
        assert!(!with(&[(5, "committed"), (7, "resume")]));
        assert!(!with(&[(5, "committed"), (5, "committed")]));
    }
}
