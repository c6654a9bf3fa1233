//! What becomes of the others when the task of a service panics.

use std::path::Path;

use super::*;
use crate::config::ThisMachine;
use crate::supervise::fleet::events::Hub;
use crate::supervise::fleet::history::History;
use crate::supervise::fleet::notify::Board;
use crate::supervise::fleet::prepare;

#[tokio::test]
async fn a_task_that_panics_leaves_an_orderly_end() {
    let dir = tempfile::tempdir().unwrap();
    let service = |name: &str| {
        format!(
            "[service.{name}]\nbinary = \"/bin/true\"\ndata_dir = \"{name}.d\"\n\
             control_socket = \"{name}.c\"\ntrigger_socket = \"{name}.t\"\n\
             [service.{name}.restart]\npolicy = \"never\"\n"
        )
    };
    let text = format!(
        "[supervisor]\nstate_dir = \".\"\n{}{}",
        service("a"),
        service("b")
    );
    let config = Config::read(&text, dir.path(), &ThisMachine).unwrap();
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
    let mut roster = Roster::start(config, None, belongings, listening).unwrap();
    roster.services[0].task.abort();
    roster.services[0].task = tokio::spawn(async { panic!("as the test has it") });
    let event = roster.next().await;
    let error = roster.heed(event).unwrap_err();
    assert!(
        error.to_string().contains("service a has panicked"),
        "{error:#}"
    );
    // Neither the task nor anything else is waited for twice, and all of it comes to its end.
    roster.wind_up(true).await.unwrap();
    roster.close().await;
    keeper.await.unwrap();
    let exists = |name: &str| Path::exists(&dir.path().join(name));
    assert!(!exists("handoff.sock") && !exists("b.t"));
}
