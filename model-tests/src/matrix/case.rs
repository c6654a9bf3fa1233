//! What can be done to a handoff, and where: one row of the matrix.

use std::fmt;
use std::time::Duration;

use handoff_core::supervisor::Phase;

/// What is done to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL. A supervisor is started again at once.
    Kill,
    /// SIGKILL, and a supervisor is started again once the others have come to terms with it.
    KillUnattended,
    /// SIGSTOP, and SIGCONT so soon that nobody may take the process for dead.
    Hiccup,
    /// SIGSTOP, and SIGCONT when the others take the process for dead.
    Freeze,
    /// SIGSTOP, and SIGKILL once the others have come to terms with it.
    FreezeForGood,
}

/// The process that it is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Victim {
    /// The supervisor.
    Supervisor,
    /// The daemon that serves when the handoff begins.
    Incumbent,
    /// The daemon that is to take over.
    Successor,
}

/// What the daemons of a row are built on. Its supervisors are always of handoff-std.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Runtime {
    /// handoff-std, on threads.
    #[default]
    Std,
    /// handoff-tokio, on a tokio runtime.
    Tokio,
    /// handoff-mio, on one thread.
    Mio,
}

/// When it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before any handoff.
    Idle,
    /// As the supervisor enters the phase, before it has sent anything in it.
    Entry(Phase),
    /// While a hook runs, or a probation, in that phase.
    Middle(Phase),
    /// So long after the supervisor entered the phase, in a handoff without delays.
    Moment(Phase, Duration),
    /// While the incumbent, asked to drain, still waits for its own committed hook.
    Waiting,
    /// After the handoff, in the successor's committed hook.
    Hook,
    /// After the handoff.
    After,
}

/// What the health check of a probation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// It asks the daemon, which is well.
    Passes,
    /// It asks the daemon, which falls ill.
    Sick,
    /// It asks the daemon, which is frozen.
    Frozen,
    /// It fails.
    Fails,
    /// It does not end.
    Hangs,
    /// There is no such program.
    Missing,
    /// The program is removed during the probation.
    Vanishes,
}

/// A hook that does not do what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// The successor cannot warm up.
    WarmUpFails,
    /// The successor does not end warming up.
    WarmUpHangs,
    /// The successor dies of it.
    WarmUpDies,
    /// The successor cannot open the data.
    OpenFails,
    /// The successor does not end opening the data.
    OpenHangs,
    /// The incumbent cannot drain.
    DrainFails,
    /// Drain panics.
    DrainPanics,
    /// Drain heeds no deadline.
    DrainHangs,
    /// The same, and the supervisor is to kill whoever does that.
    DrainHangsUntilKilled,
    /// The incumbent cannot seal.
    SealFails,
    /// Seal panics.
    SealPanics,
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// A fault of one process.
    Fault(Fault, Victim, Place),
    /// The same, where the first one speaks version 1 alone.
    OldFault(Victim, Fault, Victim, Place),
    /// Two processes are killed, one right after the other.
    TwoKills([Victim; 2], Place),
    /// The supervisor is killed, and started again, while this one is frozen; it thaws later, or never.
    KillBeside(Fault, Victim, Place),
    /// An operator wants the successor back.
    Rollback(Place),
    /// A handoff with a health check.
    Check(Check),
    /// A handoff with a hook that goes wrong.
    Hook(Hook),
    /// The supervisor is started again, and the incumbent speaks version 1: it does not give the
    /// listener back, which can only be bound once it is dead.
    ListenerWithheld,
    /// The filesystem of the data is full during a handoff.
    FullDisk,
    /// The incumbent has no descriptors left during a handoff.
    NoDescriptors,
    /// A client of the control path says `HelloAck` and nothing more.
    SilentAfterAck,
    /// A client of the control path says `PrepareHandoff` and nothing more.
    SilentAfterPrepare,
    /// Clients of the control path send garbage, drip, and crowd.
    Hostile,
}

impl Case {
    /// What is done.
    pub fn fault(&self) -> String {
        match self {
            Self::Fault(fault, victim, _) => format!("{fault} {victim}"),
            Self::OldFault(old, fault, victim, _) => format!("{fault} {victim} (v1: {old})"),
            Self::TwoKills([first, second], _) => format!("kill {first}, {second}"),
            Self::KillBeside(fault, frozen, _) => format!("kill supervisor; {fault} {frozen}"),
            Self::Rollback(_) => "operator rolls back".into(),
            Self::Check(check) => check.to_string(),
            Self::Hook(hook) => hook.to_string(),
            Self::ListenerWithheld => "kill supervisor (v1: listener withheld)".into(),
            Self::FullDisk => "full disk".into(),
            Self::NoDescriptors => "incumbent without descriptors".into(),
            Self::SilentAfterAck => "client silent after HelloAck".into(),
            Self::SilentAfterPrepare => "client silent after PrepareHandoff".into(),
            Self::Hostile => "hostile clients".into(),
        }
    }

    /// Where.
    pub fn place(&self) -> String {
        match self {
            Self::ListenerWithheld => Place::Idle.to_string(),
            _ => self
                .struck_at()
                .map_or_else(|| "during a handoff".into(), |place| place.to_string()),
        }
    }

    /// Where the handoff is struck, if it is at a certain place.
    pub(super) const fn struck_at(&self) -> Option<Place> {
        match self {
            Self::Fault(_, _, place)
            | Self::OldFault(_, _, _, place)
            | Self::TwoKills(_, place)
            | Self::KillBeside(_, _, place)
            | Self::Rollback(place) => Some(*place),
            _ => None,
        }
    }

