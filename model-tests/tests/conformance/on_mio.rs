//! handoff-mio behind the kit's trait: the daemon's loop is one thread, and the kit's hooks, which block, each have one.

use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use handoff_core::{Cause, IncumbentOutcome, SupervisorOutcome};
use handoff_mio::{
    Begun, DataDirLock, Incumbent, Request, Retirement, Role, Step, Supervisor, Warming,
    detect_role,
};
use handoff_model_tests::conformance::{Adapter, Daemon, Post, SupervisorPost};
use mio::event::Source;
use mio::{Events, Interest, Poll, Token};

use crate::on_std::{asked, gave_up, retired, setup};

pub(crate) struct Mio;

const HANDOFF: Token = Token(7);

/// The daemon's loop.
struct Loop {
    poll: Poll,
    events: Events,
}

impl Loop {
    fn new() -> Self {
        Self {
            poll: Poll::new().expect("a poll"),
            events: Events::with_capacity(16),
        }
    }

    fn register(&self, source: &mut impl Source) {
        let registry = self.poll.registry();
        registry
            .register(source, HANDOFF, Interest::READABLE)
            .expect("a source");
    }

    /// Waits for what happens.
    fn wait(&mut self, timeout: Option<Duration>) -> &Events {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            // By whoever froze it; what is there is told of by the next wait.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
        &self.events
    }
}

/// Runs a hook of the kit's on a thread of its own. One that panics drops its request, which has failed then.
fn hook(run: impl FnOnce() + Send + 'static) {
    thread::spawn(run);
}

fn answer(daemon: &Daemon, request: Request) -> Option<Retirement> {
    let daemon = daemon.clone();
    match request {
        Request::Drain(drain) => hook(move || match daemon.drain(|| drain.is_cancelled()) {
            Ok(report) => drain.done(report),
            Err(why) => drain.failed(why),
        }),
        Request::Seal(seal) => {
            hook(
                move || match daemon.seal(|progress| seal.progress(progress)) {
                    Ok(report) => seal.done(report),
                    Err(why) => seal.failed(why),
                },
            );
        }
        Request::Resume(resume) => hook(move || match daemon.resume(resume.generation()) {
            Ok(()) => resume.done(),
            Err(why) => resume.failed(why),
        }),
        Request::Committed(committed) => hook(move || match daemon.committed() {
            Ok(()) => committed.done(),
            Err(why) => committed.failed(why),
        }),
        Request::Snapshot(asked) => asked.done(daemon.snapshot()),
        Request::Retire(retirement) => return Some(retirement),
    }
    None
}

fn serve(mut own: Loop, incumbent: Incumbent, post: Post) -> IncumbentOutcome {
    let mut incumbent = incumbent.with_times(post.incumbent);
    loop {
        loop {
            match incumbent.turn() {
                Ok(Some(request)) => {
                    if let Some(retirement) = answer(&post.daemon, request) {
                        return retired(Ok(retirement));
                    }
                }
                Ok(None) => break,
                Err(error) => return retired(Err(error)),
            }
        }
        for event in own.wait(incumbent.timeout()) {
            incumbent.ready(event);
        }
    }
}

fn warm_up(daemon: Daemon, warming: Warming) {
    hook(move || match daemon.warm_up(|| warming.is_cancelled()) {
        Ok(()) => warming.stand_by(),
        Err(why) => warming.give_up(&why),
    });
}

fn open(daemon: Daemon, begun: Begun) {
    hook(move || match daemon.open(|| begun.is_cancelled()) {
        Ok(readiness) => begun.announce(readiness),
        Err(why) => begun.give_up(&why),
    });
}

impl Adapter for Mio {
    fn name(&self) -> &'static str {
        "mio"
    }

    fn incumbent(&self, post: Post) -> IncumbentOutcome {
        detect_role().expect("what the kit hands over");
        let own = Loop::new();
        let lock = DataDirLock::acquire(&post.data_dir).expect("nobody holds it");
        let mut incumbent = Incumbent::bind(&post.control, lock).expect("nobody has the path");
        if let Some(recordings) = &post.recordings {
            incumbent = incumbent.with_recording(recordings.clone());
        }
        own.register(&mut incumbent);
        serve(own, incumbent, post)
    }

    fn successor(&self, post: Post) -> Result<IncumbentOutcome, Box<Cause>> {
        let Ok(Role::Successor(mut successor)) = detect_role() else {
            panic!("the kit starts it as a successor");
        };
        if let Some(recordings) = &post.recordings {
            successor = successor.with_recording(recordings.clone());
        }
        let mut own = Loop::new();
        let mut succession = successor.handshake(setup(&post)).map_err(gave_up)?;
        own.register(&mut succession);
        loop {
            while let Some(step) = succession.turn().map_err(gave_up)? {
                match step {
                    Step::WarmUp(warming) => warm_up(post.daemon.clone(), warming),
                    Step::Open(begun) => open(post.daemon.clone(), begun),
                    Step::Serve(serving) => {
                        return Ok(serve(own, succession.into_incumbent(serving), post));
                    }
                }
            }
            for event in own.wait(succession.timeout()) {
                succession.ready(event);
            }
        }
    }

    fn supervisor(&self, post: SupervisorPost) -> SupervisorOutcome {
        let asked = asked(&post);
        let home = post.home;
        let mut supervisor = Supervisor::new(&home.control, &home.data_dir, home.daemon)
            .expect("a good path")
            .with_times(post.config);
        if let Some(journal) = home.journal {
            supervisor = supervisor.with_journal(journal.path());
        }
        if let Some(recordings) = post.recordings {
            supervisor = supervisor.with_recording(recordings);
        }
        let mut own = Loop::new();
        own.register(&mut supervisor);
        match asked {
            Some(spec) => supervisor.handoff(&spec),
            None => supervisor.recover(),
        }
        .expect("it can be begun");
        loop {
            if let Some(report) = supervisor.turn() {
                return report.outcome;
            }
            for event in own.wait(supervisor.timeout()) {
                supervisor.ready(event);
            }
        }
    }
}
