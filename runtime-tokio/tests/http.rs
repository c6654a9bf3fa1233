//! The example service is replaced while clients with one kept connection each, and with a new one
//! for each request, are at it. No request fails.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use handoff_tokio::{HandoffSpec, SpawnSpec, Supervisor, wait};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Examples are built along with the tests, beside their directory.
fn http() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("examples/http")
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

/// A client that keeps its connection for as long as it may.
struct Client {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    /// Sends a request and reads the answer: the count.
    async fn request(&mut self, method: &str, keep: bool) -> u64 {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await.unwrap();
            self.stream = Some(BufReader::new(stream));
        }
        let stream = self.stream.as_mut().unwrap();
        let connection = if keep { "keep-alive" } else { "close" };
        let request = format!(
            "{method} /hits HTTP/1.1\r\nhost: test\r\nconnection: {connection}\r\ncontent-length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let (mut length, mut close, mut first) = (0, false, true);
        loop {
            let mut line = String::new();
            let read = stream.read_line(&mut line).await.unwrap();
            assert_ne!(read, 0, "closed without an answer");
            let line = line.trim().to_ascii_lowercase();
            if std::mem::take(&mut first) {
                assert_eq!(line, "http/1.1 200 ok");
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            close |= line == "connection: close";
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        if close {
            self.stream = None;
        }
        String::from_utf8(body).unwrap().trim().parse().unwrap()
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
                let mut client = Client {
                    address,
                    stream: None,
                };
                let mut last = 0;
                while !stop.load(Ordering::Acquire) {
                    let count = client.request("POST", keep).await;
                    assert!(count > last, "a hit is lost");
                    last = count;
                    posted.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            })
        })
        .collect();
    // One that is idle, and speaks up only after the handoff.
    let mut idle = Client {
        address,
        stream: None,
    };
    idle.request("GET", true).await;

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
    // It was told for how long it may be idle, and that was over before it was closed.
    idle.stream = None;
    let count = idle.request("GET", false).await;
    assert_eq!(count, posted.load(Ordering::Relaxed));
}
