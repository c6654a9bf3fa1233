//! handoff-std behind the kit's trait.

use handoff_core::{Cause, IncumbentOutcome, Reason, SupervisorOutcome, Task};
use handoff_model_tests::conformance::{Adapter, Hooks, Post, SupervisorPost};
use handoff_std::{
    DataDirLock, HandoffSpec, Incumbent, Retirement, Role, ServeError, SuccessorError,
    SuccessorSetup, Supervisor, detect_role,
};

pub(crate) struct Std;

fn serve(incumbent: Incumbent, post: Post) -> IncumbentOutcome {
    let mut incumbent = incumbent.with_times(post.incumbent);
    if let Some(recordings) = post.recordings {
        incumbent = incumbent.with_recording(recordings);
    }
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
        let Ok(Role::Successor(mut successor)) = detect_role() else {
            panic!("the kit starts it as a successor");
        };
        if let Some(recordings) = &post.recordings {
            successor = successor.with_recording(recordings.clone());
        }
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
        if let Some(recordings) = post.recordings {
            supervisor = supervisor.with_recording(recordings);
        }
        let report = match asked {
            Some(spec) => supervisor.handoff(&spec),
            None => supervisor.recover(),
        };
        report.expect("it can be begun").outcome
    }
}
