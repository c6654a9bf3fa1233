//! Which rows there are.

use std::time::Duration;

use handoff_core::supervisor::Phase;

use super::case::{Case, Check, Fault, Hook, Place, Victim};

/// The phases of a handoff that works, in order.
const PHASES: [Phase; 13] = [
    Phase::Connecting,
    Phase::Meeting,
    Phase::Spawning,
    Phase::Welcoming,
    Phase::Warming,
    Phase::Journaling,
    Phase::Draining,
    Phase::Sealing,
    Phase::Opening,
    Phase::Serving,
    Phase::Probation,
    Phase::Committing,
    Phase::Informing,
];

/// Those with a middle.
const LONG: [Phase; 5] = [
    Phase::Warming,
    Phase::Draining,
    Phase::Sealing,
    Phase::Opening,
    Phase::Probation,
];

/// Stretches of a handoff that are struck at moments that nobody waits for: the phase that they begin
/// with, the first moment, the time to the next one, and how many there are.
const STRETCHES: [(Phase, Duration, Duration, u32); 3] = [
    // From the seal to the commit.
    (Phase::Sealing, Duration::ZERO, Duration::from_millis(1), 14),
    // The end of a probation of 60 ms, and what follows it.
    (
        Phase::Probation,
        Duration::from_micros(57_600),
        Duration::from_micros(300),
        14,
    ),
    // Commit to both.
    (
        Phase::Committing,
        Duration::ZERO,
        Duration::from_micros(200),
        6,
    ),
];

impl Case {
    /// Every row.
    pub fn all() -> Vec<Self> {
        let places = places();
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
        for frozen in [Victim::Incumbent, Victim::Successor] {
            let there = places.iter().filter(|place| frozen.is_there(**place));
            cases.extend(there.map(|place| Self::KillBeside(Fault::Freeze, frozen, *place)));
        }
        // Somebody has to be left who can take over, once the next supervisor has killed it.
        for place in [
            Place::Middle(Phase::Sealing),
            Place::Entry(Phase::Opening),
            Place::Middle(Phase::Opening),
        ] {
            cases.push(Self::KillBeside(
                Fault::FreezeForGood,
                Victim::Successor,
                place,
            ));
        }
        for (phase, first, step, count) in STRETCHES {
            for number in 0..count {
                let place = Place::Moment(phase, first + step * number);
                for victim in Victim::ALL {
                    cases.push(Self::Fault(Fault::Kill, victim, place));
                    cases.push(Self::Fault(Fault::Freeze, victim, place));
                }
            }
        }
        cases.extend(Victim::ALL.into_iter().flat_map(old_rows));
        cases.extend(places.into_iter().map(Self::Rollback));
        cases.extend(Check::ALL.map(Self::Check));
        cases.extend(Hook::ALL.map(Self::Hook));
        cases.extend(OTHERS);
        cases
    }

    /// Some of each kind.
    pub fn quick() -> Vec<Self> {
        use Fault::{Freeze, FreezeForGood, Hiccup, Kill, KillUnattended};
        use Phase::{
            Committing, Draining, Informing, Journaling, Opening, Probation, Sealing, Warming,
        };
        use Place::{After, Entry, Idle, Middle};
        use Victim::{Incumbent, Successor, Supervisor};
        vec![
            Self::Fault(Kill, Supervisor, Idle),
            Self::Fault(Kill, Supervisor, Middle(Warming)),
            Self::Fault(Kill, Supervisor, Entry(Sealing)),
            Self::Fault(Kill, Supervisor, Middle(Opening)),
            Self::Fault(Kill, Supervisor, Middle(Probation)),
            Self::Fault(Kill, Supervisor, Entry(Committing)),
            Self::Fault(Kill, Supervisor, Entry(Informing)),
            Self::Fault(KillUnattended, Supervisor, Middle(Opening)),
            Self::Fault(Kill, Incumbent, Middle(Draining)),
            Self::Fault(Kill, Incumbent, Middle(Sealing)),
            Self::Fault(Kill, Incumbent, Middle(Probation)),
            Self::Fault(Kill, Incumbent, Entry(Committing)),
            Self::Fault(Kill, Successor, Middle(Warming)),
            Self::Fault(Kill, Successor, Entry(Journaling)),
            Self::Fault(Kill, Successor, Middle(Opening)),
            Self::Fault(Kill, Successor, Middle(Probation)),
            Self::Fault(Kill, Successor, Entry(Committing)),
            Self::Fault(Kill, Successor, Place::Waiting),
            Self::Fault(Kill, Successor, Place::Hook),
            Self::Fault(Kill, Successor, After),
            Self::Fault(Hiccup, Supervisor, Entry(Opening)),
            Self::Fault(Hiccup, Incumbent, Middle(Sealing)),
            Self::Fault(Hiccup, Successor, Middle(Warming)),
            Self::Fault(Freeze, Supervisor, Middle(Probation)),
            Self::Fault(Freeze, Incumbent, Middle(Draining)),
            Self::Fault(Freeze, Successor, Middle(Opening)),
            Self::Fault(FreezeForGood, Supervisor, Entry(Opening)),
            Self::OldFault(Incumbent, Kill, Supervisor, Middle(Opening)),
            Self::OldFault(Successor, Kill, Successor, Middle(Opening)),
            Self::TwoKills([Supervisor, Incumbent], Middle(Draining)),
            Self::TwoKills([Supervisor, Successor], Middle(Probation)),
            Self::TwoKills([Incumbent, Successor], Entry(Opening)),
            Self::KillBeside(Freeze, Successor, Middle(Opening)),
            Self::Rollback(Middle(Probation)),
            Self::Check(Check::Sick),
            Self::Check(Check::Hangs),
            Self::Hook(Hook::WarmUpFails),
            Self::FullDisk,
            Self::SilentAfterPrepare,
            Self::Hostile,
        ]
    }

