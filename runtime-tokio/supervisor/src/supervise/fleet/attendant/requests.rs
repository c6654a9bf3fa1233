//! What clients ask of a service, whether it can be begun, and what they are told.

use std::time::Instant;

use handoff_std::core::SupervisorOutcome;
use handoff_std::{Report, SpawnSpec, SupervisorError};
use tokio::sync::oneshot;

use super::super::orders::{HandoffOrder, Order, Verdict, Wanted};
use super::work::Task;
use super::{Attendant, Doing, Handoff, Hopeful, Stop};
use crate::operate::event::{HandoffEnded, What};
use crate::operate::protocol::{Ended, Listener, Outcome, ServiceStatus, State};
use crate::supervise::kept::written;

impl Attendant {
    /// Does what it is told, or tells why not.
    pub(super) fn heed(&mut self, order: Order) {
        match order {
            Order::Handoff(order) => self.hand_over(order),
            Order::Rollback(client) => self.roll_back(client),
            Order::Look(client) => drop(client.send(self.look())),
            Order::Wind => {
                self.stop = Stop::Winding;
                for order in self.waiting.drain(..) {
                    refuse(order.reply, "the supervision of the service is ending");
                }
                if let Some(Hopeful { client, .. }) = self.hopeful.take() {
                    refuse(client, "the supervision of the service is ending");
                }
            }
            Order::Renew(service) => self.renewal = Some(service),
            Order::Stop { keep } => self.stop = Stop::Asked { keep },
        }
    }

    /// Begins what waits, as soon as nothing is in flight.
    pub(super) fn serve_waiting(&mut self) {
        while matches!(self.doing, Doing::Nothing(_))
            && let Some(order) = self.waiting.pop_front()
        {
            self.hand_over(order);
        }
    }

    /// Begins a handoff, or has it wait, or tells the client why not.
    fn hand_over(&mut self, order: HandoffOrder) {
        // What was asked for first comes first.
        let busy = !matches!(self.doing, Doing::Nothing(_));
        // A look at some files is soon over, and nothing that anybody knows of.
        let soon = matches!(self.doing, Doing::Choosing(_));
        if busy && (order.wait || soon) && !self.stop.is_going() {
            self.waiting.push_back(order);
            return;
        }
        let HandoffOrder {
            binary,
            start,
            reply,
            ..
        } = order;
        let successor = match self.accepts(start).and_then(|()| self.successor(binary)) {
            Ok(successor) => successor,
            Err(refusal) => return refuse(reply, refusal),
        };
        if self.daemon.is_none() {
            return self.revive(successor, reply);
        }
        let from = self.daemon.as_ref().map(|daemon| daemon.pid());
        let binary = successor.binary.clone();
        self.teller.expect(from, &binary);
        let spec = self.service.handoff(successor);
        let (call_off, called_off) = oneshot::channel();
        self.begin(Task::Handoff(Box::new(spec), called_off), |work| {
            let handoff = Handoff {
                from,
                binary,
                client: reply,
                regretful: Vec::new(),
                call_off: Some(call_off),
            };
            Doing::Handoff(work, handoff)
        });
    }

    /// Starts a service that is down.
    fn revive(&mut self, daemon: SpawnSpec, client: oneshot::Sender<Verdict>) {
        let Doing::Nothing(supervisor) = &mut self.doing else {
            return refuse(client, "try again in a moment");
        };
        tracing::info!("a client asks for the service that is down");
        self.hopeful = Some(Hopeful {
            client,
            before: supervisor.daemon().clone(),
            wanted: daemon.binary.clone(),
        });
        self.current.clone_from(&daemon.binary);
        supervisor.set_daemon(daemon);
        self.restarts.forgive();
        self.start_at = Ok(Instant::now());
    }

    /// Tells whoever waits for the service what came of that. If somebody else serves, nothing has been
    /// started, and it stays with the binary from before.
    pub(super) fn answer_hopeful(
        &mut self,
        verdict: Verdict,
        result: &Result<Report, SupervisorError>,
    ) {
        let Some(Hopeful {
            client,
            before,
            wanted,
        }) = self.hopeful.take()
        else {
            return;
        };
        let found = match result {
            Ok(report) => &report.outcome,
            Err(_) => return drop(client.send(verdict)),
        };
        let SupervisorOutcome::Found { pid } = found else {
            return drop(client.send(verdict));
        };
        if let Doing::Nothing(supervisor) = &mut self.doing
            && supervisor.daemon().binary == wanted
        {
            self.current.clone_from(&before.binary);
            supervisor.set_daemon(before);
        }
        refuse(
            client,
            format!(
                "nothing was started: pid {pid} serves already, which somebody else has started; ask again, \
                 and it is handed over"
            ),
        );
    }

