//! One task of a supervisor, from its start to its report, and what carries out its operations.
//!
//! What takes a while is a process that ends, or a probation: both are watched through descriptors in
//! the source's hub, and looked at in each turn.

use std::time::{Duration, Instant};

use handoff_core::op::{self, LinkReport, OpId, Ticket};
use handoff_core::supervisor::Phase;
use handoff_core::wire::Message;
use handoff_core::{LinkId, Observation, SupervisorConfig, SupervisorOp, SupervisorOutcome};
use handoff_std::host::engine::{Host, Links, failed, value};
use handoff_std::host::process::Dying;
use handoff_std::host::supervise::{Household, Transcript, Vigil, Works};
use handoff_std::host::{Clock, Observer, Process, Recordings};
use handoff_std::{HandoffSpec, HealthCheck, Report, RollbackHandle, SupervisorEvent};
use mio::Interest;

use crate::driver::{Driver, Lane};
use crate::hub::{Hub, OTHER, watch};

/// How often is looked around where something cannot be watched.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) struct Task {
    driver: Driver<handoff_core::Supervisor, 2>,
    host: SupervisorHost,
    /// What is killed once the machine has ended, before the report.
    ending: Option<(SupervisorOutcome, Vec<Dying>)>,
    /// Something cannot be watched.
    blind: bool,
}

impl Task {
    pub(super) fn new(
        home: &Household,
        config: &SupervisorConfig,
        spec: Option<&HandoffSpec>,
        observer: &Observer<SupervisorEvent>,
        rollback: &RollbackHandle,
        hub: &Hub,
    ) -> Self {
        let driver = Driver::new(config.clone(), Lane::Supervisor, hub);
        let host = SupervisorHost {
            works: Works::new(home.clone(), spec.map(|spec| spec.successor.clone())),
            transcript: Transcript::new(config, observer, rollback),
            health: spec.and_then(|spec| spec.health.clone()),
            rollback: rollback.clone(),
            vigil: None,
            dying: Vec::new(),
            incumbent: None,
            clock: driver.engine.clock(),
        };
        Self {
            driver,
            host,
            ending: None,
            blind: false,
        }
    }

    /// Before the first turn.
    pub(super) fn record(&mut self, recordings: Option<&Recordings>) {
        self.driver.engine.record(recordings);
    }

    pub(super) fn timeout(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let vigil = self.host.vigil.iter();
        let due = vigil.filter_map(|(_, vigil)| vigil.due(now));
        let due = due.chain(self.dying().filter_map(|dying| dying.due(now)));
        let due = due.min().map(|at| at.saturating_duration_since(now));
        let look = self.blind.then_some(LOOK_EVERY);
        let driver = self.driver.timeout();
        driver.into_iter().chain(due).chain(look).min()
    }

    /// Does what there is to do now. Returns whether it has ended, and nothing is left of what it had
    /// started.
    pub(super) fn turn(&mut self, hub: &mut Hub) -> bool {
        let wakes = hub.take();
        // Ends before timeouts, as bytes are.
        self.look();
        self.driver.turn(&mut self.host, hub, &wakes);
        if self.ending.is_none()
            && let Some(outcome) = self.driver.engine.outcome()
        {
            // The watch over a probation is not wanted any more.
            self.host.rollback.close();
            self.ending = Some((outcome, self.host.works.dismiss(outcome)));
            self.look();
        }
        self.watch(hub);
        let now = Instant::now();
        self.ending.is_some()
            && self.host.vigil.is_none()
            && self.dying().all(|dying| dying.is_over(now))
    }

    /// The report, once it has ended, and who the incumbent said it was. The sessions are closed last:
    /// an incumbent that was let go before could find its control path in the hands of a successor that
    /// is about to die, and leave.
    pub(super) fn report(self) -> Option<(Report, Option<Process>)> {
        let Self {
            driver: _sessions,
            host,
            ending,
            ..
        } = self;
        let (outcome, dismissed) = ending?;
        let (child, ended) = host.works.conclude(outcome, dismissed);
        let incumbent = host.transcript.incumbent();
        Some((host.transcript.report(outcome, child, ended), incumbent))
    }

