//! How a step of the demo is performed: under a load of its own, and judged by what came of it.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::household::Household;
use super::judge::{self, Verdict};
use super::phases::{Phases, Span};
use super::remote::Remote;
use super::report::{Outcome, Report, Step};
use super::talk::Ending;
use super::window::{Seen, Server, Window};
use crate::kvd::args::Runtime;

/// How long clients are watched after a step, besides the time between steps.
const AFTERMATH: Duration = Duration::from_millis(300);

/// The demo, ready to be performed.
pub(super) struct Play {
    pub(super) household: Arc<Household>,
    /// Where the daemon is to listen, as the supervisor is told.
    pub(super) listen: SocketAddr,
    /// What it is built on.
    pub(super) runtime: Runtime,
    /// Where it listens.
    pub(super) addr: SocketAddr,
    /// How long the load runs before each step but the first.
    pub(super) lead: Duration,
    pub(super) supervisor: Option<Remote>,
    began: Instant,
    /// Who serves, after the last step.
    server: Option<Server>,
    /// The last step, with its load that still runs.
    current: Option<(Ended, Window, Span)>,
    done: Vec<Done>,
    problems: Vec<String>,
}

/// What a step is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) name: &'static str,
    /// The version that is started, if one is.
    pub(super) tag: &'static str,
    /// How it may end.
    pub(super) wanted: &'static [Outcome],
    /// Whether the successor comes to serve on probation.
    pub(super) has_probation: bool,
}

/// What a step came to, before the load around it has ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// What was tried.
    pub(super) plan: Plan,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// Why a handoff was given up, or the step failed.
    pub(super) cause: Option<String>,
    /// The supervisor's pid, if it was started in this step and got the listener back.
    pub(super) restarted: Option<u32>,
    /// Who serves now.
    pub(super) server: Option<Server>,
    /// From the order to the end.
    pub(super) took: Duration,
    /// What the supervisor spent it with.
    pub(super) phases: Phases,
}

/// A step that is over, and its load too.
struct Done {
    ended: Ended,
    seen: Seen,
    /// Writes that could not be read back then.
    lost: u64,
}

impl Play {
    /// A demo of a daemon on `runtime` that is to listen here. Its first supervisor is there.
    ///
    /// # Errors
    /// When that cannot be started, or cannot listen.
    pub(super) fn new(
        household: &Arc<Household>,
        listen: SocketAddr,
        runtime: Runtime,
        lead: Duration,
    ) -> anyhow::Result<Self> {
        let supervisor = Remote::start(household, listen, runtime)?;
        Ok(Self {
            household: Arc::clone(household),
            listen,
            runtime,
            addr: supervisor.bound()?,
            lead,
            supervisor: Some(supervisor),
            began: Instant::now(),
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
        for Done { ended, seen, lost } in std::mem::take(&mut self.done) {
            let lost = lost.max(self.look_for(&ended, &seen));
            steps.push(Step::new(ended, &seen, lost));
        }
        Report::new(self.runtime, steps, self.problems, self.began.elapsed())
    }

    /// One step, with the load around it. The load of the step before ends when this one's has
    /// begun, so that there is no moment without clients.
    pub(super) fn step(
        &mut self,
        plan: Plan,
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
            plan,
            outcome: Outcome::Failed,
            cause: None,
            restarted: None,
            server: None,
            took,
            phases,
        };
        let result = asked.map(|(ending, server)| self.judge(&mut ended, ending, server));
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
    fn judge(&mut self, ended: &mut Ended, ending: Ending, server: Server) {
        let before = self.server.replace(server.clone());
        if let Ending::Found { listener, .. } = &ending {
            ended.restarted = self.supervisor.as_ref().map(Remote::pid);
            if *listener != self.addr {
                let other = format!("the daemon gave {listener} back, not {}", self.addr);
                self.complain(&ended.plan, &other);
            }
        }
        if server.runtime != self.runtime.name() {
            let other = format!("the daemon runs on {}", server.runtime);
            self.complain(&ended.plan, &other);
        }
        let Verdict {
            outcome,
            cause,
            wrong,
        } = judge::ending(&ended.plan, ending, before.as_ref(), &server);
        ended.outcome = outcome;
        ended.cause = cause;
        ended.server = Some(server);
        for what in wrong {
            self.complain(&ended.plan, &what);
        }
    }

    /// Ends the last step's load, and looks for what was acknowledged in it on the version that the
    /// step has left behind.
    fn close_window(&mut self) {
        if let Some((ended, window, span)) = self.current.take() {
            let seen = window.close(span, &ended.phases);
            for what in judge::seen(&ended, &seen) {
                self.complain(&ended.plan, &what);
            }
            let lost = self.look_for(&ended, &seen);
            self.done.push(Done { ended, seen, lost });
        }
    }

    /// How many of the writes that were acknowledged in a step's window are lost. All of them, as
    /// far as is known, if nobody can be asked.
    fn look_for(&mut self, ended: &Ended, seen: &Seen) -> u64 {
        match seen.acked.verify(self.addr) {
            Ok(verified) => {
                if !verified.examples.is_empty() {
                    let examples = verified.examples.join(", ");
                    self.complain(&ended.plan, &format!("lost {examples}"));
                }
                // Those that were not looked for were not found.
                verified.lost + (seen.acked.count() - verified.checked)
            }
            Err(error) => {
                self.complain(&ended.plan, &format!("cannot read back: {error}"));
                seen.acked.count()
            }
        }
    }

    /// Notes what went wrong, once.
    fn complain(&mut self, plan: &Plan, what: &str) {
        let problem = format!("{}: {what}", plan.name);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Shows what happens, with the time since the start.
    pub(super) fn say(&self, what: &str) -> anyhow::Result<()> {
        let time = self.began.elapsed().as_secs_f64();
        let mut out = io::stdout().lock();
        writeln!(out, "[{time:5.1} s] {what}")?;
        Ok(out.flush()?)
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
        ..
    } = server;
    format!("; {version} serves as pid {pid}, generation {generation}")
}
