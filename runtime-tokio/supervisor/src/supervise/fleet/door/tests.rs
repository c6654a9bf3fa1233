//! Clients that come, stay, leave, and are many.

use std::sync::Mutex;

use super::*;

const UID: u32 = 7;

/// A client that has said a line, and the task that attends to it.
fn client<F: Future<Output = Answer> + Send + 'static>(
    answer: impl Fn(Asked) -> F + Send + Sync + 'static,
) -> (UnixStream, tokio::task::JoinHandle<()>) {
    let (client, ours) = UnixStream::pair().unwrap();
    assert_eq!(client.try_write(b"line\n").unwrap(), 5);
    let task = tokio::spawn(async move {
        attend((ours, UID), hall(), Arc::default(), answer).await;
    });
    (client, task)
}

fn hall() -> Hall {
    let (crowd, longest) = (crowd(), 100);
    Hall { crowd, longest }
}

fn answer() -> Answer {
    String::from("answer").into()
}

async fn read_all(mut client: UnixStream) -> String {
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn lines_come_before_the_answer_and_stay_lines() {
    let (client, task) = client(|asked| async move {
        assert_eq!((asked.uid, asked.line.unwrap()), (UID, b"line".to_vec()));
        for line in ["1", "2\n", "3"] {
            assert!(asked.client.say(line.into()).await);
        }
        answer()
    });
    assert_eq!(read_all(client).await, "1\n2 \n3\nanswer\n");
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_given_up_and_what_it_asked_for_goes_on() {
    let (done, is_done) = oneshot::channel();
    let done = Mutex::new(Some(done));
    let (client, task) = client(move |asked| {
        let done = done.lock().unwrap().take();
        async move {
            while asked.client.say("x".repeat(1000)).await {}
            sleep(PATIENCE).await;
            let _ = done.unwrap().send(());
            answer()
        }
    });
    is_done.await.unwrap();
    task.await.unwrap();
    assert!(!read_all(client).await.contains("answer"));
}

#[tokio::test]
async fn clients_that_have_asked_are_in_no_newcomers_way() {
    let mut clients = Clients::default();
    let asked = || Arc::new(AtomicBool::new(true));
    let silent = || Arc::new(AtomicBool::new(false));
    for _ in 0..3 * SILENT {
        clients.add(asked(), std::future::pending()).await;
    }
    let (sender, gone) = oneshot::channel::<()>();
    let oldest = async move {
        let _sender = sender;
        std::future::pending::<()>().await;
    };
    clients.add(silent(), oldest).await;
    for _ in 1..SILENT {
        clients.add(silent(), std::future::pending()).await;
    }
    assert_eq!(clients.tasks.len(), 4 * SILENT);
    clients.add(silent(), std::future::pending()).await;
    assert!(gone.await.is_err());
    assert_eq!(clients.silent.len(), SILENT);
}

#[tokio::test(start_paused = true)]
async fn who_has_asked_when_the_door_is_full_stays() {
    let mut clients = Clients::default();
    let (answer, answered) = oneshot::channel();
    for _ in 0..SILENT {
        let asked = Arc::new(AtomicBool::new(false));
        let says = Arc::clone(&asked);
        let client = async move {
            // Its line is read after the door has looked at it.
            tokio::task::yield_now().await;
            says.store(true, Ordering::Relaxed);
            std::future::pending::<()>().await;
        };
        clients.add(asked, client).await;
    }
    let last = async move { answer.send(()).unwrap_or_default() };
    clients.add(Arc::default(), last).await;
    answered.await.unwrap();
    while clients.tasks.try_join_next().is_some() {}
    assert_eq!(clients.tasks.len(), SILENT);
}

#[tokio::test]
async fn many_that_come_at_once_are_all_answered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let door = Door::bind(&path, Guests::new(&[]), crowd(), 100).unwrap();
    // All of them have asked before the first one is let in.
    let mut clients = Vec::new();
    for _ in 0..4 * SILENT {
        let client = UnixStream::connect(&path).await.unwrap();
        assert_eq!(client.try_write(b"line\n").unwrap(), 5);
        clients.push(client);
    }
    let (close, closed) = oneshot::channel();
    let task = tokio::spawn(door.serve(closed, |_| async { answer() }));
    for client in clients {
        assert_eq!(read_all(client).await, "answer\n");
    }
    drop(close);
    task.await.unwrap();
}

#[tokio::test]
async fn who_leaves_or_is_done_talking_is_noticed() {
    let until_shut = |asked: Asked| async move {
        asked.client.shut().await;
        answer()
    };
    let (one, task) = client(until_shut);
    drop(one);
    task.await.unwrap();
    let (mut one, task) = client(until_shut);
    one.write_all(b"and more\n").await.unwrap();
    one.shutdown().await.unwrap();
    assert_eq!(read_all(one).await, "answer\n");
    task.await.unwrap();
}

// Nobody is in the way of another user's clients, or of the operator's.
#[tokio::test]
async fn who_asks_for_too_much_is_told_so_until_one_of_its_clients_has_left() {
    let hall = Hall {
        crowd: Crowd::new(2, 3),
        longest: 100,
    };
    let ask = |uid: u32, line: &'static str| {
        let (mut client, ours) = UnixStream::pair().unwrap();
        let hall = hall.clone();
        async move {
            client.write_all(line.as_bytes()).await.unwrap();
            let task = tokio::spawn(attend(
                (ours, uid),
                hall,
                Arc::default(),
                |asked| async move {
                    let client = asked.client;
                    match asked.line.as_deref() {
                        Ok(b"wait") => {
                            client.say("waiting".into()).await;
                            client.shut().await;
                            answer()
                        }
                        Ok(_) => answer(),
                        Err(error) => error.to_string().into(),
                    }
                },
            ));
            (client, task)
        }
    };
    let mut waiting = Vec::new();
    for uid in [UID, UID, UID + 1] {
        let (mut client, task) = ask(uid, "wait\n").await;
        client.read_exact(&mut [0; 8]).await.unwrap();
        waiting.push((client, task));
    }
    let said = async |uid| read_all(ask(uid, "line\n").await.0).await;
    let full = said(UID).await;
    assert!(
        full.contains("too many clients wait for an answer, 2 of this user"),
        "{full}"
    );
    let full = said(UID + 2).await;
    assert!(full.contains("3 of several users"), "{full}");
    assert_eq!(said(0).await, "answer\n");
    let (first, task) = waiting.remove(0);
    drop(first);
    task.await.unwrap();
    assert_eq!(said(UID).await, "answer\n");
}
