//! The supervisor: a handoff step by step, and the rules `C6` to `C8` and `C10`. Its peers speak version
//! 1 here, but for the modules.

mod ask;
mod heartbeats;
mod informing;
mod limits;
mod peers;
mod probation;
mod recovery;
mod serving;
mod standby;
mod undoing;

use std::time::Duration;

use handoff_core::op::{LinkReport, Process};
use handoff_core::wire::{Hello, Message, Names, Revisions, Side, VersionRange};
use handoff_core::{LinkId, Supervisor, SupervisorConfig, SupervisorOp};

use crate::bench::{Bench, finish};
use crate::world::{ID, NEW, OLD, supervisor_config};

type Sup = Bench<Supervisor, 2>;

const O: u32 = 1;
const N: u32 = 2;
const BEAT: Message<'_> = Message::Heartbeat { ts_ms: 1 };
const DRAINED: Message<'_> = Message::Drained {
    open_connections: 0,
    accept_closed: true,
};

/// Of a peer that speaks version 1.
fn hello(side: Side, pid: u32) -> Message<'static> {
    hello_of(VersionRange::V1, side, pid)
}

fn hello_of(versions: VersionRange, side: Side, pid: u32) -> Message<'static> {
    Message::Hello(Hello {
        side,
        pid,
        build_id: b"build",
        versions,
        capabilities: 0,
    })
}

const V1: VersionRange = VersionRange::V1;
const V2: VersionRange = VersionRange::SUPPORTED;
const STANDBY: Message<'_> = Message::Standby { id: ID };

/// The successor is to say Hello to a supervisor whose incumbent speaks these versions.
fn welcoming_old(config: SupervisorConfig, old: VersionRange) -> Sup {
    let mut s = meeting_with(config);
    let acts = s.hear(O, &hello_of(old, Side::Incumbent, OLD.pid));
    assert_eq!(acts, ["send 1 HelloAck", "start Spawn"]);
    assert!(spawn(&mut s).is_empty());
    s
}

/// The successor of version 2 warms up.
fn warming_with(config: SupervisorConfig, old: VersionRange) -> Sup {
    let mut s = welcoming_old(config, old);
    let acts = s.hear(N, &hello_of(V2, Side::Successor, NEW.pid));
    assert_eq!(acts, ["send 2 HelloAck"]);
    s
}

/// The journal is to be written, with peers of these versions.
fn journaling_of(config: SupervisorConfig, old: VersionRange, new: VersionRange) -> Sup {
    if new == V2 {
        let mut s = warming_with(config, old);
        assert_eq!(s.hear(N, &STANDBY), ["start WriteJournal"]);
        return s;
    }
    let mut s = welcoming_old(config, old);
    let acts = s.hear(N, &hello(Side::Successor, NEW.pid));
    assert_eq!(acts, ["send 2 HelloAck", "start WriteJournal"]);
    s
}

/// The successor opens its data, with peers of these versions.
fn opening_of(config: SupervisorConfig, old: VersionRange, new: VersionRange) -> Sup {
    let mut s = journaling_of(config, old, new);
    assert_eq!(journal_ends(&mut s), ["send 1 PrepareHandoff"]);
    assert_eq!(s.hear(O, &DRAINED), ["send 1 SealRequest"]);
    let acts = s.hear(O, &seal_complete());
    assert_eq!(acts, ["send 2 Begin", "start WriteJournal"]);
    s
}

fn seal_complete() -> Message<'static> {
    Message::SealComplete {
        id: ID,
        revisions: Revisions::from(&[1][..]),
        fingerprint: [0; 32],
    }
}

fn ready(healthz_ok: bool) -> Message<'static> {
    Message::Ready {
        id: ID,
        listening_on: Names::default(),
        healthz_ok,
        revisions: Revisions::from(&[1][..]),
    }
}

fn abort() -> Message<'static> {
    let reason = "it did not work";
    Message::Abort { id: ID, reason }
}

fn connect(s: &mut Sup, link: u32) -> Vec<String> {
    let report = LinkReport {
        link: LinkId(link),
        process: OLD,
    };
    finish!(s, SupervisorOp::Connect(ticket) => ticket.done(report))
}

fn no_connection(s: &mut Sup) -> Vec<String> {
    finish!(s, SupervisorOp::Connect(ticket) => ticket.failed("refused"))
}

fn spawn(s: &mut Sup) -> Vec<String> {
    let report = LinkReport {
        link: LinkId(N),
        process: NEW,
    };
    finish!(s, SupervisorOp::Spawn(ticket) => ticket.done(report))
}

fn kill_ends(s: &mut Sup, victim: Process) -> Vec<String> {
    finish!(s, SupervisorOp::Kill { ticket, process } => {
        assert_eq!(process, victim);
        ticket.done(())
    })
}

