//! handoff-std behind the kit's trait.

use handoff_core::{Cause, IncumbentOutcome, Reason, SupervisorOutcome, Task};
use handoff_model_tests::conformance::{Adapter, Daemon, Post, SupervisorPost};
use handoff_std::{
    DataDirLock, DrainReport, Drainable, HandoffSpec, HookContext, HookError, Incumbent,
    Retirement, Role, SealReport, ServeError, Snapshot, SuccessorError, SuccessorSetup, Supervisor,
    detect_role,
};

pub(crate) struct Std;

/// The kit's daemon, and the generation that `resume` is told.
struct Hooks(Daemon, std::sync::atomic::AtomicU64);

impl Hooks {
    fn new(daemon: Daemon) -> Self {
        Self(daemon, 0.into())
    }
}

impl Drainable for Hooks {
    fn drain(&self, cx: &HookContext) -> Result<DrainReport, HookError> {
        Ok(self.0.drain(|| cx.is_cancelled())?)
    }

    fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        Ok(self.0.seal()?)
    }

    fn generation(&self, generation: u64) {
        self.1
            .store(generation, std::sync::atomic::Ordering::Release);
    }

    fn resume(&self) -> Result<(), HookError> {
        let generation = self.1.load(std::sync::atomic::Ordering::Acquire);
        Ok(self.0.resume(generation)?)
    }

    fn committed(&self) -> Result<(), HookError> {
        Ok(self.0.committed()?)
    }

    fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }
}

fn serve(incumbent: Incumbent, post: Post) -> IncumbentOutcome {
    let incumbent = incumbent.with_times(post.incumbent);
    retired(incumbent.serve(Hooks::new(post.daemon)))
}

/// How an incumbent ended, in the core's words.
pub(crate) fn retired(ended: Result<Retirement, ServeError>) -> IncumbentOutcome {
    match ended {
        Ok(Retirement::Committed(id)) => IncumbentOutcome::Committed(id),
        Ok(Retirement::Superseded) => IncumbentOutcome::Superseded,
        Ok(Retirement::Stopped) => panic!("nobody has stopped it"),
        Err(ServeError::CannotServe(cause)) => IncumbentOutcome::Failed(*cause),
        Err(error) => panic!("{error}"),
    }
}

/// Why a successor gave up, in the core's words.
pub(crate) fn gave_up(error: SuccessorError) -> Box<Cause> {
    match error {
        SuccessorError::GaveUp(cause) => cause,
        error => panic!("{error}"),
    }
}

/// What a successor is to know.
pub(crate) fn setup(post: &Post) -> SuccessorSetup {
    SuccessorSetup {
        times: post.successor.clone(),
        ..SuccessorSetup::new(&post.control, &post.data_dir)
    }
}

/// The handoff that is asked for; `None` for a recovery.
pub(crate) fn asked(post: &SupervisorPost) -> Option<HandoffSpec> {
    let config = &post.config;
    matches!(config.task, Task::Handoff(_)).then(|| HandoffSpec {
        deadline: config.deadline,
        drain_grace: config.drain_grace,
        warmup_deadline: config.warmup,
        probation: config.probation,
        kill_stuck_incumbent: config.kill_stuck_incumbent,
        ..HandoffSpec::new(post.successor.clone())
    })
}

impl Adapter for Std {
    fn name(&self) -> &'static str {
        "std"
    }

    fn incumbent(&self, post: Post) -> IncumbentOutcome {
        detect_role().expect("what the kit hands over");
        let lock = DataDirLock::acquire(&post.data_dir).expect("nobody holds it");
        let incumbent = Incumbent::bind(&post.control, lock).expect("nobody has the path");
        serve(incumbent, post)
    }

    fn successor(&self, post: Post) -> Result<IncumbentOutcome, Box<Cause>> {
        let Ok(Role::Successor(successor)) = detect_role() else {
            panic!("the kit starts it as a successor");
        };
        let warming = successor.handshake(setup(&post)).map_err(gave_up)?;
        if let Err(why) = post.daemon.warm_up(|| warming.is_cancelled()) {
            warming.give_up(&why);
            return Err(Box::new(Cause::new(Reason::WarmUpFailed)));
        }
        let standing = warming.stand_by().map_err(gave_up)?;
        let begun = standing.wait_for_begin().map_err(gave_up)?;
        let readiness = match post.daemon.open(|| begun.is_cancelled()) {
            Ok(readiness) => readiness,
            Err(why) => {
                begun.give_up(&why);
                return Err(Box::new(Cause::new(Reason::OpenFailed)));
            }
        };
        Ok(serve(begun.announce(readiness).map_err(gave_up)?, post))
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
        let report = match asked {
            Some(spec) => supervisor.handoff(&spec),
            None => supervisor.recover(),
        };
        report.expect("it can be begun").outcome
    }
}
