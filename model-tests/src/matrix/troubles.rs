//! What goes wrong in a row without a signal at a phase: hooks, health checks, listeners, resources, and
//! clients of the control path.

use std::fs::{self, File};
use std::io;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use handoff_core::supervisor::Phase;
use handoff_std::host::Signal;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::case::{Case, Check, Hook, Victim};
use super::peers::Peers;
use super::play::{Play, RECOVERY};

/// How long into a probation its health check begins to fail.
const WELL: Duration = Duration::from_millis(120);
/// The same, as an argument.
const WELL_MS: &str = "120";
/// How long a client that prepares a handoff and then is silent says that it takes.
const SILENCE: Duration = Duration::from_secs(1);
/// Longer than anything that is waited for here, in seconds.
const FOREVER: &str = "60";
/// The same in milliseconds.
const FOREVER_MS: &str = "60000";

impl Hook {
    /// What a successor is told, and the supervisor.
    fn of_successor(self) -> &'static [&'static str] {
        match self {
            Self::WarmUpFails => &["--", "--fail", "warm-up"],
            Self::WarmUpHangs => &["--warm-up-ms", "500", "--", "--warmup-ms", FOREVER_MS],
            Self::WarmUpDies => &["--", "--die-in-warm-up"],
            Self::OpenFails => &["--", "--fail", "open"],
            Self::OpenHangs => &["--deadline-ms", "800", "--", "--open-delay-ms", FOREVER_MS],
            // Sooner than the deadline of it all, at which the incumbent gives up by itself.
            Self::DrainHangs => &["--drain-grace-ms", "800"],
            Self::DrainHangsUntilKilled => &["--drain-grace-ms", "800", "--kill-stuck"],
            Self::DrainFails | Self::DrainPanics | Self::SealFails | Self::SealPanics => &[],
        }
    }

    /// What an incumbent is told, if it is its hook.
    pub(super) fn of_incumbent(self) -> Option<Vec<&'static str>> {
        match self {
            Self::WarmUpFails
            | Self::WarmUpHangs
            | Self::WarmUpDies
            | Self::OpenFails
            | Self::OpenHangs => None,
            Self::DrainFails => Some(vec!["--fail", "drain"]),
            Self::DrainPanics => Some(vec!["--panic", "drain"]),
            Self::DrainHangs | Self::DrainHangsUntilKilled => Some(vec!["--ignore-drain-deadline"]),
            Self::SealFails => Some(vec!["--fail", "seal"]),
            Self::SealPanics => Some(vec!["--panic", "seal"]),
        }
    }
}