fn journal_ends(s: &mut Sup) -> Vec<String> {
    finish!(s, SupervisorOp::WriteJournal { ticket, .. } => ticket.done(()))
}

fn meeting_with(config: SupervisorConfig) -> Sup {
    let mut s = Sup::new(config);
    assert!(connect(&mut s, O).is_empty());
    s
}

fn spawning_with(config: SupervisorConfig) -> Sup {
    let mut s = meeting_with(config);
    let acts = s.hear(O, &hello(Side::Incumbent, OLD.pid));
    assert_eq!(acts, ["send 1 HelloAck", "start Spawn"]);
    s
}

fn welcoming_with(config: SupervisorConfig) -> Sup {
    let mut s = spawning_with(config);
    assert!(spawn(&mut s).is_empty());
    s
}

fn draining_with(config: SupervisorConfig) -> Sup {
    let mut s = welcoming_with(config);
    let acts = s.hear(N, &hello(Side::Successor, NEW.pid));
    assert_eq!(acts, ["send 2 HelloAck", "start WriteJournal"]);
    assert_eq!(journal_ends(&mut s), ["send 1 PrepareHandoff"]);
    s
}

fn welcoming() -> Sup {
    welcoming_with(supervisor_config())
}

fn draining() -> Sup {
    draining_with(supervisor_config())
}

fn sealing() -> Sup {
    let mut s = draining();
    assert_eq!(s.hear(O, &DRAINED), ["send 1 SealRequest"]);
    s
}

fn opening() -> Sup {
    let mut s = sealing();
    let acts = s.hear(O, &seal_complete());
    assert_eq!(acts, ["send 2 Begin", "start WriteJournal"]);
    s
}

fn sent_last(s: &Sup) -> &str {
    s.sent.last().map_or("", String::as_str)
}

#[test]
fn a_handoff_goes_step_by_step_and_begin_does_not_wait_for_the_journal() {
    let mut s = opening();
    assert_eq!(s.hear(N, &ready(true)), ["send 1 Commit"]);
    assert_eq!(s.lose(O), ["close 1", "start ClearJournal", "done"]);
    assert_eq!(
        s.end(),
        format!(
            "committed: pid 200 serves (handoff {ID}) \
             (without warm standby: version 1 with the successor)"
        )
    );
}

#[test]
fn a_journal_that_cannot_be_written_is_reported_and_stops_nothing() {
    let mut s = welcoming();
    s.hear(N, &hello(Side::Successor, NEW.pid));
    let acts = finish!(s, SupervisorOp::WriteJournal { ticket, .. } => ticket.failed("read-only"));
    assert_eq!(acts, ["send 1 PrepareHandoff"]);
    assert!(s.has_seen("trouble: the journal cannot be written: read-only"));
}

#[test]
fn c6_an_incumbent_lost_before_it_sealed_means_begin() {
    for make in [draining, sealing] {
        let mut s = make();
        assert_eq!(s.lose(O), ["close 1", "send 2 Begin", "start WriteJournal"]);
        assert_eq!(
            s.hear(N, &ready(true)),
            ["start ClearJournal", "done"],
            "nobody is left to commit to"
        );
        assert!(s.end().starts_with("committed"));
    }
}

#[test]
fn c6_a_successor_that_finds_the_lock_held_is_rolled_back() {
    let mut s = draining();
    s.lose(O);
    assert_eq!(s.hear(N, &abort()), ["start Kill"]);
    assert_eq!(kill_ends(&mut s, NEW), ["start Connect"]);
    let acts = connect(&mut s, 3);
    assert_eq!(acts.last().map(String::as_str), Some("done"), "{acts:?}");
    assert!(s.end().starts_with("rolled back: "), "{}", s.end());
}

#[test]
fn c6_an_incumbent_that_sends_no_byte_for_ten_seconds_is_lost() {
    let mut s = draining();
    for _ in 0..3 {
        s.now = s.now.after(Duration::from_secs(9));
        assert!(s.hear(O, &BEAT).is_empty());
    }
    assert_eq!(s.waits_for(), ("Life".into(), Duration::from_secs(10)));
    assert_eq!(s.sleep(), ["close 1", "send 2 Begin", "start WriteJournal"]);
}

#[test]
fn c7_a_successor_lost_before_begin_is_killed_and_the_incumbent_told_to_go_on() {
    for make in [draining, sealing] {
        let mut s = make();
        assert_eq!(s.lose(N), ["close 2", "start Kill"]);
        assert_eq!(
            kill_ends(&mut s, NEW),
            ["send 1 Abort", "start ClearJournal", "done"]
        );
        assert!(s.end().starts_with("rolled back: the successor was lost"));
    }
}

#[test]
fn c7_a_successor_that_never_says_hello_costs_the_incumbent_nothing() {
    let mut s = welcoming();
    assert_eq!(s.waits_for(), ("Hello".into(), Duration::from_secs(5)));
    assert_eq!(s.sleep(), ["start Kill"]);
    assert_eq!(kill_ends(&mut s, NEW), ["start ClearJournal", "done"]);
}

