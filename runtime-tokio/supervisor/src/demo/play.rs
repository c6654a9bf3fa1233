//! The steps of the demo, one after the other, each under a load of its own.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use handoff_std::core::supervisor::Phase;

use super::household::Household;
use super::remote::{Phases, Remote};
use super::report::{Ended, Outcome, Report, Step};
use super::talk::{Ending, Order};
use super::window::{Seen, Server, Span, Window};

/// How long clients are watched after a step, besides the time between steps.
const AFTERMATH: Duration = Duration::from_millis(300);
/// How long the slow successor takes to open its data.
const SLOW_OPEN: Duration = Duration::from_millis(1500);
/// How long after Begin its supervisor is killed.
const KILL_AFTER: Duration = Duration::from_millis(200);

/// The demo, ready to be performed.
pub(super) struct Play {
    household: Arc<Household>,
    listener: TcpListener,
    addr: SocketAddr,
    /// How long the load runs before each handoff.
    lead: Duration,
    began: Instant,
    supervisor: Option<Remote>,
    /// Who serves, after the last step.
    server: Option<Server>,
    /// The last step, with its load that still runs.
    current: Option<(Ended, Window, Span)>,
    done: Vec<(Ended, Seen)>,
    problems: Vec<String>,
}

/// What a step is about.
struct Plan {
    name: &'static str,
    /// The version that is started.
    tag: &'static str,
    /// How it may end.
    wanted: &'static [Outcome],
}

impl Play {
    /// A demo with this listener.
    ///
    /// # Errors
    /// When the listener has no address.
    pub(super) fn new(
        household: &Arc<Household>,
        listener: TcpListener,
        lead: Duration,
    ) -> anyhow::Result<Self> {
        let addr = listener.local_addr()?;
        Ok(Self {
            household: Arc::clone(household),
            listener,
            addr,
            lead,
            began: Instant::now(),
            supervisor: None,
            server: None,
            current: None,
            done: Vec::new(),
            problems: Vec::new(),
        })
    }

    /// Performs all steps, as far as it gets, and looks for every acknowledged write.
    pub(super) fn perform(mut self) -> Report {
        if let Err(error) = self.steps() {
            self.problems.push(format!("{error:#}"));
        }
        self.close_window();
        let mut steps = Vec::new();
        for (ended, seen) in std::mem::take(&mut self.done) {
            let lost = self.look_for(&ended, &seen);
            steps.push(Step::new(ended, &seen, lost));
        }
        Report::new(steps, self.problems, self.began.elapsed())
    }

    fn steps(&mut self) -> anyhow::Result<()> {
        let Self { addr, .. } = *self;
        self.say(&format!(
            "clients connect to {addr}; so may you: redis-cli -p {} info",
            addr.port()
        ))?;

        let start = Plan {
            name: "start of A",
            tag: "A",
            wanted: &[Outcome::Started],
        };
        self.step(&start, Duration::ZERO, |play, phases| {
            let supervisor = Remote::start(&play.household, &play.listener, "A")?;
            let ending = supervisor.ending(phases);
            play.supervisor = Some(supervisor);
            ending
        })?;

        let plan = Plan {
            name: "handoff from A to B",
            tag: "B",
            wanted: &[Outcome::Committed],
        };
        self.step(&plan, self.lead, |play, phases| {
            play.hand_over("B", &[], phases)
        })?;

        let plan = Plan {
            name: "handoff from B to C, which cannot open the data",
            tag: "C",
            wanted: &[Outcome::RolledBack],
        };
        self.step(&plan, self.lead, |play, phases| {
            play.hand_over("C", &["--fail", "open"], phases)
        })?;

        let plan = Plan {
            name: "handoff from B to D', whose supervisor is killed while D' opens the data slowly",
            tag: "D'",
            wanted: &[Outcome::TakenOver, Outcome::Reclaimed],
        };
        self.step(&plan, self.lead, Self::lose_the_supervisor)?;

        let plan = Plan {
            name: "handoff to D, by the supervisor that was started again",
            tag: "D",
            wanted: &[Outcome::Committed],
        };
        self.step(&plan, self.lead, |play, phases| {
            play.hand_over("D", &[], phases)
        })?;
        self.say("looking for every acknowledged write")
    }

    fn hand_over(
        &mut self,
        tag: &str,
        faults: &[&str],
        phases: &mut Phases,
    ) -> anyhow::Result<Ending> {
        let supervisor = self.supervisor.as_mut().context("there is no supervisor")?;
        supervisor.order(&order(tag, faults))?;
        supervisor.ending(phases)
    }

    fn lose_the_supervisor(&mut self, phases: &mut Phases) -> anyhow::Result<Ending> {
        let mut supervisor = self.supervisor.take().context("there is no supervisor")?;
        let pid = supervisor.pid();
        let slow = SLOW_OPEN.as_millis().to_string();
        supervisor.order(&order("D'", &["--open-delay-ms", &slow]))?;
        supervisor.kill_in(Phase::Opening, KILL_AFTER, phases)?;
        self.say(&format!(
            "    the supervisor, pid {pid}, is killed; another one is started"
        ))?;
        let supervisor = Remote::start(&self.household, &self.listener, "B")?;
        let ending = supervisor.ending(phases);
        self.supervisor = Some(supervisor);
        ending
    }

