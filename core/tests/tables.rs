//! The transition tables: that they are sound, and that `TABLES.md` shows them as they are.
//!
//! After a change of a table: `HANDOFF_BLESS=1 cargo test -p handoff-core --test tables`

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write as _};
use std::path::Path;

use handoff_core::incumbent::{self, INCUMBENT};
use handoff_core::successor::{self, SUCCESSOR};
use handoff_core::supervisor::{self, SUPERVISOR};
use handoff_core::table::{Row, find, markdown};

/// A role's table and the words that it is made of; the first phase is where it starts.
struct Role<P: 'static, C: 'static, A: 'static> {
    name: &'static str,
    table: &'static [Row<P, C, A>],
    phases: &'static [P],
    cues: &'static [C],
    acts: &'static [A],
    /// The cues that are messages.
    heard: &'static [C],
    ends: &'static [P],
}

const OLD: Role<incumbent::Phase, incumbent::Cue, incumbent::Act> = Role {
    name: "Incumbent",
    table: INCUMBENT,
    phases: incumbent::Phase::ALL,
    cues: incumbent::Cue::ALL,
    acts: incumbent::Act::ALL,
    heard: {
        use incumbent::Cue::{Abort, Commit, Prepare, Resume, SealRequest};
        &[Prepare, SealRequest, Commit, Abort, Resume]
    },
    ends: &[
        incumbent::Phase::Retired,
        incumbent::Phase::Superseded,
        incumbent::Phase::Failed,
    ],
};

const NEW: Role<successor::Phase, successor::Cue, successor::Act> = Role {
    name: "Successor",
    table: SUCCESSOR,
    phases: successor::Phase::ALL,
    cues: successor::Cue::ALL,
    acts: successor::Act::ALL,
    heard: {
        use successor::Cue::{Abort, Acknowledged, Begin, Commit};
        &[Acknowledged, Begin, Commit, Abort]
    },
    ends: &[successor::Phase::Serving, successor::Phase::Failed],
};

const BOSS: Role<supervisor::Phase, supervisor::Cue, supervisor::Act> = Role {
    name: "Supervisor",
    table: SUPERVISOR,
    phases: supervisor::Phase::ALL,
    cues: supervisor::Cue::ALL,
    acts: supervisor::Act::ALL,
    heard: {
        use supervisor::Cue::{
            Drained, HelloRetired, IncumbentAbort, IncumbentHello, IncumbentOld, Listeners, Ready,
            ReadyAlone, ReadyProbation, ReadySoon, ReadyUnhealthy, SealComplete, SealFailed,
            Standby, Status, SuccessorAbort, SuccessorHello, SuccessorOld,
        };
        &[
            IncumbentHello,
            IncumbentOld,
            HelloRetired,
            IncumbentAbort,
            Drained,
            SealComplete,
            SealFailed,
            Listeners,
            Status,
            SuccessorHello,
            SuccessorOld,
            Standby,
            SuccessorAbort,
            Ready,
            ReadyAlone,
            ReadyProbation,
            ReadySoon,
            ReadyUnhealthy,
        ]
    },
    ends: &[supervisor::Phase::Done],
};

const INTRODUCTION: &str = "\
# The transition tables

Generated from the tables that the machines run on; `cargo test -p handoff-core --test tables` fails
when this file is stale, and `HANDOFF_BLESS=1 cargo test -p handoff-core --test tables` writes it again.

A row says: *in* any of these phases, *on* any of these cues, the machine *does* these acts in order and
*then* is in that phase, because this *rule* of `PROTOCOL.md` asks for it (`C1` to `C11` are the crash
rules of its section 9, a plain number is a section). What each word means stands at `Phase`, `Cue` and
`Act` of the role.

The matrix shows every phase by every cue. A message without a row is a violation in that phase: its
session ends, which is a cue again. (Two are milder: the incumbent refuses a PrepareHandoff with Abort,
and takes no offence at messages of a handoff that it has given up.) What the host or the clock says
without a row is absorbed.
";

