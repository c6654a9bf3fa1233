//! One row, played: a daemon under load, a handoff, the fault, and what came of it.

use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use handoff_core::supervisor::Phase;
use handoff_std::Process;
use handoff_std::host::Signal;
use handoff_supervisor::load::{Acked, Load, LoadConfig};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use super::case::{Case, Fault, Place, Victim};
use super::peers::Peers;
use super::remote::{Ended, Remote};
use super::world::{World, check_descriptors, descriptors};

/// How long the hooks of a daemon take that is handed over in a row, as arguments.
const SLOW: [&str; 2] = ["--open-delay-ms", "200"];
/// How long the load runs before a handoff.
const LEAD: Duration = Duration::from_millis(150);
/// How long after a phase was entered its middle is.
const MIDDLE: Duration = Duration::from_millis(80);
/// How long a process is frozen that thaws again. Longer than the (scaled) time after which a
/// silent peer counts as dead.
const FREEZE: Duration = Duration::from_millis(1500);
/// How soon after the fault somebody has to serve.
const RECOVERY: Duration = Duration::from_secs(15);
/// How long a client that prepares a handoff and then is silent says that it takes.
const SILENCE: Duration = Duration::from_secs(1);

/// What came of a row.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// How the handoff with the fault ended, and what was found afterwards.
    pub outcome: String,
    /// The longest time without an acknowledged write, from the fault on.
    pub pause: Option<Duration>,
    /// Acknowledged writes.
    pub acknowledged: u64,
    /// Acknowledged writes that were not found, or not found again, in the end.
    pub lost: Option<u64>,
    /// How the handoff after that ended.
    pub next: String,
}

/// A row under way.
struct Play<'a> {
    case: Case,
    world: World,
    supervisor: Remote,
    load: Load,
    /// The daemon at the beginning.
    incumbent: Process,
    /// How many descriptors it had open without clients.
    descriptors: usize,
    findings: &'a mut Findings,
}

/// Plays a row with processes of this binary.
///
/// # Errors
/// Says what is not as it should be.
pub(super) fn play(case: Case, binary: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    let world = World::new(binary)?;
    let mut supervisor = match case {
        Case::FullDisk => world.supervisor_on_small_disk()?,
        _ => world.supervisor()?,
    };
    let ended = supervisor.perform(&["recover"])?;
    ensure!(ended.kind == "started afresh", "no start: {}", ended.text());
    if let Case::Fault(_, _, Place::Moment(_)) = case {
        // To an incumbent whose hooks are quick.
        let ended = supervisor.perform(&["handoff", "quick"])?;
        ensure!(ended.kind == "committed", "no handoff: {}", ended.text());
    }
    let incumbent = world.server()?;
    let descriptors = descriptors(incumbent)?;
    let load = load(&world, "first")?;
    let mut play = Play {
        case,
        world,
        supervisor,
        load,
        incumbent,
        descriptors,
        findings,
    };
    play.await_write()?;
    thread::sleep(LEAD);

    let fault = play.fault()?;
    play.settle()?;
    play.await_write()?;
    let pause = play.load.write_pause(fault, Instant::now());
    play.findings.pause = Some(pause);
    ensure!(pause <= RECOVERY, "nobody served for {pause:?}");
    let next = load_again(&mut play)?;
    if play.world.server()? == play.incumbent {
        // No clients are left; whatever the fault opened has to be closed again.
        check_descriptors(play.incumbent, play.descriptors)?;
    }
    play.conclude(&next)
}

fn load(world: &World, prefix: &str) -> anyhow::Result<Load> {
    let config = LoadConfig {
        persistent: 2,
        churn: 1,
        key_prefix: prefix.into(),
        think_time: Duration::from_millis(5),
        ..LoadConfig::default()
    };
    Ok(Load::start(world.address()?, &config)?)
}

/// Ends the first load, and says what it got acknowledged.
fn load_again(play: &mut Play<'_>) -> anyhow::Result<Acked> {
    let counters = play.load.counters();
    ensure!(
        counters.refused == 0,
        "{} connections were refused",
        counters.refused
    );
    ensure!(
        counters.lost == 0,
        "{} reads missed what was acknowledged",
        counters.lost
    );
    // An idle load takes its place until the next handoff.
    let idle = LoadConfig {
        persistent: 0,
        churn: 0,
        ..LoadConfig::default()
    };
    let idle = Load::start(play.world.address()?, &idle)?;
    Ok(std::mem::replace(&mut play.load, idle).stop())
}

impl Play<'_> {
    /// Does what the row is about, up to the end of the handoff. Returns when the fault happened.
    fn fault(&mut self) -> anyhow::Result<Instant> {
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
            Fault::Freeze | Fault::FreezeForGood => Signal::STOP,
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
            (Fault::Freeze, Victim::Supervisor) => {
                thread::sleep(FREEZE);
                process.kill(Signal::CONT)?;
                self.go_on(place)?;
            }
            (Fault::Freeze, _) => {
                let thaw = thread::spawn(move || {
                    thread::sleep(FREEZE);
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

    /// A killed supervisor is started again, as a service manager would.
    fn restart_supervisor(&mut self) -> anyhow::Result<()> {
        ensure!(
            self.supervisor.process.wait_dead(RECOVERY),
            "the supervisor does not die"
        );
        self.supervisor = self.world.supervisor()?;
        Ok(())
    }

    /// Looks around until somebody is found or started.
    fn settle(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + RECOVERY;
        loop {
            let ended = self.supervisor.perform(&["recover"])?;
            self.note(&ended);
            if ["found", "started afresh"].contains(&ended.kind.as_str()) {
                return Ok(());
            }
            ensure!(Instant::now() < until, "no recovery: {}", ended.text());
        }
    }

    /// Waits until a write is acknowledged.
    fn await_write(&self) -> anyhow::Result<()> {
        let before = self.load.counters().writes;
        let until = Instant::now() + RECOVERY;
        while self.load.counters().writes == before {
            if Instant::now() >= until {
                let failure = self.load.last_failure().unwrap_or_default();
                bail!("no write was acknowledged for {RECOVERY:?}: {failure}");
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn note(&mut self, ended: &Ended) {
        let outcome = &mut self.findings.outcome;
        if !outcome.is_empty() {
            outcome.push_str("; ");
        }
        outcome.push_str(&ended.text());
    }

    /// The next handoff works, nothing is lost and nothing is left.
    fn conclude(mut self, first: &Acked) -> anyhow::Result<()> {
        self.load = load(&self.world, "second")?;
        self.await_write()?;
        thread::sleep(LEAD);
        let ended = self.supervisor.perform(&["handoff", "next"])?;
        self.findings.next = ended.text();
        ensure!(ended.kind == "committed", "the next handoff did not work");
        self.await_write()?;
        let second = load_again(&mut self)?;

        let next = self.world.server()?;
        let before = descriptors(next)?;
        let ended = self.supervisor.perform(&["handoff", "last"])?;
        ensure!(
            ended.kind == "committed",
            "the last handoff: {}",
            ended.text()
        );
        let last = self.world.server()?;
        check_descriptors(last, before)?;

        self.findings.acknowledged = first.count() + second.count();
        let mut missing = 0;
        let mut examples = Vec::new();
        for acked in [first, &second] {
            let verified = acked.verify(self.world.address()?)?;
            missing += verified.lost;
            examples.extend(verified.examples);
        }
        self.findings.lost = Some(missing);
        ensure!(missing == 0, "lost: {}", examples.join(" "));
        self.world.check_leftovers(&[self.supervisor.process, last])
    }
}