    /// Who speaks version 1 alone, if anybody does.
    pub(super) const fn old(&self) -> Option<Victim> {
        match self {
            Self::OldFault(old, ..) => Some(*old),
            Self::ListenerWithheld => Some(Victim::Incumbent),
            _ => None,
        }
    }

    /// Whether whoever keeps supervisors running keeps their listener, too. With version 1 nobody
    /// gives it back to a supervisor that is started again.
    pub(super) fn keeps_listener(&self) -> bool {
        self.old().is_some() && *self != Self::ListenerWithheld
    }

    /// Whether there may be a moment at which nobody has the listener open, so that connections are
    /// refused.
    pub(super) fn closes_listener(&self) -> bool {
        let holders = [Victim::Supervisor, Victim::Incumbent, Victim::Successor];
        let all_lost = self
            .loss()
            .is_some_and(|(lost, place)| !is_left(&holders, &lost, place));
        // By its own doing.
        *self == Self::ListenerWithheld || all_lost || self.makes_incumbent_leave()
    }

    /// Whether some daemon is not struck, so that none has to be started afresh; `None` where nobody
    /// can tell.
    pub(super) fn spares_a_daemon(&self) -> Option<bool> {
        let (lost, place) = self.loss()?;
        let told = place == Place::Entry(Phase::Committing) && !lost.contains(&Victim::Supervisor);
        match place {
            Place::Moment(..) => None,
            _ if self.makes_incumbent_leave() => None,
            // The incumbent is told to leave, whatever happens to the successor meanwhile.
            _ if told && lost.contains(&Victim::Successor) => Some(false),
            _ => Some(is_left(
                &[Victim::Incumbent, Victim::Successor],
                &lost,
                place,
            )),
        }
    }

    /// Whether the incumbent, that has lost the supervisor, may leave to the successor, which has the
    /// control path, and is dead a moment later.
    fn makes_incumbent_leave(&self) -> bool {
        use Phase::{Committing, Probation, Serving};
        matches!(
            self,
            Self::TwoKills(
                [Victim::Supervisor, Victim::Successor],
                Place::Entry(Serving | Probation | Committing) | Place::Middle(Probation),
            )
        )
    }

    /// Whether the successor is killed when the incumbent can still come back.
    pub(super) fn brings_incumbent_back(&self) -> bool {
        let kills = matches!(
            self,
            Self::Fault(Fault::Kill, Victim::Successor, _)
                | Self::OldFault(_, Fault::Kill, Victim::Successor, _)
                | Self::TwoKills([Victim::Supervisor, Victim::Successor], _)
        );
        kills && self.spares_a_daemon() == Some(true)
    }

    /// Who is struck, and where.
    fn loss(&self) -> Option<(Vec<Victim>, Place)> {
        match self {
            Self::Fault(_, victim, place) | Self::OldFault(_, _, victim, place) => {
                Some((vec![*victim], *place))
            }
            Self::TwoKills(victims, place) => Some((victims.to_vec(), *place)),
            Self::KillBeside(Fault::FreezeForGood, frozen, place) => {
                Some((vec![Victim::Supervisor, *frozen], *place))
            }
            Self::KillBeside(_, _, place) => Some((vec![Victim::Supervisor], *place)),
            _ => None,
        }
    }
}

/// Whether one of them is there and not lost.
fn is_left(them: &[Victim], lost: &[Victim], place: Place) -> bool {
    them.iter()
        .any(|one| one.is_there(place) && !lost.contains(one))
}

impl Victim {
    /// Whether it exists then: a successor from the time it is started, an incumbent until it is
    /// told that it has been replaced.
    pub(super) fn is_there(self, place: Place) -> bool {
        match self {
            Self::Supervisor => true,
            Self::Incumbent => !matches!(
                place,
                Place::Entry(Phase::Informing) | Place::Hook | Place::After
            ),
            Self::Successor => !matches!(
                place,
                Place::Idle | Place::Entry(Phase::Connecting | Phase::Meeting | Phase::Spawning)
            ),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::KillUnattended => "kill unattended",
            Self::Hiccup => "freeze briefly",
            Self::Freeze => "freeze, thaw",
            Self::FreezeForGood => "freeze for good",
        })
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Supervisor => "supervisor",
            Self::Incumbent => "incumbent",
            Self::Successor => "successor",
        })
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Std => "std",
            Self::Tokio => "tokio",
            Self::Mio => "mio",
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("before"),
            Self::Entry(phase) => write!(f, "entry of {phase}"),
            Self::Middle(phase) => write!(f, "in {phase}"),
            Self::Moment(phase, after) => write!(f, "{phase} + {after:?}"),
            Self::Waiting => f.write_str("waiting for committed"),
            Self::Hook => f.write_str("in the committed hook"),
            Self::After => f.write_str("after"),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passes => "health check passes",
            Self::Sick => "health check finds it ill",
            Self::Frozen => "health check, successor frozen",
            Self::Fails => "health check fails",
            Self::Hangs => "health check hangs",
            Self::Missing => "health check is missing",
            Self::Vanishes => "health check vanishes",
        })
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WarmUpFails => "warm-up fails",
            Self::WarmUpHangs => "warm-up hangs",
            Self::WarmUpDies => "warm-up dies",
            Self::OpenFails => "open fails",
            Self::OpenHangs => "open hangs",
            Self::DrainFails => "drain fails",
            Self::DrainPanics => "drain panics",
            Self::DrainHangs => "drain hangs",
            Self::DrainHangsUntilKilled => "drain hangs until killed",
            Self::SealFails => "seal fails",
            Self::SealPanics => "seal panics",
        })
    }
}
