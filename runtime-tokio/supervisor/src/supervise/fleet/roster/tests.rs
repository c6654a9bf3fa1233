//! Services that are in trouble, and what becomes of the others.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::mpsc;

use tempfile::TempDir;

use super::*;
use crate::config::ThisMachine;
use crate::supervise::fleet::events::Hub;
use crate::supervise::fleet::history::History;
use crate::supervise::fleet::notify::Board;
use crate::supervise::fleet::prepare;

/// A roster of services with these names, in its directory, and the task that keeps their history.
fn roster(names: &[&str]) -> (TempDir, Roster, JoinHandle<()>) {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), names);
    let belongings = config.services.iter();
    let belongings = belongings.map(|service| (Vec::new(), prepare(service).unwrap()));
    let belongings = belongings.collect();
    let hub = Hub::new();
    let (history, keeper) = History::keep(dir.path().into(), hub.milestones());
    let listening = Listening {
        board: Board::default(),
        hub,
        history,
        metrics: None,
    };
    let roster = Roster::start(config, None, belongings, listening).unwrap();
    (dir, roster, keeper)
}

fn config(dir: &Path, names: &[&str]) -> Config {
    let mut text = String::from("[supervisor]\nstate_dir = \".\"\n");
    for name in names {
        let _ = write!(
            text,
            "[service.{name}]\nbinary = \"/bin/true\"\ndata_dir = \"{name}.d\"\n\
             control_socket = \"{name}.c\"\ntrigger_socket = \"{name}.t\"\n\
             [service.{name}.restart]\npolicy = \"never\"\n"
        );
    }
    Config::read(&text, dir, &ThisMachine).unwrap()
}

/// What this service needs is being made, on a disk that hangs until it is dropped.
fn hang(roster: &mut Roster, service: &Service) -> mpsc::Sender<()> {
    let (disk, hangs) = mpsc::channel();
    let site = spawn_blocking(move || {
        let _ = hangs.recv();
        anyhow::bail!("as the test has it")
    });
    roster.preparing.push((service.clone(), site));
    disk
}

/// All of it comes to its end.
async fn end(dir: &Path, mut roster: Roster, keeper: JoinHandle<()>) {
    roster.wind_up(true).await.unwrap();
    roster.close().await;
    keeper.await.unwrap();
    let sockets = ["handoff.sock", "a.t", "b.t", "c.t"];
    assert!(sockets.iter().all(|name| !dir.join(name).exists()));
}

#[tokio::test]
async fn a_task_that_panics_leaves_an_orderly_end() {
    let (dir, mut roster, keeper) = roster(&["a", "b"]);
    roster.services[0].task.abort();
    roster.services[0].task = tokio::spawn(async { panic!("as the test has it") });
    let event = roster.next().await;
    let error = roster.heed(event).unwrap_err();
    assert!(
        error.to_string().contains("service a has panicked"),
        "{error:#}"
    );
    // It is not waited for a second time.
    end(dir.path(), roster, keeper).await;
}

#[tokio::test]
async fn a_new_service_whose_disk_hangs_keeps_no_other_from_anything() {
    let (dir, mut roster, keeper) = roster(&["a"]);
    let config = config(dir.path(), &["a", "b", "c"]);
    let disk = hang(&mut roster, &config.services[1]);
    roster.heed(Event::Read(Ok(Ok(config)))).unwrap();
    // The one whose disk does not hang.
    let event = roster.next().await;
    roster.heed(event).unwrap();
    let names: Vec<_> = roster.services.iter().map(Running::name).collect();
    assert_eq!(names, ["a", "c"]);
    // It is not wanted any more, and what it would have made is in nobody's way before it is gone.
    let without = self::config(dir.path(), &["a", "c", "d"]);
    roster.heed(Event::Read(Ok(Ok(without)))).unwrap();
    assert_eq!(roster.preparing.len(), 1);
    drop(disk);
    for name in ["b", "d"] {
        match roster.next().await {
            Event::Prepared(service, site) if service.name == name => {
                roster.heed(Event::Prepared(service, site)).unwrap();
            }
            _ => panic!("{name} is prepared"),
        }
    }
    let names: Vec<_> = roster.services.iter().map(Running::name).collect();
    assert_eq!(names, ["a", "c", "d"]);
    end(dir.path(), roster, keeper).await;
}

#[tokio::test]
async fn a_new_service_whose_disk_hangs_keeps_the_supervisor_from_no_end() {
    let (dir, mut roster, keeper) = roster(&["a"]);
    let config = config(dir.path(), &["a", "b"]);
    let disk = hang(&mut roster, &config.services[1]);
    roster.heed(Event::Read(Ok(Ok(config)))).unwrap();
    end(dir.path(), roster, keeper).await;
    drop(disk);
}