impl<P, C, A> Role<P, C, A>
where
    P: Copy + Debug + Ord,
    C: Copy + Debug + Ord,
    A: Copy + Debug + Ord,
{
    fn check(&self) {
        let name = self.name;
        for phase in self.phases {
            for cue in self.cues {
                let rows = self.table.iter();
                let rows = rows.filter(|row| row.from.contains(phase) && row.on.contains(cue));
                assert!(
                    rows.count() <= 1,
                    "{name}: two rows for {cue:?} in {phase:?}"
                );
            }
            let entered = self.table.iter().any(|row| row.to == Some(*phase));
            let first = self.phases.first() == Some(phase);
            assert!(entered || first, "{name}: nothing leads to {phase:?}");
            let left = self
                .table
                .iter()
                .any(|row| row.from.contains(phase) && row.to.is_some_and(|to| to != *phase));
            let last = self.ends.contains(phase);
            assert_eq!(left, !last, "{name}: the way out of {phase:?}");
        }
        let cues: BTreeSet<C> = self.table.iter().flat_map(|row| row.on).copied().collect();
        let acts: BTreeSet<A> = self.table.iter().flat_map(|row| row.act).copied().collect();
        assert_eq!(cues, self.cues.iter().copied().collect(), "{name}: cues");
        assert_eq!(acts, self.acts.iter().copied().collect(), "{name}: acts");
        for row in self.table {
            let known = row.rule.trim_start_matches('C').parse::<u8>().is_ok();
            assert!(known, "{name}: no rule is called {}", row.rule);
        }
    }

    fn render(&self, out: &mut String) {
        self.try_render(out).expect("a String takes everything");
    }

    fn try_render(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n## {}\n", self.name)?;
        markdown(self.table, out)?;
        writeln!(out, "\n### {} as a diagram\n", self.name)?;
        self.diagram(out)?;
        writeln!(out, "\n### {}: every phase by every cue\n", self.name)?;
        self.matrix(out)
    }

    /// One arrow for each pair of phases, with all the cues that lead from one to the other.
    fn diagram(&self, out: &mut String) -> std::fmt::Result {
        let mut arrows = BTreeMap::<(P, P), Vec<String>>::new();
        for row in self.table {
            for from in row.from {
                let cues = row.on.iter().map(|cue| format!("{cue:?}"));
                let to = row.to.unwrap_or(*from);
                arrows.entry((*from, to)).or_default().extend(cues);
            }
        }
        writeln!(out, "```mermaid\nstateDiagram-v2")?;
        if let Some(first) = self.phases.first() {
            writeln!(out, "    [*] --> {first:?}")?;
        }
        for ((from, to), cues) in arrows {
            writeln!(out, "    {from:?} --> {to:?}: {}", cues.join(", "))?;
        }
        for end in self.ends {
            writeln!(out, "    {end:?} --> [*]")?;
        }
        writeln!(out, "```")
    }

    /// A line for each phase, since a column for each cue would not fit on a page.
    fn matrix(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "| in | leads on | violation | absorbed |\n|---|---|---|---|"
        )?;
        for phase in self.phases {
            let (mut leads, mut broken, mut absorbed) = (Vec::new(), Vec::new(), Vec::new());
            for cue in self.cues {
                match find(self.table, phase, cue) {
                    Some(Row {
                        to: Some(to), rule, ..
                    }) => {
                        leads.push(format!("{cue:?} → {to:?} ({rule})"));
                    }
                    Some(row) => leads.push(format!("{cue:?}: stays ({})", row.rule)),
                    None if self.heard.contains(cue) => broken.push(format!("{cue:?}")),
                    None => absorbed.push(format!("{cue:?}")),
                }
            }
            let (leads, broken, absorbed) =
                (leads.join("<br>"), broken.join(", "), absorbed.join(", "));
            writeln!(out, "| {phase:?} | {leads} | {broken} | {absorbed} |")?;
        }
        Ok(())
    }
}

#[test]
fn the_tables_are_sound() {
    OLD.check();
    NEW.check();
    BOSS.check();
}

#[test]
fn tables_md_shows_the_tables_as_they_are() {
    let mut fresh = String::from(INTRODUCTION);
    OLD.render(&mut fresh);
    NEW.render(&mut fresh);
    BOSS.render(&mut fresh);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("TABLES.md");
    if std::env::var_os("HANDOFF_BLESS").is_some() {
        std::fs::write(&file, &fresh).expect("TABLES.md can be written");
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == fresh,
        "TABLES.md is stale; HANDOFF_BLESS=1 cargo test -p handoff-core --test tables"
    );
}