    /// A few, each of which takes a daemon another way: to see that a second adapter goes there, too.
    pub fn few() -> Vec<Self> {
        use Fault::{Freeze, Kill};
        use Phase::{Committing, Draining, Opening, Probation, Sealing};
        use Place::{Entry, Middle};
        use Victim::{Incumbent, Successor, Supervisor};
        vec![
            Self::Fault(Kill, Supervisor, Middle(Opening)),
            Self::Fault(Kill, Supervisor, Entry(Committing)),
            Self::Fault(Kill, Incumbent, Middle(Sealing)),
            Self::Fault(Kill, Successor, Middle(Probation)),
            Self::Fault(Freeze, Incumbent, Middle(Draining)),
            Self::OldFault(Successor, Kill, Successor, Middle(Opening)),
            Self::Hook(Hook::DrainHangs),
            Self::Hook(Hook::SealPanics),
        ]
    }
}

const OTHERS: [Case; 6] = [
    Case::ListenerWithheld,
    Case::FullDisk,
    Case::NoDescriptors,
    Case::SilentAfterAck,
    Case::SilentAfterPrepare,
    Case::Hostile,
];

fn places() -> Vec<Place> {
    let mut places = vec![Place::Idle];
    for phase in PHASES {
        places.push(Place::Entry(phase));
        if LONG.contains(&phase) {
            places.push(Place::Middle(phase));
        }
    }
    places.extend([Place::Waiting, Place::Hook, Place::After]);
    places
}

/// A slice of them all, with one that speaks version 1.
fn old_rows(old: Victim) -> Vec<Case> {
    use Place::{Entry, Middle};
    let kills = [
        Place::Idle,
        Middle(Phase::Draining),
        Middle(Phase::Sealing),
        Entry(Phase::Opening),
        Middle(Phase::Opening),
        Entry(Phase::Committing),
        Place::After,
    ];
    let freezes = [
        Middle(Phase::Draining),
        Entry(Phase::Opening),
        Middle(Phase::Opening),
        Entry(Phase::Committing),
    ];
    let mut cases = Vec::new();
    for victim in Victim::ALL {
        for (fault, places) in [(Fault::Kill, &kills[..]), (Fault::Freeze, &freezes[..])] {
            let there = places.iter().filter(|place| victim.is_there(**place));
            cases.extend(there.map(|place| Case::OldFault(old, fault, victim, *place)));
        }
    }
    for fault in [Fault::KillUnattended, Fault::FreezeForGood] {
        let place = Middle(Phase::Opening);
        cases.push(Case::OldFault(old, fault, Victim::Supervisor, place));
    }
    cases
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
}

impl Check {
    const ALL: [Self; 7] = [
        Self::Passes,
        Self::Sick,
        Self::Frozen,
        Self::Fails,
        Self::Hangs,
        Self::Missing,
        Self::Vanishes,
    ];
}

impl Hook {
    const ALL: [Self; 11] = [
        Self::WarmUpFails,
        Self::WarmUpHangs,
        Self::WarmUpDies,
        Self::OpenFails,
        Self::OpenHangs,
        Self::DrainFails,
        Self::DrainPanics,
        Self::DrainHangs,
        Self::DrainHangsUntilKilled,
        Self::SealFails,
        Self::SealPanics,
    ];
}
