//! A supervisor's handoff is dropped at each of its polls, and somebody serves all the same.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use handoff_std::host::Signal;
use handoff_tokio::Process;
use handoff_tokio::core::SupervisorOutcome;

use crate::daemon::{NOTHING, ONE_THREAD};
use crate::household::Household;

/// Polls `future` at most `times` times and drops it then.
async fn polled<T>(future: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut left = times;
    let mut future = pin!(future);
    poll_fn(|cx| {
        left = left.saturating_sub(1);
        match future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn drop_at_every_poll() {
    let mut house = Household::new(ONE_THREAD, NOTHING).await;
    let mut visits = 0;
    for polls in 1.. {
        let spec = house.spec(ONE_THREAD, NOTHING);
        let ended = polled(house.supervisor.handoff(&spec), polls).await;
        if let Some(report) = ended {
            let mut report = report.unwrap();
            assert!(report.committed(), "{}", report.outcome);
            let mut old = std::mem::replace(&mut house.daemon, report.child.take()).unwrap();
            assert!(handoff_tokio::wait(&mut old).await.unwrap().success());
            house.assert_only_daemon().await;
            return;
        }
        let found = house.supervisor.recover().await.unwrap();
        let SupervisorOutcome::Found { pid } = found.outcome else {
            panic!("after {polls} polls: {}", found.outcome);
        };
        visits += 1;
        assert_eq!(house.visit().await, visits, "after {polls} polls");
        let daemon = house.daemon.as_mut().unwrap();
        if pid == daemon.id() {
            house.assert_only_daemon().await;
        } else {
            // Commit was on its way, and the new one stays. It has nobody who would reap it.
            assert!(handoff_tokio::wait(daemon).await.unwrap().success());
            Process::of(pid).unwrap().kill(Signal::KILL).unwrap();
            house.assert_only_daemon().await;
            house = Household::new(ONE_THREAD, NOTHING).await;
            visits = 0;
        }
    }
}

#[tokio::test]
async fn a_handoff_on_one_thread() {
    drop_at_every_poll().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handoff_on_many_threads() {
    drop_at_every_poll().await;
}