#[test]
fn c7_a_seal_that_failed_costs_the_successor() {
    let mut s = sealing();
    let failed = Message::SealFailed {
        id: ID,
        error: "disk full",
        partial_state: "",
    };
    assert_eq!(s.hear(O, &failed), ["start Kill"]);
    kill_ends(&mut s, NEW);
    assert!(s.end().contains("seal failed: disk full"), "{}", s.end());
}

#[test]
fn c7_a_successor_that_cannot_be_started_ends_the_handoff() {
    let mut s = spawning_with(supervisor_config());
    let acts = finish!(s, SupervisorOp::Spawn(ticket) => ticket.failed("no such file"));
    assert_eq!(acts, ["start ClearJournal", "done"]);
    assert!(s.end().contains("no such file"), "{}", s.end());
}

#[test]
fn c8_a_successor_lost_after_begin_is_killed_before_the_incumbent_is_told_to_resume() {
    let mut s = opening();
    assert_eq!(s.lose(N), ["close 2", "start Kill"]);
    assert_eq!(
        kill_ends(&mut s, NEW),
        ["send 1 ResumeAfterAbort", "start ClearJournal", "done"]
    );
    assert!(s.end().starts_with("rolled back: "));
}

#[test]
fn c8_a_successor_that_is_late_silent_or_unhealthy_is_one_that_failed() {
    let mut s = opening();
    assert_eq!(s.waits_for(), ("Life".into(), Duration::from_secs(10)));
    assert_eq!(s.sleep(), ["close 2", "start Kill"]);
    let mut s = opening();
    assert_eq!(s.hear(N, &ready(false)), ["start Kill"]);
    let mut s = opening();
    let mut acts = Vec::new();
    while acts.is_empty() {
        s.hear(N, &BEAT);
        acts = s.pass(Duration::from_secs(9));
    }
    assert_eq!(acts, ["start Kill"]);
    assert!(s.has_seen("the successor was late: no Ready"));
}

#[test]
fn c8_with_the_incumbent_gone_too_the_daemon_is_started_afresh() {
    let mut s = opening();
    assert_eq!(s.lose(O), ["close 1"]);
    assert_eq!(s.lose(N), ["close 2", "start Kill"]);
    assert_eq!(kill_ends(&mut s, NEW), ["start Connect"]);
    let mut acts = no_connection(&mut s);
    while acts.is_empty() {
        assert_eq!(s.sleep(), ["start Connect"]);
        acts = no_connection(&mut s);
    }
    assert_eq!(acts, ["start ColdStart"]);
    let acts = finish!(s, SupervisorOp::ColdStart(ticket) => ticket.done(NEW));
    assert_eq!(acts, ["start ClearJournal", "done"]);
    assert!(s.end().starts_with("started afresh as pid 200"));
}

#[test]
fn a_ready_that_has_arrived_counts_however_late_it_is_looked_at() {
    let mut s = opening();
    s.now = s.now.after(Duration::from_secs(4000));
    assert_eq!(s.hear(N, &ready(true)), ["send 1 Commit"]);
}

#[test]
fn a_commit_that_is_not_read_is_not_waited_for() {
    let mut s = opening();
    s.takes = false;
    assert_eq!(s.hear(N, &ready(true)), ["send 1 Commit"]);
    assert_eq!(s.waits_for(), ("Write".into(), Duration::from_secs(1)));
    assert_eq!(s.sleep(), ["start ClearJournal", "done"]);
    assert!(s.end().starts_with("committed"));
}

#[test]
fn c10_an_incumbent_that_misses_its_deadline_is_told_abort_and_the_successor_killed() {
    let mut s = draining();
    let mut acts = Vec::new();
    while acts.is_empty() {
        s.hear(O, &BEAT);
        acts = s.pass(Duration::from_secs(2));
    }
    assert_eq!(acts, ["send 1 Abort", "start Kill"]);
    assert!(sent_last(&s).contains("missed its deadline: drain"));
    kill_ends(&mut s, NEW);
    assert!(s.end().starts_with("rolled back: the incumbent missed"));
}

#[test]
fn c10_a_stuck_incumbent_is_killed_instead_if_so_configured() {
    let mut s = draining_with(SupervisorConfig {
        kill_stuck_incumbent: true,
        ..supervisor_config()
    });
    let mut acts = Vec::new();
    while acts.is_empty() {
        s.hear(O, &BEAT);
        acts = s.pass(Duration::from_secs(2));
    }
    assert_eq!(acts, ["start Kill"]);
    assert_eq!(
        kill_ends(&mut s, OLD),
        ["close 1", "send 2 Begin", "start WriteJournal"]
    );
}
