//! The example service is replaced while clients with one kept connection each, and with a new one
//! for each request, are at it, and others that hang up. No request fails.

#[path = "../examples/http_pause/client.rs"]
mod client;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use handoff_tokio::{Child, HandoffSpec, SpawnSpec, Supervisor, wait};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use client::Client;

/// Examples are built along with the tests, beside their directory; unless only this one is asked for.
fn http() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let http = test.ancestors().nth(2).unwrap().join("examples/http");
    assert!(
        http.exists(),
        "it is built by `cargo build -p handoff-tokio --examples`"
    );
    http
}

fn spec(dir: &Path) -> SpawnSpec {
    SpawnSpec {
        binary: http(),
        args: vec![dir.join("control").into(), dir.into()],
        ..SpawnSpec::default()
    }
}

/// A daemon that does not outlive the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let control = dir.path().join("control");
    let mut supervisor = Supervisor::new(&control, dir.path(), spec(dir.path()))
        .unwrap()
        .with_listener("main", listener);
    let mut started = supervisor.recover().await.unwrap();
    let mut daemon = Guard(started.child.take().unwrap());

    let stop = Arc::new(AtomicBool::new(false));
    let posted = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = [(true, 0), (true, 20), (false, 0), (false, 5)]
        .into_iter()
        .map(|(keep, pause)| {
            let (stop, posted) = (Arc::clone(&stop), Arc::clone(&posted));
            tokio::spawn(async move {
                let mut client = Client::new(address);
                let mut last = 0;
                while !stop.load(Ordering::Acquire) {
                    let count = client.request("POST", keep).await.unwrap();
                    assert!(count > last, "a hit is lost");
                    last = count;
                    posted.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            })
        })
        .collect();
    // One that does not wait for its answers: what it began must not get in the way of others.
    let hanging_up = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let mut asked = 0;
            while !stop.load(Ordering::Acquire) {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let request = b"POST /hits HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(request).await.unwrap();
                asked += 1;
                tokio::task::yield_now().await;
                drop(stream);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            asked
        }
    });
    // One that is idle, and speaks up only after the handoff.
    let mut idle = Client::new(address);
    idle.request("GET", true).await.unwrap();

    for round in 0..2 {
        let handoff = HandoffSpec::new(spec(dir.path()));
        let mut report = supervisor.handoff(&handoff).await.unwrap();
        assert!(report.committed(), "round {round}: {}", report.outcome);
        let new = Guard(report.child.take().unwrap());
        let mut old = std::mem::replace(&mut daemon, new);
        assert!(wait(&mut old.0).await.unwrap().success());
    }
    stop.store(true, Ordering::Release);
    for client in clients {
        client.await.unwrap();
    }
    let asked = hanging_up.await.unwrap();
    // It was told for how long it may be idle, and that was over before it was closed.
    drop(idle);
    let count = Client::new(address).request("GET", false).await.unwrap();
    let posted = posted.load(Ordering::Relaxed);
    assert!((posted..=posted + asked).contains(&count), "{count}");
}
