//! The scripts: what a machine must live through.
//!
//! The numbers of `Said` are those of the list in `said::message`, those of `Ended` the ways in
//! `host::Host::end`: 0 is a failure wherever that can be. The number before a script sets the machine up, as
//! the functions of `lib.rs` say.

use handoff_core::Handles;
use handoff_fuzz::Happening;
use handoff_fuzz::Happening::{
    Bytes, BytesWith, Closed, Ended, Judged, Jumped, Misspoken, Opened, Passed, Progress, Said,
    Sent, Slept, Unbound, Wrote, WroteAll,
};

/// A name, how the machine is set up, and what happens.
pub(crate) type Script = (&'static str, u8, &'static [Happening<'static>]);

const ACK: Happening<'static> = Said(0, 2);
const PREPARE: Happening<'static> = Said(0, 3);
const DRAINED: Happening<'static> = Ended(0, 3);
const SEAL: Happening<'static> = Said(0, 5);
const SEALED: Happening<'static> = Ended(0, 3);
const DONE: Happening<'static> = Ended(0, 3);
const TAKE: Happening<'static> = WroteAll(0);
const PASS: Happening<'static> = Passed(9000);
const BEAT: Happening<'static> = Said(0, 14);

// Version 2.
const ACK_2: Happening<'static> = Said(0, 19);
const LISTENERS: Happening<'static> = Said(0, 24);
const STATUS: Happening<'static> = Said(0, 28);
const TWO: Handles = Handles {
    first: 40,
    count: 2,
};

#[rustfmt::skip]
pub(crate) const INCUMBENT: &[Script] = &[
    ("committed", 0, &[
        Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, Progress(1), TAKE, SEALED, DONE, TAKE, Said(0, 11),
    ]),
    ("sealed_then_lost_and_back", 0, &[
        Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, SEALED, DONE, Closed(0), Ended(0, 1), Ended(0, 3), Slept,
        Ended(0, 2), Ended(0, 3), DONE, Opened(1), TAKE, ACK, PREPARE,
    ]),
    ("superseded", 0, &[
        Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, SEALED, DONE, Closed(0), Ended(0, 1), Ended(0, 2), Slept,
        Ended(0, 1), Ended(0, 2),
    ]),
    ("reclaimed_and_bound", 0, &[
        Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, SEALED, DONE, TAKE, Said(0, 13), Ended(0, 2), Ended(0, 2),
        Ended(0, 0), DONE, Slept, DONE, Unbound,
    ]),
    ("drain_aborted", 0, &[Opened(1), TAKE, ACK, PREPARE, Said(0, 12), Slept, Slept, DONE, DONE]),
    ("drain_failed", 0, &[Opened(1), TAKE, ACK, PREPARE, Ended(0, 0), Ended(0, 0), Slept, Ended(0, 0), Slept, Ended(0, 0)]),
    ("seal_lost_while_it_runs", 0, &[Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, Closed(0), SEALED, DONE]),
    ("seal_too_large", 0, &[Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, Ended(0, 1), DONE]),
    ("release_lost_then_done", 0, &[
        Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, SEALED, Closed(0), DONE, Ended(0, 2), Ended(0, 3), DONE,
    ]),
    ("drained_then_aborted", 0, &[Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, Said(0, 12), DONE]),
    ("release_ticket_lost", 0, &[Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, SEALED, Closed(0), Slept]),
    ("lock_ticket_lost", 0, &[
        Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, SEALED, DONE, Closed(0), Slept, Slept, Ended(0, 3),
    ]),
    ("silent_when_sealed", 0, &[Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, SEALED, DONE, TAKE, Slept, Ended(0, 3)]),
    ("release_failed", 0, &[Opened(1), TAKE, ACK, PREPARE, DRAINED, TAKE, SEAL, SEALED, Ended(0, 0), DONE]),
    ("silent_supervisor", 0, &[Opened(1), TAKE, ACK, PREPARE, Slept, Slept, Slept, Slept, Slept, Slept, DRAINED]),
    ("unbound_at_first", 1, &[Ended(0, 0), Slept, DONE, Unbound, DONE]),
    ("crowded", 0, &[
        Opened(1), ACK, Opened(1), Opened(1), Opened(2), Opened(2), Opened(3), Opened(3), Opened(3), Opened(4),
        Opened(1), Opened(1), Slept,
    ]),
    ("busy", 0, &[Opened(1), ACK, Opened(2), Said(1, 2), PREPARE, Said(1, 3), Said(1, 14), Said(1, 5), TAKE]),
    ("clock_jumps", 0, &[Opened(1), ACK, Jumped(1 << 60), PREPARE, Jumped(0), Slept, Jumped(u64::MAX), Slept]),

    ("v2.committed", 0, &[
        Opened(1), TAKE, ACK_2, PREPARE, PASS, BEAT, DRAINED, TAKE, SEAL, Progress(1), TAKE, SEALED, DONE, TAKE, PASS, BEAT,
        Said(0, 11),
    ]),
    ("v2.checked_held_and_committed", 0, &[
        Opened(1), TAKE, ACK_2, PREPARE, DRAINED, TAKE, SEAL, SEALED, DONE, TAKE, PASS, BEAT, PASS, BEAT, PASS, BEAT, PASS,
        Ended(0, 1), BEAT, PASS, BEAT, PASS, Ended(0, 1), Said(0, 11),
    ]),
    ("v2.checked_and_free", 0, &[
        Opened(1), TAKE, ACK_2, PREPARE, DRAINED, TAKE, SEAL, SEALED, DONE, TAKE, PASS, BEAT, PASS, BEAT, PASS, BEAT, PASS,
        Ended(0, 2), Ended(0, 3), DONE, TAKE, STATUS, Ended(0, 2),
    ]),
    ("v2.committed_while_checking", 0, &[
        Opened(1), TAKE, ACK_2, PREPARE, DRAINED, TAKE, SEAL, SEALED, DONE, TAKE, PASS, BEAT, PASS, BEAT, PASS, BEAT, PASS,
        Said(0, 11),
    ]),
    ("v2.lost_while_checking", 0, &[
        Opened(1), TAKE, ACK_2, PREPARE, DRAINED, TAKE, SEAL, SEALED, DONE, TAKE, PASS, BEAT, PASS, BEAT, PASS, BEAT, PASS,
        Closed(0), Ended(0, 1), Ended(0, 2), Slept, Ended(0, 2), Ended(0, 3), DONE,
    ]),
    ("v2.silent_supervisor", 0, &[Opened(1), TAKE, ACK_2, PREPARE, Slept, Slept, Slept, Slept, Slept, Slept, DRAINED, DONE]),
    ("v2.silent_when_sealed", 0, &[
        Opened(1), TAKE, ACK_2, PREPARE, DRAINED, TAKE, SEAL, SEALED, DONE, TAKE, Slept, Ended(0, 3), Ended(0, 3), DONE,
    ]),
    ("v2.status", 0, &[Opened(1), TAKE, ACK_2, STATUS, Ended(0, 2), TAKE, STATUS, Slept, TAKE, Ended(0, 2)]),
    ("v2.status_while_draining", 0, &[
        Opened(1), TAKE, ACK_2, PREPARE, Opened(2), WroteAll(1), Said(1, 19), Said(1, 28), Ended(0, 2), WroteAll(1), DRAINED,
        TAKE, SEAL, Said(1, 28), Ended(1, 3), Ended(1, 3), Ended(0, 2), WroteAll(1),
    ]),
    ("v2.status_too_large", 0, &[Opened(1), TAKE, ACK_2, STATUS, Ended(0, 1), TAKE]),
    ("v2.two_questions", 0, &[Opened(1), TAKE, ACK_2, STATUS, STATUS, TAKE]),
    ("v2.two_ask_the_same", 0, &[
        Opened(1), TAKE, ACK_2, Opened(2), WroteAll(1), Said(1, 19), LISTENERS, Said(1, 24), Ended(0, 5), TAKE, WroteAll(1),
    ]),
    ("v2.listeners", 0, &[Opened(1), TAKE, ACK_2, LISTENERS, Ended(0, 5), TAKE, LISTENERS, Ended(0, 3), TAKE]),
    ("v2.listeners_in_pieces", 0, &[
        Opened(1), TAKE, ACK_2, LISTENERS, Ended(0, 5), Wrote(0, 0), Wrote(0, 5), STATUS, Ended(0, 2), TAKE, TAKE,
    ]),
    ("v2.listeners_between_others", 0, &[
        Opened(1), ACK_2, BEAT, LISTENERS, Ended(0, 5), STATUS, Ended(0, 2), Wrote(0, 7), TAKE, TAKE, TAKE,
    ]),
    ("v2.listeners_before_a_seal", 0, &[
        Opened(1), TAKE, ACK_2, PREPARE, DRAINED, TAKE, SEAL, SEALED, LISTENERS, Ended(0, 4), DONE, TAKE, TAKE,
    ]),
    ("v2.listeners_do_not_match", 0, &[
        Opened(1), TAKE, ACK_2, LISTENERS, Ended(0, 0), TAKE, LISTENERS, Ended(0, 2), TAKE, LISTENERS, Ended(0, 1), TAKE,
        LISTENERS, Ended(0, 15), TAKE,
    ]),
    ("v2.listeners_late", 0, &[Opened(1), TAKE, ACK_2, LISTENERS, Slept, TAKE, Ended(0, 5)]),
    ("v2.listeners_before_they_are_taken", 0, &[
        Opened(1), TAKE, ACK_2, LISTENERS, Ended(0, 5), LISTENERS, Ended(0, 5), TAKE, TAKE,
    ]),
    ("v2.question_in_version_1", 0, &[Opened(1), TAKE, ACK, STATUS, Opened(1), TAKE, ACK, Misspoken(0, 28)]),
    ("v2.descriptors_unasked", 0, &[
        Opened(1), TAKE, ACK_2, Sent(0, &[14, 14], 7, TWO), Opened(2), TAKE, Sent(0, &[19], 0, Handles::TRUNCATED),
        Sent(0, &[28], 3, Handles::TRUNCATED),
    ]),
    ("v2.probation_committed", 2, &[
        Opened(1), TAKE, ACK_2, STATUS, Ended(0, 2), TAKE, PREPARE, TAKE, Judged(0), Said(0, 3), DONE, TAKE, PREPARE, DRAINED,
    ]),
    ("v2.probation_orphaned", 2, &[Judged(1), Slept, DONE, Judged(0), Opened(1), TAKE, ACK_2, PREPARE]),
    ("v2.probation_orphaned_and_prepared", 2, &[
        Judged(1), Opened(1), TAKE, ACK_2, PREPARE, DRAINED, PASS, BEAT, PASS, TAKE, Said(0, 12), DONE, Slept, DONE,
    ]),
    ("v2.probation_dismissed", 3, &[Ended(0, 0), Judged(2), Slept]),
    ("v2.probation_confirm_late", 2, &[Judged(0), Slept, Ended(0, 0), Judged(2)]),
    ("v2.probation_confirm_failed", 2, &[Judged(0), Ended(0, 0)]),
];

#[rustfmt::skip]
pub(crate) const SUCCESSOR: &[Script] = &[
    ("serving", 0, &[DONE, TAKE, ACK, DONE, Said(0, 9), Ended(0, 3), Slept, Ended(0, 3), TAKE, DONE, Closed(0)]),
    ("dismissed_after_ready", 0, &[DONE, TAKE, ACK, DONE, Said(0, 9), Ended(0, 3), Ended(0, 3), TAKE, DONE, Said(0, 12)]),
    ("lost_before_begin", 0, &[DONE, TAKE, ACK, DONE, Closed(0), Ended(0, 1), Slept, Ended(0, 3), Ended(0, 3), DONE]),
    ("lock_held_to_the_end", 0, &[
        DONE, TAKE, ACK, DONE, Said(0, 9), Ended(0, 1), Passed(1000), Ended(0, 1), Passed(3000), Ended(0, 1), TAKE,
    ]),
    ("open_failed", 0, &[DONE, TAKE, ACK, DONE, Said(0, 9), Ended(0, 3), Ended(0, 0), TAKE]),
    ("open_unhealthy", 0, &[DONE, TAKE, ACK, DONE, Said(0, 9), Ended(0, 3), Ended(0, 2), Slept, TAKE]),
    ("open_too_large", 0, &[DONE, TAKE, ACK, DONE, Said(0, 9), Ended(0, 3), Ended(0, 1), TAKE, DONE]),
    ("open_aborted", 0, &[DONE, TAKE, ACK, DONE, Said(0, 9), Ended(0, 3), Said(0, 12), Ended(0, 3)]),
    ("lost_while_staging", 0, &[Closed(0), DONE, Ended(0, 3), Ended(0, 3), DONE]),
    ("aborted_while_standing", 0, &[DONE, TAKE, ACK, DONE, Said(0, 12)]),
    ("aborted_while_locking", 0, &[DONE, TAKE, ACK, DONE, Said(0, 9), Said(0, 12), Ended(0, 3)]),
    ("aborted_while_announcing", 0, &[DONE, TAKE, ACK, DONE, Said(0, 9), Ended(0, 3), Ended(0, 3), Said(0, 12), TAKE]),
    ("aborted_while_publishing", 0, &[DONE, TAKE, ACK, DONE, Said(0, 9), Ended(0, 3), Ended(0, 3), TAKE, Said(0, 12), DONE]),
    ("alone_while_opening", 0, &[DONE, TAKE, ACK, DONE, Said(0, 9), Ended(0, 3), Closed(0), Slept, Ended(0, 3), Ended(0, 0)]),
    ("stage_failed", 0, &[Ended(0, 0)]),
    ("late", 0, &[DONE, TAKE, Slept]),
    ("begin_while_warming", 0, &[DONE, TAKE, ACK, Said(0, 9), DONE, Ended(0, 3), Ended(0, 3), TAKE, DONE]),
    ("opening_without_a_version", 0, &[DONE, TAKE, Slept, Ended(0, 3), Slept, TAKE, Ended(0, 3), Slept, TAKE, DONE]),
    ("warm_up_failed", 0, &[DONE, TAKE, ACK, Ended(0, 0), TAKE]),
    ("peer_does_not_read", 0, &[DONE, ACK, DONE, Said(0, 9), Ended(0, 3), Slept, Slept, Ended(0, 3), Slept, Slept, DONE]),

    ("v2.serving", 0, &[
        DONE, TAKE, ACK_2, Slept, TAKE, DONE, TAKE, Said(0, 9), Ended(0, 3), Slept, Ended(0, 3), TAKE, TAKE, DONE, DONE,
        Said(0, 11),
    ]),
    ("v2.committed_while_publishing", 2, &[
        DONE, TAKE, ACK_2, DONE, TAKE, Said(0, 9), Ended(0, 3), Ended(0, 3), TAKE, Said(0, 11), DONE,
    ]),
    ("v2.committed_before_ready_is_taken", 0, &[
        DONE, TAKE, ACK_2, DONE, TAKE, Said(0, 9), Ended(0, 3), Ended(0, 3), Said(0, 11), DONE,
    ]),
    ("v2.dismissed", 0, &[
        DONE, TAKE, ACK_2, DONE, TAKE, Said(0, 9), Ended(0, 3), Ended(0, 3), TAKE, DONE, Said(0, 14), Said(0, 12),
    ]),
    ("v2.orphaned", 0, &[DONE, TAKE, ACK_2, DONE, TAKE, Said(0, 9), Ended(0, 3), Ended(0, 3), TAKE, Ended(0, 0), Closed(0)]),
    ("v2.begin_before_standby", 0, &[DONE, TAKE, ACK_2, Said(0, 9), DONE, Ended(0, 3), Ended(0, 3), DONE]),
    ("v2.warm_up_failed", 0, &[DONE, TAKE, ACK_2, Ended(0, 0), TAKE]),
    ("v2.warm_up_aborted", 0, &[DONE, TAKE, ACK_2, Said(0, 12), DONE]),
    ("v2.warm_up_late", 0, &[DONE, TAKE, ACK_2, Passed(3_600_000), TAKE, TAKE]),
    ("v2.lost_while_warming", 0, &[DONE, TAKE, ACK_2, Closed(0), Ended(0, 3), DONE, Ended(0, 3), DONE]),
    ("v2.commit_before_begin", 0, &[DONE, TAKE, ACK_2, DONE, TAKE, Said(0, 11), Ended(0, 1)]),
    ("v2.bytes_after_hello_ack", 0, &[
        DONE, TAKE, Bytes(0, b"\x16\0\0\0\x01\0\x01\x02\x10\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\xff"), DONE, TAKE,
    ]),
    ("v2.descriptors", 0, &[DONE, TAKE, Sent(0, &[19, 9], 4, TWO), DONE, TAKE]),
];

const MEET: Happening<'static> = Said(0, 0);
const WELCOME: Happening<'static> = Said(1, 1);
const MEET_2: Happening<'static> = Said(0, 21);
const WELCOME_2: Happening<'static> = Said(1, 22);
const STANDBY: Happening<'static> = Said(1, 23);
/// So many bytes are a whole Listeners with two names.
const WHOLE: u16 = 19;
/// Set-ups: a probation; a question.
const PROBATION: u8 = 0x40;
const ASK_LISTENERS: u8 = 2;
const ASK_STATUS: u8 = 10;

#[rustfmt::skip]
pub(crate) const SUPERVISOR: &[Script] = &[
    ("handed_over", 0, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, Said(0, 4), TAKE, Said(0, 7),
        WroteAll(1), DONE, Said(1, 10), TAKE, DONE,
    ]),
    ("incumbent_lost", 0, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, Closed(0), WroteAll(0), DONE,
        Said(0, 10), DONE,
    ]),
    ("successor_lost_and_undone", 0, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, Said(0, 4), TAKE, Closed(1), DONE, TAKE,
    ]),
    ("successor_unhealthy", 0, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, Said(0, 4), TAKE, Said(0, 7),
        WroteAll(1), DONE, Said(1, 15), DONE, Closed(0), Ended(0, 0), Slept, Ended(0, 0), Slept, Passed(60_000),
        Ended(0, 0), Slept, Ended(0, 0), Ended(0, 3),
    ]),
    ("nobody_answers", 0, &[Ended(0, 0), Slept, Ended(0, 0), Passed(20_000), Ended(0, 0)]),
    ("refused", 0, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, Said(0, 12), DONE, TAKE,
    ]),
    ("stuck_incumbent_aborted", 0, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, PASS, BEAT, PASS, BEAT, PASS, BEAT,
        PASS, BEAT, PASS, BEAT, PASS, BEAT, PASS, TAKE, Said(0, 4), DONE, TAKE,
    ]),
    ("stuck_incumbent_killed", 1, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, PASS, BEAT, PASS, BEAT, PASS, BEAT,
        PASS, BEAT, PASS, BEAT, PASS, BEAT, PASS, Said(0, 4), DONE, WroteAll(0), DONE, Said(0, 10), DONE,
    ]),
    ("successor_lost_while_the_incumbent_is_killed", 1, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, PASS, BEAT, PASS, BEAT, PASS, BEAT,
        PASS, BEAT, PASS, BEAT, PASS, BEAT, PASS, Closed(1), DONE, DONE, TAKE,
    ]),
    ("refused_after_begin", 0, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, Said(0, 4), TAKE, Said(0, 7),
        WroteAll(1), DONE, Said(0, 12), Said(1, 10), TAKE, DONE,
    ]),
    ("incumbent_lost_while_spawning", 0, &[Ended(0, 2), MEET, TAKE, Closed(0), Ended(0, 3), WELCOME, DONE, Said(0, 10)]),
    ("spawn_failed_alone", 0, &[Ended(0, 2), MEET, TAKE, Closed(0), Ended(0, 0), Ended(0, 2), DONE]),
    ("incumbent_lost_before_hello", 0, &[Ended(0, 2), Closed(0), Slept, Ended(0, 2), Slept, Slept]),
    ("spawn_failed", 0, &[Ended(0, 2), MEET, TAKE, Ended(0, 0), TAKE, DONE]),
    ("recovery_finds_an_incumbent", 4, &[Ended(0, 2), MEET, Ended(0, 1)]),
    ("recovery_kills_and_finds", 4, &[
        Ended(0, 0), Ended(0, 3), Slept, Ended(0, 0), Passed(600_000), Ended(0, 3), DONE, Ended(0, 2), MEET, Ended(0, 1),
    ]),
    ("recovery_starts_afresh", 6, &[Ended(0, 0), Ended(0, 4), Ended(0, 3), DONE]),
    ("recovery_without_a_journal", 14, &[Ended(0, 0), Ended(0, 0), Slept, Ended(0, 0), Ended(0, 4), Ended(0, 0)]),

    ("v2.handed_over", PROBATION, &[
        Ended(0, 2), MEET_2, TAKE, Ended(0, 3), WELCOME_2, WroteAll(1), Passed(2000), TAKE, Said(1, 14), STANDBY, DONE, TAKE,
        Said(0, 4), TAKE, Said(0, 7), WroteAll(1), DONE, Said(1, 10), PASS, TAKE, BEAT, PASS, TAKE, DONE, TAKE, WroteAll(1),
        Closed(1), DONE,
    ]),
    ("v2.handed_over_without_probation", 0, &[
        Ended(0, 2), MEET_2, TAKE, Ended(0, 3), WELCOME_2, WroteAll(1), STANDBY, DONE, TAKE, Said(0, 4), TAKE, Said(0, 7),
        WroteAll(1), DONE, Said(1, 10), TAKE, WroteAll(1), Slept, Slept,
    ]),
    ("v2.probation_failed", PROBATION, &[
        Ended(0, 2), MEET_2, TAKE, Ended(0, 3), WELCOME_2, WroteAll(1), STANDBY, DONE, TAKE, Said(0, 4), TAKE, Said(0, 7),
        WroteAll(1), DONE, Said(1, 10), Ended(0, 0), DONE, TAKE,
    ]),
    ("v2.probation_successor_lost", PROBATION, &[
        Ended(0, 2), MEET_2, TAKE, Ended(0, 3), WELCOME_2, WroteAll(1), STANDBY, DONE, TAKE, Said(0, 4), TAKE, Said(0, 7),
        WroteAll(1), DONE, Said(1, 10), Closed(1), DONE, Ended(0, 0), TAKE,
    ]),
    ("v2.probation_incumbent_lost", PROBATION, &[
        Ended(0, 2), MEET_2, TAKE, Ended(0, 3), WELCOME_2, WroteAll(1), STANDBY, DONE, TAKE, Said(0, 4), TAKE, Said(0, 7),
        WroteAll(1), DONE, Said(1, 10), Closed(0), WroteAll(0), Slept, DONE,
    ]),
    ("v2.probation_never_ends", PROBATION, &[
        Ended(0, 2), MEET_2, TAKE, Ended(0, 3), WELCOME_2, WroteAll(1), STANDBY, DONE, TAKE, Said(0, 4), TAKE, Said(0, 7),
        WroteAll(1), DONE, Said(1, 10), Passed(50_000), TAKE, DONE, TAKE,
    ]),
    ("v2.probation_of_version_1", PROBATION, &[
        Ended(0, 2), MEET_2, TAKE, Ended(0, 3), WELCOME, WroteAll(1), DONE, TAKE, Said(0, 4), TAKE, Said(0, 7),
        WroteAll(1), DONE, Said(1, 10), Closed(1), DONE, TAKE,
    ]),
    ("v2.no_probation_with_version_1", PROBATION, &[
        Ended(0, 2), MEET, TAKE, Ended(0, 3), WELCOME_2, WroteAll(1), STANDBY, DONE, TAKE, Said(0, 4), TAKE, Said(0, 7),
        WroteAll(1), DONE, Said(1, 10), TAKE, WroteAll(1), Closed(1),
    ]),
    ("v2.warm_up_late", 0, &[
        Ended(0, 2), MEET_2, TAKE, Ended(0, 3), WELCOME_2, WroteAll(1), PASS, Said(1, 14), PASS, Said(1, 14), PASS,
        Said(1, 14), PASS, Said(1, 14), PASS, Said(1, 14), PASS, Said(1, 14), PASS, DONE, TAKE,
    ]),
    ("v2.silent_while_warming", 0, &[Ended(0, 2), MEET_2, TAKE, Ended(0, 3), WELCOME_2, WroteAll(1), Passed(11_000), DONE, TAKE]),
    ("v2.incumbent_lost_while_warming", 0, &[
        Ended(0, 2), MEET_2, TAKE, Ended(0, 3), WELCOME_2, WroteAll(1), Closed(0), Said(0, 23), DONE, WroteAll(0), Said(0, 10),
        WroteAll(0), Closed(0),
    ]),
    ("v2.ready_before_standby", 0, &[Ended(0, 2), MEET_2, TAKE, Ended(0, 3), WELCOME_2, Said(1, 10), DONE, TAKE]),
    ("v2.retired", 0x80, &[Ended(0, 2), MEET_2, Slept, Ended(0, 2), MEET_2, Passed(6000), Ended(0, 2), MEET_2]),

    ("v2.bytes_after_hello", 0, &[
        Ended(0, 2), Bytes(0, b"\x0f\0\0\0\x01\0\0\0\x64\x05build\x01\x02\0\xff"), TAKE, Ended(0, 3), WELCOME_2, WroteAll(1), STANDBY,
    ]),

    ("ask.status", ASK_STATUS, &[Ended(0, 2), MEET_2, TAKE, Said(0, 29)]),
    ("ask.status_late", ASK_STATUS, &[Ended(0, 2), MEET_2, TAKE, Passed(5000), Said(0, 29)]),
    ("ask.status_gets_listeners", ASK_STATUS, &[Ended(0, 2), MEET_2, TAKE, Sent(0, &[27], WHOLE, TWO)]),
    ("ask.listeners", ASK_LISTENERS, &[Ended(0, 2), MEET_2, TAKE, Sent(0, &[27], WHOLE, TWO), DONE]),
    ("ask.listeners_in_pieces", ASK_LISTENERS, &[Ended(0, 2), MEET_2, TAKE, Sent(0, &[27], 3, TWO), Ended(0, 0)]),
    ("ask.listeners_behind_others", ASK_LISTENERS, &[Ended(0, 2), MEET_2, TAKE, Sent(0, &[14, 14, 27], 20, TWO), DONE]),
    ("ask.listeners_with_others_behind", ASK_LISTENERS, &[Ended(0, 2), MEET_2, TAKE, Sent(0, &[27, 14], WHOLE + 3, TWO)]),
    ("ask.listeners_half", ASK_LISTENERS, &[Ended(0, 2), MEET_2, TAKE, BytesWith(0, &[15, 0, 0], TWO), Slept]),
    ("ask.listeners_half_and_lost", ASK_LISTENERS, &[Ended(0, 2), MEET_2, TAKE, BytesWith(0, &[15, 0, 0], TWO), Closed(0)]),
    ("ask.listeners_half_and_more", ASK_LISTENERS, &[
        Ended(0, 2), MEET_2, TAKE, BytesWith(0, &[15, 0, 0], TWO), BytesWith(0, &[0], Handles { first: 50, count: 1 }),
    ]),
    ("ask.listeners_truncated", ASK_LISTENERS, &[Ended(0, 2), MEET_2, TAKE, Sent(0, &[27], 3, Handles::TRUNCATED)]),
    ("ask.listeners_without_their_descriptors", ASK_LISTENERS, &[Ended(0, 2), MEET_2, TAKE, Said(0, 27)]),
    ("ask.listeners_none", ASK_LISTENERS, &[Ended(0, 2), MEET_2, TAKE, Said(0, 25), Closed(0), DONE]),
    ("ask.listeners_refused", ASK_LISTENERS, &[Ended(0, 2), MEET_2, TAKE, Said(0, 12)]),
    ("ask.version_1", ASK_LISTENERS, &[Ended(0, 2), MEET]),
    ("ask.nobody", ASK_LISTENERS, &[Ended(0, 0)]),
];
