//! An HTTP service that survives handoffs: it counts hits in a file, and no request fails while its
//! binary is replaced.
//!
//! `main` is the life of any daemon on tokio; `door.rs` is what HTTP needs to be drained without a
//! failed request; the hooks below join the two.
//!
//! ```text
//! POST /hits   counts one, and answers the count once it is in the file
//! GET  /hits   answers the count
//! ```
//!
//! A kill loses no hit that was answered; a power failure may, since nothing waits for the disk. What
//! clients notice of a handoff is measured by the example `http_pause`.

mod door;

use std::error::Error;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use handoff_tokio::{
    DrainReport, Drainable, HookContext, HookError, Incumbent, InheritedListeners, Readiness, Role,
    SealReport, Snapshot, SuccessorSetup, acquire_lock, blocking, detect_role, tcp_listener,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;

use door::Door;

type Failure = Box<dyn Error + Send + Sync>;

/// The count in the file; `None` while another process may be the writer.
struct Hits(PathBuf, Arc<Mutex<Option<u64>>>);

impl Hits {
    async fn open(&self) -> Result<(), Failure> {
        let path = self.0.clone();
        let count = blocking(move || match fs::read_to_string(path) {
            Ok(text) => Ok(text.trim().parse()?),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0), // nobody has come yet
            Err(error) => Err(error.into()),
        })
        .await?;
        *self.1.lock().await = Some(count);
        Ok(())
    }

    /// A client that hangs up has this dropped, but not the write that is under way. So the write
    /// has the lock, and neither the next one nor a seal overtakes it.
    async fn count_one(&self) -> Result<u64, Failure> {
        let mut hits = Arc::clone(&self.1).lock_owned().await;
        let path = self.0.clone();
        blocking(move || {
            let count = hits.ok_or("sealed")? + 1;
            let new = path.with_extension("new"); // a kill leaves the old file or the new one
            fs::write(&new, count.to_string())?;
            fs::rename(&new, &path)?;
            *hits = Some(count);
            Ok(count)
        })
        .await
    }
}

async fn show(State(hits): State<Arc<Hits>>) -> Result<String, StatusCode> {
    let count = *hits.1.lock().await;
    let count = count.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(format!("{count}\n"))
}

async fn hit(State(hits): State<Arc<Hits>>) -> Result<String, StatusCode> {
    let count = hits.count_one().await;
    let count = count.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(format!("{count}\n"))
}

struct Service {
    hits: Arc<Hits>,
    door: Arc<Door>,
}

impl Drainable for Service {
    async fn drain(&self, cx: &HookContext) -> Result<DrainReport, HookError> {
        tokio::select! {
            open_connections = self.door.close(cx.remaining()) => Ok(DrainReport {
                open_connections,
                accept_closed: true,
            }),
            () = cx.cancelled() => Err("the handoff was given up".into()),
        }
    }

    async fn seal(&self, _: &HookContext) -> Result<SealReport, HookError> {
        // Each count is in the file already. Nobody is served until the successor has opened it, so
        // what need not happen here, such as waiting for the disk, does not.
        let mut hits = self.hits.1.lock().await;
        Ok(SealReport {
            revisions: hits.take().into_iter().collect(),
            ..SealReport::default()
        })
    }

    async fn resume(&self) -> Result<(), HookError> {
        self.hits.open().await?;
        Ok(self.door.open()?)
    }

    async fn snapshot(&self) -> Snapshot {
        Snapshot {
            open_connections: self.door.connections(),
            ..Snapshot::default()
        }
    }
}

fn main() -> Result<(), Failure> {
    let role = detect_role()?; // first of all, while there is one thread
    let args: Vec<PathBuf> = env::args_os().map(PathBuf::from).collect();
    let [_, control, data] = &args[..] else {
        return Err("usage: http CONTROL-SOCKET DATA-DIR".into());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(role, control, data))
}

async fn run(role: Role, control: &Path, data: &Path) -> Result<(), Failure> {
    let hits = Arc::new(Hits(data.join("hits"), Arc::default()));
    let listener = |inherited: &mut InheritedListeners| -> Result<_, Failure> {
        let listener = inherited.take_tcp("main")?;
        Ok(tcp_listener(listener.ok_or("no listener named main")?)?)
    };
    let (listener, incumbent) = match role {
        Role::ColdStart(mut inherited) => {
            let incumbent = Incumbent::bind(control, acquire_lock(data).await?).await?;
            hits.open().await?;
            (listener(&mut inherited)?, incumbent)
        }
        Role::Successor(successor) => {
            let warming = successor
                .handshake(SuccessorSetup::new(control, data))
                .await?;
            let standing_by = warming.stand_by()?; // warm: nothing of the incumbent was touched yet
            let mut begun = standing_by.wait_for_begin().await?; // it has sealed, the lock is ours
            hits.open().await?;
            let listener = listener(begun.listeners())?;
            (listener, begun.announce(Readiness::healthy()).await?)
        }
    };

    let routes = Router::new()
        .route("/hits", get(show).post(hit))
        .with_state(Arc::clone(&hits));
    let door = Arc::new(Door::new(listener, routes));
    let accepting = tokio::spawn(Arc::clone(&door).accept());
    let handle = incumbent.handle();
    let service = Service {
        hits,
        door: Arc::clone(&door),
    };
    let mut serving = std::pin::pin!(incumbent.serve(service));
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        retired = &mut serving => println!("{:?}", retired?),
        _ = terminate.recv() => {
            // The same courtesy when it stops for good, while supervisors are still answered.
            let closing = async {
                door.close(door::PATIENCE).await;
                handle.stop();
            };
            let ((), retired) = tokio::join!(closing, &mut serving);
            println!("{:?}", retired?);
        }
    }
    accepting.abort();
    Ok(())
}