    /// Whether a handoff can be begun, or the service started if that is wanted; otherwise why not,
    /// and what to do.
    pub(super) fn accepts(&self, start: bool) -> Result<(), String> {
        if self.stop.is_going() {
            return Err("the supervision of the service is ending".into());
        }
        match &self.doing {
            Doing::Nothing(_) => {}
            Doing::Handoff(..) => {
                return Err("a handoff is in progress; try again when it has ended".into());
            }
            Doing::Asking(_) => {
                let refusal = self.missing.refusal();
                return Err(refusal.unwrap_or_else(|| "try again in a moment".into()));
            }
            Doing::Choosing(_) | Doing::Recovery(_) => {
                return Err(
                    "it is not known yet who serves, or the daemon is being started; \
                            try again in a moment"
                        .into(),
                );
            }
        }
        if let Some(refusal) = self.missing.refusal() {
            return Err(refusal);
        }
        match &self.start_at {
            _ if self.daemon.is_some() => Ok(()),
            Err(_) if start => Ok(()),
            Err(why) => Err(format!(
                "the service is down: {why}; `handoff restart {}` starts it",
                self.service.name
            )),
            Ok(_) => Err(
                "the daemon is not running and will be started again; see the log for why it \
                 ended, and try again then"
                    .into(),
            ),
        }
    }

    /// How the daemon that is wanted is started. Otherwise why it cannot be, and what to do.
    fn successor(&self, binary: Wanted) -> Result<SpawnSpec, String> {
        let binary = match binary {
            Wanted::Current => self.current.clone(),
            Wanted::Configured => self.service.binary.clone(),
            Wanted::Named(path) if self.service.allows(&path) => path,
            Wanted::Named(path) => {
                return Err(format!(
                    "{} is not among allowed_binaries of the service `{}`",
                    path.display(),
                    self.service.name
                ));
            }
        };
        let successor = self.service.spawn(binary);
        // Found here, a mistake does not keep the supervisor busy.
        successor.check().map_err(|error| error.to_string())?;
        Ok(successor)
    }

    /// Ends the probation that goes on; the client is answered when the handoff has ended.
    fn roll_back(&mut self, client: oneshot::Sender<Verdict>) {
        let Doing::Handoff(_, handoff) = &mut self.doing else {
            return refuse(
                client,
                "no handoff is in progress; to go back to an earlier binary, hand over to it",
            );
        };
        if !self.rollback.rollback("an operator asked for it") {
            return refuse(
                client,
                "the handoff in progress is not in its probation, and nothing else can be rolled \
                 back; try again in a moment if the service has a probation",
            );
        }
        tracing::info!("a client asks for a rollback");
        handoff.regretful.push(client);
    }

    /// Tells how a handoff has ended, if it was begun.
    pub(super) fn tell_end(&self, handoff: &Handoff, result: &Result<Report, SupervisorError>) {
        let Ok(report) = result else {
            return;
        };
        let ended = Ended::of(&self.service.name, report);
        let id = ended.handoff_id.clone();
        let all = HandoffEnded::of(report, ended, handoff.from, &handoff.binary);
        self.teller.tell(id, What::HandoffEnded(Box::new(all)));
    }

    pub(super) fn state(&self) -> State {
        match (&self.doing, &self.daemon, &self.start_at) {
            (Doing::Handoff(..), ..) => State::HandingOver,
            (_, Some(_), _) => State::Running,
            (.., Ok(_)) => State::Starting,
            (.., Err(_)) => State::Down,
        }
    }

    fn look(&self) -> ServiceStatus {
        let state = self.state();
        let held = self.held.iter().map(|(name, address)| Listener {
            name: name.clone(),
            address: address.clone(),
            held: true,
        });
        let missing = self.missing.wanted().map(|spec| Listener {
            name: spec.name.clone(),
            address: written(spec),
            held: false,
        });
        let down = match (state, &self.start_at) {
            (State::Down, Err(why)) => Some(why.clone()),
            _ => None,
        };
        ServiceStatus {
            name: self.service.name.clone(),
            state,
            pid: self.daemon.as_ref().map(|daemon| daemon.pid()),
            binary: self.current.to_string_lossy().into_owned(),
            restarts: self.restarted,
            listeners: held.chain(missing).collect(),
            trouble: down.or_else(|| self.missing.refusal()),
            last: None,
            daemon: None,
            answers: None,
        }
    }
}

impl Handoff {
    /// Sees to it that it is not begun any more; false if it is begun already, or was called off.
    pub(super) fn call_off(&mut self) -> bool {
        let call_off = self.call_off.take();
        call_off.is_some_and(|call_off| call_off.send(()).is_ok())
    }

    /// Tells everybody who waited for it what came of it.
    pub(super) fn answer(self, verdict: &Verdict) {
        let _ = self.client.send(verdict.clone());
        let is_late = matches!(
            verdict,
            Verdict::Ended { ended, .. } if ended.outcome == Outcome::Committed
        );
        for client in self.regretful {
            if is_late {
                refuse(
                    client,
                    "it was too late, the handoff has been committed; to go back to the earlier \
                     binary, hand over to it",
                );
            } else {
                let _ = client.send(verdict.clone());
            }
        }
    }
}

/// A client that has left in the meantime misses it.
fn refuse(client: oneshot::Sender<Verdict>, why: impl Into<String>) {
    let _ = client.send(Verdict::Refused(why.into()));
}
