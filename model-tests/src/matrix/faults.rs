//! What goes wrong in a row: signals at a phase or at a moment, resources that run out, and clients
//! of the control path.

use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use handoff_core::supervisor::Phase;
use handoff_std::Process;
use handoff_std::host::Signal;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::case::{Case, Fault, Place, Victim};
use super::peers::Peers;
use super::play::{Play, RECOVERY};

/// How long the hooks of a daemon take that is handed over in a row, as arguments.
const SLOW: [&str; 2] = ["--open-delay-ms", "200"];
/// How long after a phase was entered its middle is.
const MIDDLE: Duration = Duration::from_millis(80);
/// How long a process is frozen that must not be taken for dead.
const HICCUP: Duration = Duration::from_millis(250);
/// How long a process is frozen that thaws again. Longer than the (scaled) time after which a
/// silent peer counts as dead.
const FREEZE: Duration = Duration::from_millis(1500);
/// How long a client that prepares a handoff and then is silent says that it takes.
const SILENCE: Duration = Duration::from_secs(1);

impl Play<'_> {
    /// Does what the row is about, up to the end of the handoff. Returns when the fault happened.
    pub(super) fn fault(&mut self) -> anyhow::Result<Instant> {
        match self.case {
            Case::Fault(fault, victim, Place::Moment(moment)) => {
                self.strike_at(fault, victim, moment)
            }
            Case::Fault(fault, victim, place) => self.strike(fault, victim, place),
            Case::TwoKills(victims, place) => self.kill_two(victims, place),
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
        }
    }

    fn strike(&mut self, fault: Fault, victim: Victim, place: Place) -> anyhow::Result<Instant> {
        self.come_to(place)?;
        let process = self.process(victim)?;
        self.get_into(place)?;
        let at = Instant::now();
        let signal = match fault {
            Fault::Kill | Fault::KillUnattended => Signal::KILL,
            Fault::Hiccup | Fault::Freeze | Fault::FreezeForGood => Signal::STOP,
        };
        let frozen = match fault {
            Fault::Hiccup => HICCUP,
            _ => FREEZE,
        };
        ensure!(process.kill(signal)?, "the {victim} was dead already");
        match (fault, victim) {
            (Fault::Kill, Victim::Supervisor) => self.restart_supervisor()?,
            (Fault::KillUnattended, _) => {
                self.await_write()?;
                self.restart_supervisor()?;
            }
            (Fault::FreezeForGood, _) => {
                self.await_write()?;
                process.kill(Signal::KILL)?;
                self.restart_supervisor()?;
            }
            (Fault::Hiccup | Fault::Freeze, Victim::Supervisor) => {
                thread::sleep(frozen);
                process.kill(Signal::CONT)?;
                self.go_on(place)?;
            }
            (Fault::Hiccup | Fault::Freeze, _) => {
                let thaw = thread::spawn(move || {
                    thread::sleep(frozen);
                    // Whether it is alive still is the protocol's business.
                    process.kill(Signal::CONT)
                });
                self.go_on(place)?;
                thaw.join().ok().context("the thaw failed")??;
            }
            (Fault::Kill, _) => {
                ensure!(process.wait_dead(RECOVERY), "the {victim} does not die");
                self.go_on(place)?;
            }
        }
        ensure!(
            fault != Fault::Hiccup || ["", "committed"].contains(&&*self.findings.outcome),
            "slow was taken for dead"
        );
        Ok(at)
    }

    /// Begins a handoff and comes to where a phase is entered.
    fn come_to(&mut self, place: Place) -> anyhow::Result<()> {
        let order: Vec<_> = ["handoff", "new"].into_iter().chain(SLOW).collect();
        match place {
            Place::Idle | Place::Moment(_) => Ok(()),
            Place::Entry(phase) | Place::Middle(phase) => {
                self.supervisor.order(&order)?;
                self.supervisor.reach(phase)
            }
            Place::After => {
                let ended = self.supervisor.perform(&order)?;
                ensure!(ended.kind == "committed", "no handoff: {}", ended.text());
                Ok(())
            }
        }
    }

    /// Gets from where a phase is entered to the middle of it, if that is the place.
    fn get_into(&mut self, place: Place) -> anyhow::Result<()> {
        if let Place::Middle(_) = place {
            self.supervisor.go()?;
            thread::sleep(MIDDLE);
        }
        Ok(())
    }

    fn kill_two(&mut self, victims: [Victim; 2], place: Place) -> anyhow::Result<Instant> {
        self.come_to(place)?;
        let [first, second] = victims;
        let processes = [self.process(first)?, self.process(second)?];
        self.get_into(place)?;
        let at = Instant::now();
        for process in processes {
            ensure!(process.kill(Signal::KILL)?, "{process:?} was dead already");
        }
        for process in processes {
            ensure!(process.wait_dead(RECOVERY), "{process:?} does not die");
        }
        if victims.contains(&Victim::Supervisor) {
            self.restart_supervisor()?;
        } else {
            self.go_on(place)?;
        }
        Ok(at)
    }

    /// Strikes at a moment that nobody waits for: the supervisor goes on meanwhile.
    fn strike_at(
        &mut self,
        fault: Fault,
        victim: Victim,
        moment: Duration,
    ) -> anyhow::Result<Instant> {
        self.supervisor.order(&["handoff", "new"])?;
        self.supervisor.reach(Phase::Sealing)?;
        let process = self.process(victim)?;
        let at = Instant::now();
        let striking = thread::spawn(move || {
            thread::sleep(moment);
            // A process that has ended by then is not hit, and the handoff is one like others.
            if fault == Fault::Kill {
                return process.kill(Signal::KILL);
            }
            process.kill(Signal::STOP)?;
            thread::sleep(FREEZE);
            process.kill(Signal::CONT)
        });
        self.supervisor.go()?;
        let ended = self.supervisor.finish();
        striking.join().ok().context("the signal failed")??;
        if (fault, victim) == (Fault::Kill, Victim::Supervisor) {
            self.restart_supervisor()?;
        } else {
            self.note(&ended?);
        }
        Ok(at)
    }

    fn process(&self, victim: Victim) -> anyhow::Result<Process> {
        match victim {
            Victim::Supervisor => Ok(self.supervisor.process),
            Victim::Incumbent => Ok(self.incumbent),
            Victim::Successor => self.world.daemon("new"),
        }
    }

    /// Goes on with a handoff that a fault interrupted, to its end.
    fn go_on(&mut self, place: Place) -> anyhow::Result<()> {
        match place {
            Place::Idle | Place::After | Place::Moment(_) => return Ok(()),
            Place::Entry(_) => self.supervisor.go()?,
            Place::Middle(_) => {}
        }
        let ended = self.supervisor.finish()?;
        self.note(&ended);
        Ok(())
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
        std::fs::remove_file(&fill)?;
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
        let address = self.world.address()?;
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
