//! Explores every interleaving of one handoff, with as many faults as asked for, and says what it saw.
//!
//! `--kills N` alone is the whole of it: within N faults, any process may be killed, S may be frozen and
//! thaw later or never, a killed S may be started again, and hooks and other operations may fail. As soon
//! as one of the switches below is given, only what is asked for may happen beside kills. Who speaks which
//! version, how long a probation lasts and how many handoffs there are is beside that.
//!
//! Exits with 1 and the shortest trace when a promise of the protocol is broken.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use handoff_model_tests::explore::explore;
use handoff_model_tests::world::{Mutation, Setup};

/// Explore every interleaving of one handoff.
#[derive(Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
struct Arguments {
    /// How many faults may happen in all: kills, and what the other options allow.
    #[arg(long, default_value_t = 1)]
    kills: u8,
    /// Nothing but kills, and S is not started again.
    #[arg(long)]
    only_kills: bool,
    /// The supervisor may be frozen, and thaw at any time or never; each is a fault.
    #[arg(long)]
    freezes: bool,
    /// The daemons may be frozen, too; what is left frozen is not asked to serve.
    #[arg(long)]
    freeze_daemons: bool,
    /// Hooks and other operations may fail; each failure is a fault.
    #[arg(long)]
    hooks_fail: bool,
    /// A killed supervisor may be started again, at any time or never.
    #[arg(long)]
    restart: bool,
    /// The supervisor kills an incumbent that misses its deadline.
    #[arg(long)]
    kill_stuck: bool,
    /// Hooks and operations may hang, and end later or never; each is a fault.
    #[arg(long)]
    stalls: bool,
    /// The control path may be removed; a fault.
    #[arg(long)]
    unlinks: bool,
    /// How many handoffs the supervisor performs, one after the other.
    #[arg(long, default_value_t = 1)]
    handoffs: u8,
    /// How long a successor serves on probation, in seconds; 0: there is none. The deadline of a handoff
    /// passes after 7, so with 8 the incumbent looks for the lock meanwhile.
    #[arg(long, default_value_t = 0)]
    probation: u8,
    /// Who speaks version 1 alone, separated by commas.
    #[arg(long, value_delimiter = ',')]
    old: Vec<Side>,
    /// Somebody asks the incumbent how it is, once and at any time.
    #[arg(long)]
    asks: bool,
    /// The first incumbent behaves in a crash as the published version 1 does.
    #[arg(long)]
    v1_incumbent: bool,
    /// Successors behave in a crash as those of the published version 1 do.
    #[arg(long)]
    v1_successor: bool,
    /// Rules to switch off.
    #[arg(long = "mutation", value_parser = mutation)]
    mutations: Vec<Mutation>,
    /// Stop after this many states.
    #[arg(long, default_value_t = 50_000_000)]
    limit: usize,
}

/// A role in the handoff.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[clap(rename_all = "verbatim")]
enum Side {
    S,
    O,
    N,
}

fn mutation(name: &str) -> Result<Mutation, String> {
    Mutation::ALL
        .into_iter()
        .find(|mutation| format!("{mutation:?}") == name)
        .ok_or_else(|| format!("one of {:?}", Mutation::ALL))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let all = ![
        arguments.only_kills,
        arguments.freezes,
        arguments.freeze_daemons,
        arguments.hooks_fail,
        arguments.restart,
        arguments.stalls,
        arguments.unlinks,
    ]
    .contains(&true);
    let started = Instant::now();
    let found = explore(
        Setup {
            faults: arguments.kills,
            freezes: all || arguments.freezes,
            freeze_daemons: arguments.freeze_daemons,
            failures: all || arguments.hooks_fail,
            restart: all || arguments.restart,
            kill_stuck: arguments.kill_stuck,
            stalls: arguments.stalls,
            unlinks: arguments.unlinks,
            asks: arguments.asks,
            probation: arguments.probation,
            old_supervisor: arguments.old.contains(&Side::S),
            old_incumbent: arguments.old.contains(&Side::O),
            old_successor: arguments.old.contains(&Side::N),
            handoffs: arguments.handoffs,
            v1_incumbent: arguments.v1_incumbent,
            v1_successor: arguments.v1_successor,
            mutations: arguments.mutations.leak(),
        },
        arguments.limit,
    );
    if let Some(violation) = &found.violation {
        for line in &violation.story {
            println!("{line}");
        }
        println!("VIOLATION: {}", violation.what);
    }
    println!(
        "{} states, {} moves, depth {}, {} ends ({} excused), {} violations, {:.1} s{}",
        found.states,
        found.moves,
        found.depth,
        found.ends,
        found.excused,
        u8::from(found.violation.is_some()),
        started.elapsed().as_secs_f64(),
        if found.cut { ", CUT at the limit" } else { "" },
    );
    ExitCode::from(u8::from(found.violation.is_some()))
}