    /// Undoes what can be undone half-way. Blocks until it is.
    pub(super) fn abandon(mut self) {
        self.host.rollback.close();
        let links = self.driver.engine.links();
        let incumbent = self.host.incumbent;
        let has_incumbent = incumbent.is_some_and(|link| links.socket(link).is_some());
        // What is killed already, too: an incumbent that is let go before it is dead may leave.
        for (_, dying) in self.host.dying.drain(..) {
            dying.wait();
            // It is said by itself if it lives on.
            let _ = self.host.works.bury(dying);
        }
        if !self.host.transcript.successor_stays(has_incumbent) {
            self.host.works.abandon();
        }
    }

    fn dying(&self) -> impl Iterator<Item = &Dying> {
        let killed = self.host.dying.iter().map(|(_, dying)| dying);
        let dismissed = self.ending.iter().flat_map(|(_, dismissed)| dismissed);
        killed.chain(dismissed)
    }

    /// Registers the ends that are waited for.
    fn watch(&mut self, hub: &Hub) {
        let vigil = self.host.vigil.iter();
        let fds = vigil.flat_map(|(_, vigil)| vigil.fds());
        let blind = fds
            .chain(self.dying().filter_map(Dying::fd))
            .any(|fd| watch(hub.registry(), fd, OTHER, Interest::READABLE).is_err());
        self.blind = blind;
    }

    /// Looks what has ended. It is handed in after what sessions have to say: a process that dies closes
    /// them first.
    fn look(&mut self) {
        let now = Instant::now();
        let (host, answers) = (&mut self.host, &self.driver.answers);
        if let Some((_, vigil)) = &mut host.vigil
            && let Some(result) = vigil.look(now)
            && let Some((ticket, _)) = host.vigil.take()
        {
            answers.put(value(ticket, result));
        }
        for (ticket, dying) in host.dying.extract_if(.., |(_, dying)| dying.is_over(now)) {
            answers.put(value(ticket, host.works.bury(dying)));
        }
    }
}

struct SupervisorHost {
    works: Works,
    transcript: Transcript,
    health: Option<HealthCheck>,
    rollback: RollbackHandle,
    vigil: Option<(Ticket<op::WatchProbation>, Vigil)>,
    dying: Vec<(Ticket<op::Kill>, Dying)>,
    /// The link that was connected last.
    incumbent: Option<LinkId>,
    clock: Clock,
}

impl Host<handoff_core::Supervisor, 2> for SupervisorHost {
    fn start(&mut self, op: SupervisorOp, links: &mut Links) {
        let mut adopt = |(stream, process)| LinkReport {
            link: links.adopt(stream),
            process,
        };
        let ended = match op {
            SupervisorOp::Connect(ticket) => {
                let connected = self.works.connect().map(&mut adopt);
                self.incumbent = connected.as_ref().ok().map(|report| report.link);
                value(ticket, connected)
            }
            SupervisorOp::Spawn(ticket) => value(ticket, self.works.spawn().map(&mut adopt)),
            SupervisorOp::Kill { ticket, process } => match self.works.condemn(process.into()) {
                Ok(dying) => return self.dying.push((ticket, dying)),
                Err(why) => failed(ticket, why),
            },
            SupervisorOp::WriteJournal { ticket, entry } => {
                value(ticket, self.works.write_journal(entry))
            }
            SupervisorOp::ClearJournal(ticket) => value(ticket, self.works.clear_journal()),
            SupervisorOp::ColdStart(ticket) => value(ticket, self.works.cold_start()),
            SupervisorOp::Probe { ticket, entry } => value(ticket, self.works.probe(entry)),
            SupervisorOp::WatchProbation {
                ticket,
                process,
                until,
            } => {
                let until = self.clock.instant(until.as_nanos());
                let health = self.health.clone();
                match Vigil::new(process.into(), until, health, &self.rollback) {
                    Ok(vigil) => return self.vigil = Some((ticket, vigil)),
                    Err(error) => {
                        self.rollback.close();
                        failed(ticket, format!("cannot be watched: {error}"))
                    }
                }
            }
            SupervisorOp::AdoptListeners { ticket, .. } => {
                failed(ticket, "listeners were not asked for")
            }
        };
        links.end(ended);
    }

    /// Nothing but a watch can be asked to stop.
    fn cancel(&mut self, op: OpId) {
        if self
            .vigil
            .as_ref()
            .is_some_and(|(ticket, _)| ticket.id() == op)
        {
            self.rollback.close();
        }
    }

    fn observe(&mut self, seen: Observation<Phase>) {
        self.transcript.saw(seen);
    }

    fn message(&mut self, message: &Message<'_>) {
        self.transcript.heard(message);
    }
}