impl Play<'_> {
    /// Does what the row is about, up to the end of the handoff. Returns when it happened.
    pub(super) fn trouble(&mut self) -> anyhow::Result<Instant> {
        match self.case {
            Case::Check(check) => self.check_health(check),
            Case::Hook(hook) => self.break_hook(hook),
            Case::ListenerWithheld => self.withhold_listener(),
            Case::FullDisk => self.full_disk(),
            Case::NoDescriptors => self.no_descriptors(),
            Case::SilentAfterAck => {
                let peers = Peers::silent_after_ack(&self.world.files().control)?;
                self.hand_over_beside(peers)
            }
            Case::Hostile => {
                let peers = Peers::hostile(&self.world.files().control)?;
                self.hand_over_beside(peers)
            }
            Case::SilentAfterPrepare => {
                let at = Instant::now();
                let peers = Peers::silent_after_prepare(&self.world.files().control, SILENCE)?;
                let ended = self.supervisor.perform(&["handoff", "new"])?;
                self.note(&ended);
                // It is there until somebody serves again.
                self.await_write()?;
                drop(peers);
                Ok(at)
            }
            Case::Fault(..)
            | Case::OldFault(..)
            | Case::TwoKills(..)
            | Case::KillBeside(..)
            | Case::Rollback(_) => bail!("not a trouble of its own"),
        }
    }

    /// A handoff with a health check, up to its end; it is rolled back unless the check passes.
    fn check_health(&mut self, check: Check) -> anyhow::Result<Instant> {
        let (address, vanishing) = (self.world.address().to_string(), self.world.files().check);
        let binary = self.world.binary().to_string_lossy().into_owned();
        let ask = ["kvd", "check", &address];
        let (program, arguments): (&str, &[&str]) = match check {
            Check::Passes | Check::Sick | Check::Frozen => (&binary, &ask),
            Check::Fails => ("false", &[]),
            Check::Hangs => ("sleep", &[FOREVER]),
            Check::Missing => ("/nowhere/to/be/found", &[]),
            Check::Vanishes => {
                symlink("/bin/true", &vanishing)?;
                (vanishing.to_str().context("an odd directory")?, &[])
            }
        };
        let probation_ms = if check == Check::Passes {
            "300"
        } else {
            "5000"
        };
        let mut order = vec!["handoff", "new", "--probation-ms", probation_ms];
        order.extend(["--check", program]);
        for argument in arguments {
            order.extend(["--check-arg", argument]);
        }
        if check == Check::Sick {
            order.extend(["--", "--sick-after-ms", WELL_MS]);
        }
        let at = Instant::now();
        self.supervisor.order(&order)?;
        if matches!(check, Check::Frozen | Check::Vanishes) {
            self.supervisor.reach(Phase::Probation)?;
            self.supervisor.go()?;
            thread::sleep(WELL);
            if check == Check::Frozen {
                self.process(Victim::Successor)?.kill(Signal::STOP)?;
            } else {
                fs::remove_file(&vanishing)?;
            }
        }
        let ended = self.supervisor.finish()?;
        self.note(&ended);
        if check == Check::Passes {
            ensure!(ended.kind == "committed", "not committed: {}", ended.text());
        } else {
            self.check_rolled_back()?;
        }
        Ok(at)
    }

    /// A handoff in which a hook goes wrong is rolled back, or the incumbent killed. An incumbent whose hook it is, is not to be
    /// handed over ever, so it is replaced otherwise.
    fn break_hook(&mut self, hook: Hook) -> anyhow::Result<Instant> {
        let at = Instant::now();
        let mut order = vec!["handoff", "new"];
        order.extend(hook.of_successor());
        let ended = self.supervisor.perform(&order)?;
        self.note(&ended);
        if hook == Hook::DrainHangsUntilKilled {
            ensure!(ended.kind == "committed", "not committed: {}", ended.text());
            return Ok(at);
        }
        self.check_rolled_back()?;
        if hook.of_incumbent().is_some() {
            self.await_write()?;
            // For one that starts another daemon than it handed over to.
            self.supervisor.process.kill(Signal::KILL)?;
            self.restart_supervisor()?;
            self.settle()?;
            self.incumbent.kill(Signal::KILL)?;
            ensure!(self.incumbent.wait_dead(RECOVERY), "it does not die");
        }
        Ok(at)
    }

    /// The supervisor is started again, and cannot have its listener until the daemon is dead.
    fn withhold_listener(&mut self) -> anyhow::Result<Instant> {
        let at = Instant::now();
        self.supervisor.process.kill(Signal::KILL)?;
        self.restart_supervisor()?;
        let ended = self.supervisor.perform(&["recover"])?;
        self.note(&ended);
        ensure!(
            ended.kind == "listener missing",
            "a daemon of version 1 gave its listener back"
        );
        self.await_write()?;
        self.incumbent.kill(Signal::KILL)?;
        ensure!(self.incumbent.wait_dead(RECOVERY), "it does not die");
        Ok(at)
    }

    /// A handoff beside clients that must not keep it from working.
    fn hand_over_beside(&mut self, peers: Peers) -> anyhow::Result<Instant> {
        let at = Instant::now();
        let ended = self.supervisor.perform(&["handoff", "new"])?;
        drop(peers);
        self.note(&ended);
        ensure!(
            ended.kind == "committed",
            "the handoff was kept from working"
        );
        Ok(at)
    }

    fn full_disk(&mut self) -> anyhow::Result<Instant> {
        // Its filesystem is the supervisor's and the daemons' alone.
        let root = format!("/proc/{}/root", self.supervisor.process.pid);
        let data = self.world.files().data;
        let fill = Path::new(&root).join(data.strip_prefix("/")?).join("fill");
        let filled = io::copy(
            &mut io::repeat(0),
            &mut File::create(&fill).context("cannot fill up the disk")?,
        );
        ensure!(filled.is_err(), "the disk does not get full");
        let ended = self.supervisor.perform(&["handoff", "new"])?;
        self.note(&ended);
        fs::remove_file(&fill)?;
        Ok(Instant::now())
    }

    fn no_descriptors(&mut self) -> anyhow::Result<Instant> {
        let pid = Pid::from_raw(self.incumbent.pid.try_into()?);
        // With clients it has more open than it may, so that every one it closes is missed.
        let lowered = Rlimit {
            current: Some(self.descriptors.try_into()?),
            // Inherited from us; to lower and raise it again takes privileges.
            ..getrlimit(Resource::Nofile)
        };
        let old = prlimit(pid, Resource::Nofile, lowered)?;
        let address = self.world.address();
        let idle: Vec<_> = (0..8).map(|_| TcpStream::connect(address)).collect();
        let at = Instant::now();
        let ended = self.supervisor.perform(&["handoff", "new"])?;
        self.note(&ended);
        drop(idle);
        // Not there any more if it was replaced after all.
        let _ = prlimit(pid, Resource::Nofile, old);
        Ok(at)
    }
}
