//! What is slow or too much, and what a client is told then. Time passes only while nothing else happens.

use std::path::Path;

use tokio::sync::mpsc;

use super::*;
use crate::config::{Config, ThisMachine};
use crate::supervise::fleet::events::Hub;

const UID: u32 = 0;

/// A service whose task says that it runs.
fn served(hub: &Hub) -> Served {
    let text = "[supervisor]\nstate_dir = \"state\"\n[service.a]\nbinary = \"/bin/sh\"\n\
                data_dir = \"d\"\ncontrol_socket = \"c\"\n";
    let config = Config::read(text, Path::new("/no/such/dir"), &ThisMachine).unwrap();
    let (orders, mut taken) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(order) = taken.recv().await {
            if let Order::Look(reply) = order {
                let _ = reply.send(ServiceStatus {
                    name: "a".into(),
                    state: State::Running,
                    pid: None,
                    binary: String::new(),
                    restarts: 0,
                    listeners: Vec::new(),
                    trouble: None,
                    last: None,
                    daemon: None,
                    answers: None,
                });
            }
        }
    });
    Served {
        service: config.services.into_iter().next().unwrap().into(),
        orders,
        visitors: hub.teller("a").visitors(),
    }
}

/// On a disk that hangs.
fn control() -> Control {
    let hub = Hub::new();
    Control::new(
        [served(&hub)].into_iter(),
        &[],
        hub.visitors(),
        History::that_hangs(),
    )
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_is_no_reason_not_to_answer() {
    let control = control();
    let asked = Instant::now();
    let Reply::History { events, damage } = control.past(UID, None, 9).await else {
        panic!("no history");
    };
    assert!(events.is_empty());
    assert!(damage[0].contains("cannot be read in time"), "{damage:?}");
    assert_eq!(asked.elapsed().as_secs(), PAST.as_secs());
}

#[tokio::test(start_paused = true)]
async fn so_many_daemons_are_asked_at_once_for_all_requests_together() {
    let control = control();
    let others = control.changed(control.services.iter().cloned(), &[]);
    let _asked = others.asked.acquire_many(32).await.unwrap();
    let Reply::Status { services } = control.status(UID, None).await else {
        panic!("no status");
    };
    let trouble = services[0].trouble.as_ref().unwrap();
    assert!(
        trouble.contains("too many daemons are asked at once"),
        "{trouble}"
    );
}

#[tokio::test(start_paused = true)]
async fn long_answers_of_a_user_wait_for_those_that_its_clients_have_not_read() {
    let control = control();
    let ask = || {
        let (client, _) = Client::stand_in();
        control.answer(Asked {
            uid: UID,
            line: Ok(br#"{"command":"history","limit":9}"#.into()),
            client,
        })
    };
    let mut unread = Vec::new();
    for _ in 0..LONG_OF_ONE {
        let answer = ask().await;
        assert!(
            answer.text.contains("\"answer\":\"history\""),
            "{}",
            answer.text
        );
        unread.push(answer);
    }
    let refused = ask().await.text;
    assert!(refused.contains("try again in a moment"), "{refused}");
    unread.pop();
    assert!(ask().await.text.contains("\"answer\":\"history\""));
}