    /// One step, with the load around it. The load of the step before ends when this one's has
    /// begun, so that there is no moment without clients.
    fn step(
        &mut self,
        plan: &Plan,
        lead: Duration,
        perform: impl FnOnce(&mut Self, &mut Phases) -> anyhow::Result<Ending>,
    ) -> anyhow::Result<()> {
        let number = self.done.len() + usize::from(self.current.is_some()) + 1;
        let window = Window::open(self.addr, number)?;
        self.close_window();
        thread::sleep(lead);

        self.say(&format!("{number}. {}", plan.name))?;
        let from = Instant::now();
        let mut phases = Phases::default();
        let performed = perform(self, &mut phases);
        let took = from.elapsed();
        let asked = performed.and_then(|ending| Ok((ending, Server::ask(self.addr)?)));
        thread::sleep(AFTERMATH);
        let to = Instant::now();

        let mut ended = Ended {
            name: plan.name,
            outcome: Outcome::Failed,
            cause: None,
            server: None,
            took,
            phases,
        };
        let result = asked.map(|(ending, server)| self.judge(plan, &mut ended, ending, server));
        if let Err(error) = &result {
            ended.cause = Some(format!("{error:#}"));
        }
        let said = self.say(&format!(
            "    {}{}",
            ended.outcome,
            served_by(ended.server.as_ref())
        ));
        self.current = Some((ended, window, Span { from, to }));
        result.context(plan.name).and(said)
    }

    /// What `ending` means for the step, and whether that is as it should be.
    fn judge(&mut self, plan: &Plan, ended: &mut Ended, ending: Ending, server: Server) {
        let before = self.server.replace(server.clone());
        let old_pid = before.as_ref().map(|before| before.pid);
        let (outcome, pid) = match ending {
            Ending::ColdStarted { pid } if before.is_none() => (Outcome::Started, Some(pid)),
            Ending::ColdStarted { pid } => {
                ended.cause = Some("nobody was left, and the daemon was started afresh".into());
                (Outcome::Failed, Some(pid))
            }
            Ending::Committed { pid } => (Outcome::Committed, Some(pid)),
            Ending::RolledBack { cause } => {
                ended.cause = Some(cause);
                (Outcome::RolledBack, old_pid)
            }
            Ending::Found { pid } if Some(pid) == old_pid => (Outcome::Reclaimed, Some(pid)),
            Ending::Found { pid } => (Outcome::TakenOver, Some(pid)),
            Ending::Failed { cause } => {
                ended.cause = Some(cause);
                (Outcome::Failed, None)
            }
        };
        ended.outcome = outcome;

        let mut wrong = Vec::new();
        if !plan.wanted.contains(&outcome) {
            let wanted = plan.wanted.first().map(ToString::to_string);
            let wanted = wanted.unwrap_or_default();
            wrong.push(format!("it ended as \"{outcome}\", not as \"{wanted}\""));
        }
        let version = match (outcome, &before) {
            (Outcome::RolledBack | Outcome::Reclaimed, Some(before)) => &before.version,
            _ => plan.tag,
        };
        if server.version != version {
            wrong.push(format!("version {} serves, not {version}", server.version));
        }
        if pid.is_some_and(|pid| pid != server.pid) {
            wrong.push(format!("pid {} serves, not {pid:?}", server.pid));
        }
        // Every step takes the lock anew, and every taking counts.
        if before.is_some_and(|before| before.generation >= server.generation) {
            wrong.push(format!("generation {} is not a new one", server.generation));
        }
        let wrong = wrong.iter().map(|what| format!("{}: {what}", plan.name));
        self.problems.extend(wrong);
        ended.server = Some(server);
    }

    fn close_window(&mut self) {
        if let Some((ended, window, span)) = self.current.take() {
            let seen = window.close(span);
            if let Some(failure) = &seen.failure {
                let problem = format!("{}: a request failed: {failure}", ended.name);
                self.problems.push(problem);
            }
            self.done.push((ended, seen));
        }
    }

    /// How many of the writes that were acknowledged in a step's window are lost. All of them, as
    /// far as is known, if nobody can be asked.
    fn look_for(&mut self, ended: &Ended, seen: &Seen) -> u64 {
        match seen.acked.verify(self.addr) {
            Ok(verified) => {
                if !verified.examples.is_empty() {
                    let examples = verified.examples.join(", ");
                    self.problems
                        .push(format!("{}: lost {examples}", ended.name));
                }
                // Those that were not looked for were not found.
                verified.lost + (seen.acked.count() - verified.checked)
            }
            Err(error) => {
                self.problems
                    .push(format!("{}: cannot read back: {error}", ended.name));
                seen.acked.count()
            }
        }
    }

    /// Shows what happens, with the time since the start.
    fn say(&self, what: &str) -> anyhow::Result<()> {
        let time = self.began.elapsed().as_secs_f64();
        let mut out = io::stdout().lock();
        writeln!(out, "[{time:5.1} s] {what}")?;
        Ok(out.flush()?)
    }
}

fn order(tag: &str, faults: &[&str]) -> Order {
    Order::HandOver {
        tag: tag.to_owned(),
        faults: faults.iter().map(ToString::to_string).collect(),
    }
}

fn served_by(server: Option<&Server>) -> String {
    let Some(server) = server else {
        return String::new();
    };
    let Server {
        version,
        pid,
        generation,
    } = server;
    format!("; {version} serves as pid {pid}, generation {generation}")
}
