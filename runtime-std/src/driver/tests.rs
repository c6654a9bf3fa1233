//! Who has a turn when, and what the others hear of it.

use std::sync::mpsc;

use handoff_core::incumbent::Phase;
use handoff_core::op::OpId;
use handoff_core::{Incumbent, IncumbentConfig, IncumbentOp, Observation};

use super::*;

fn driver() -> Driver<Incumbent, 1> {
    Driver::new(IncumbentConfig::default()).unwrap()
}

#[derive(Default)]
struct Nobody {
    _kept: Arc<()>,
    wakes: Vec<Wake>,
}

impl Local for Nobody {
    fn wakes(&mut self) -> Vec<Wake> {
        std::mem::take(&mut self.wakes)
    }
}

impl Host<Incumbent, 1, Stream> for Nobody {
    fn start(&mut self, _: IncumbentOp, _: &mut Links) {}
    fn cancel(&mut self, _: OpId) {}
    fn observe(&mut self, _: Observation<Phase>) {}
}

/// A loop that waits.
fn waiting() -> (Table<Incumbent, Nobody, 1>, Caller) {
    let driver = driver();
    let caller = driver.caller();
    let (table, mut turn) = driver.around(Nobody::default());
    turn.start();
    turn.watched = Some(Arc::new(turn.watch()));
    *table.lock() = Some(turn);
    (table, caller)
}

#[test]
fn a_hook_that_reports_without_end_fills_the_queue() {
    let driver = driver();
    let caller = driver.caller();
    for sealed in 0..1000 {
        caller.progress(Progress {
            sealed,
            ..Progress::default()
        });
    }
    assert_eq!(driver.calls.queued().len(), 1);
    assert_eq!(caller.take_progress().map(|last| last.sealed), Some(999));
}

#[test]
fn what_is_handed_in_while_the_loop_waits_wakes_it_only_for_something_new() {
    let (table, caller) = waiting();
    // Nobody is let in yet, so it is only queued.
    caller.end(Box::new(|_| {}));
    assert!(table.hand_in());
    assert!(table.lock().as_ref().unwrap().calls.queued().is_empty());

    caller.call(Call::Stop);
    assert!(!table.hand_in(), "the loop is to end");
    let turn = table.lock().take().unwrap();
    assert!(matches!(turn.flow(), Some(Flow::Stopped)));
    assert!(!table.hand_in(), "the loop has its turn");
}

// A daemon would hear how its handoff has ended before it heard that it serves.
#[test]
fn nobody_has_a_turn_before_those_are_woken_that_the_last_one_wakes() {
    let (table, caller) = waiting();
    let table = Arc::new(table);
    let inside: Arc<dyn Inside> = Arc::clone(&table) as _;
    caller.let_in(Arc::downgrade(&inside));
    let (tell, told) = mpsc::channel();
    let wake: Wake = {
        let (caller, tell) = (caller.clone(), tell.clone());
        Box::new(move || {
            let next = tell.clone();
            caller.end(Box::new(move |_| next.send("the next turn").unwrap()));
            tell.send("woken").unwrap();
        })
    };
    table.lock().as_mut().unwrap().host.wakes.push(wake);
    caller.end(Box::new(|_| {}));
    table.hand_in();
    let heard: Vec<_> = told.try_iter().collect();
    assert_eq!(heard, ["woken", "the next turn"]);
}

#[test]
fn a_panic_in_the_turn_of_another_thread_is_the_loops() {
    let (table, caller) = waiting();
    caller.end(Box::new(|_| panic!("as the test wants it")));
    assert!(!table.hand_in());
    let mut turn = table.lock().take().unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| turn.go_on(Ready::default())));
    assert_eq!(
        panic.unwrap_err().downcast_ref::<&str>(),
        Some(&"as the test wants it")
    );
}

#[test]
fn nobody_but_the_loop_holds_what_is_left_at_the_end() {
    let driver = driver();
    let caller = driver.caller();
    let ender = std::thread::spawn({
        let caller = caller.clone();
        move || {
            for _ in 0..1000 {
                caller.end(Box::new(|_| {}));
            }
            caller.call(Call::Stop);
        }
    });
    let kept = Arc::new(());
    let (flow, turn) = driver.run_shared(Nobody {
        _kept: Arc::clone(&kept),
        ..Nobody::default()
    });
    assert!(matches!(flow, Flow::Stopped));
    drop(turn);
    assert_eq!(Arc::strong_count(&kept), 1);
    ender.join().unwrap();
    caller.end(Box::new(|_| panic!("nobody hears it")));
}
