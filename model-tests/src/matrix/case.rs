//! What can be done to a handoff, and where: the rows of the matrix.

use std::fmt;
use std::time::Duration;

use handoff_core::supervisor::Phase;

/// The phases of a handoff that works, in order.
const PHASES: [Phase; 9] = [
    Phase::Connecting,
    Phase::Meeting,
    Phase::Spawning,
    Phase::Welcoming,
    Phase::Journaling,
    Phase::Draining,
    Phase::Sealing,
    Phase::Opening,
    Phase::Committing,
];

/// From one moment to the next; together they span the way from the seal to the commit.
const MOMENT: Duration = Duration::from_micros(700);
/// How many moments there are.
const MOMENTS: u32 = 20;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// The supervisor.
    Supervisor,
    /// The daemon that serves when the handoff begins.
    Incumbent,
    /// The daemon that is to take over.
    Successor,
}

/// When it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Before any handoff.
    Idle,
    /// As the supervisor enters the phase, before it has sent anything in it.
    Entry(Phase),
    /// While a hook runs in that phase.
    Middle(Phase),
    /// So long after the supervisor entered Sealing, in a handoff without delays.
    Moment(Duration),
    /// After the handoff.
    After,
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// A fault of one process.
    Fault(Fault, Victim, Place),
    /// Two processes are killed, one right after the other.
    TwoKills([Victim; 2], Place),
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
    /// Every row.
    pub fn all() -> Vec<Self> {
        let middles = [Phase::Draining, Phase::Sealing, Phase::Opening];
        let mut places = vec![Place::Idle];
        for phase in PHASES {
            places.push(Place::Entry(phase));
            if middles.contains(&phase) {
                places.push(Place::Middle(phase));
            }
        }
        places.push(Place::After);

        let mut cases = Vec::new();
        for fault in Fault::ALL {
            for victim in Victim::ALL {
                // Without a daemon it is the supervisor that comes to terms with it.
                if fault.is_for_supervisors() && victim != Victim::Supervisor {
                    continue;
                }
                let there = places.iter().filter(|place| victim.is_there(**place));
                cases.extend(there.map(|place| Self::Fault(fault, victim, *place)));
            }
        }
        for (first, second) in [
            (Victim::Supervisor, Victim::Incumbent),
            (Victim::Supervisor, Victim::Successor),
            (Victim::Incumbent, Victim::Successor),
        ] {
            let there = places.iter().filter(|place| {
                let alone = matches!(place, Place::Idle | Place::After);
                !alone && first.is_there(**place) && second.is_there(**place)
            });
            cases.extend(there.map(|place| Self::TwoKills([first, second], *place)));
        }
        for number in 0..MOMENTS {
            for fault in [Fault::Kill, Fault::Freeze] {
                for victim in Victim::ALL {
                    let place = Place::Moment(MOMENT * number);
                    cases.push(Self::Fault(fault, victim, place));
                }
            }
        }
        cases.extend(Self::OTHERS);
        cases
    }

    /// Some of each kind.
    pub fn quick() -> Vec<Self> {
        use Fault::{Freeze, FreezeForGood, Hiccup, Kill, KillUnattended};
        use Phase::{Committing, Draining, Opening, Sealing, Welcoming};
        use Place::{After, Entry, Middle};
        use Victim::{Incumbent, Successor, Supervisor};
        let mut cases = vec![
            Self::Fault(Kill, Supervisor, Entry(Sealing)),
            Self::Fault(Kill, Supervisor, Entry(Opening)),
            Self::Fault(Kill, Supervisor, Middle(Opening)),
            Self::Fault(Kill, Supervisor, Entry(Committing)),
            Self::Fault(KillUnattended, Supervisor, Entry(Opening)),
            Self::Fault(KillUnattended, Supervisor, Middle(Opening)),
            Self::Fault(Kill, Incumbent, Middle(Draining)),
            Self::Fault(Kill, Incumbent, Middle(Sealing)),
            Self::Fault(Kill, Incumbent, Entry(Committing)),
            Self::Fault(Kill, Successor, Entry(Welcoming)),
            Self::Fault(Kill, Successor, Middle(Opening)),
            Self::Fault(Kill, Successor, Entry(Committing)),
            Self::Fault(Kill, Successor, After),
            Self::Fault(Hiccup, Supervisor, Entry(Opening)),
            Self::Fault(Hiccup, Incumbent, Middle(Sealing)),
            Self::Fault(Hiccup, Successor, Middle(Opening)),
            Self::Fault(Freeze, Supervisor, Middle(Sealing)),
            Self::Fault(Freeze, Incumbent, Middle(Draining)),
            Self::Fault(Freeze, Successor, Middle(Opening)),
            Self::Fault(FreezeForGood, Supervisor, Entry(Opening)),
            Self::Fault(FreezeForGood, Supervisor, Entry(Committing)),
            Self::TwoKills([Supervisor, Incumbent], Middle(Draining)),
            Self::TwoKills([Supervisor, Successor], Middle(Opening)),
            Self::TwoKills([Incumbent, Successor], Entry(Opening)),
        ];
        cases.extend(Self::OTHERS);
        cases
    }

    const OTHERS: [Self; 5] = [
        Self::FullDisk,
        Self::NoDescriptors,
        Self::SilentAfterAck,
        Self::SilentAfterPrepare,
        Self::Hostile,
    ];

    /// What is done.
    pub fn fault(&self) -> String {
        match self {
            Self::Fault(fault, victim, _) => format!("{fault} {victim}"),
            Self::TwoKills([first, second], _) => format!("kill {first}, {second}"),
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
            Self::Fault(_, _, place) | Self::TwoKills(_, place) => place.to_string(),
            _ => "during a handoff".into(),
        }
    }
}

impl Fault {
    const ALL: [Self; 5] = [
        Self::Kill,
        Self::KillUnattended,
        Self::Hiccup,
        Self::Freeze,
        Self::FreezeForGood,
    ];

    /// Whether only a supervisor can suffer it.
    fn is_for_supervisors(self) -> bool {
        matches!(self, Self::KillUnattended | Self::FreezeForGood)
    }
}

impl Victim {
    const ALL: [Self; 3] = [Self::Supervisor, Self::Incumbent, Self::Successor];

    /// Whether it exists then: a successor from the time it is started, an incumbent until it has
    /// been replaced.
    fn is_there(self, place: Place) -> bool {
        match self {
            Self::Supervisor => true,
            Self::Incumbent => place != Place::After,
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

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("before"),
            Self::Entry(phase) => write!(f, "entry of {phase}"),
            Self::Middle(phase) => write!(f, "in {phase}"),
            Self::Moment(after) => write!(f, "Sealing + {after:?}"),
            Self::After => f.write_str("after"),
        }
    }
}
