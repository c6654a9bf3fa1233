//! Clients that come, stay, leave, and are many.

use super::*;

const UID: u32 = 7;

/// A client that has said a line, and the task that attends to it.
fn client<F: Future<Output = String> + Send + 'static>(
    answer: impl Fn(Asked) -> F + Send + Sync + 'static,
) -> (UnixStream, tokio::task::JoinHandle<()>) {
    let (client, ours) = UnixStream::pair().unwrap();
    assert_eq!(client.try_write(b"line\n").unwrap(), 5);
    let task = tokio::spawn(async move {
        attend((ours, UID), 100, Arc::default(), answer).await;
    });
    (client, task)
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
        "answer".into()
    });
    assert_eq!(read_all(client).await, "1\n2 \n3\nanswer\n");
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_given_up_and_what_it_asked_for_goes_on() {
    let (done, is_done) = oneshot::channel();
    let done = std::sync::Mutex::new(Some(done));
    let (client, task) = client(move |asked| {
        let done = done.lock().unwrap().take();
        async move {
            while asked.client.say("x".repeat(1000)).await {}
            sleep(PATIENCE).await;
            let _ = done.unwrap().send(());
            "answer".into()
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

#[tokio::test]
async fn who_has_asked_when_the_door_is_full_stays() {
    let mut clients = Clients::default();
    let (answer, answered) = oneshot::channel();
    for _ in 0..SILENT {
        let asked = Arc::new(AtomicBool::new(false));
        let says = Arc::clone(&asked);
        let client = async move {
            // Its line is read after the door has looked at it.
            sleep(TURN / 2).await;
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
    let door = Door::bind(&path, Guests::new(&[]), 100).unwrap();
    // All of them have asked before the first one is let in.
    let mut clients = Vec::new();
    for _ in 0..4 * SILENT {
        let client = UnixStream::connect(&path).await.unwrap();
        assert_eq!(client.try_write(b"line\n").unwrap(), 5);
        clients.push(client);
    }
    let (close, closed) = oneshot::channel();
    let task = tokio::spawn(door.serve(closed, |_| async { String::from("answer") }));
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
        String::from("answer")
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

#[test]
fn only_a_socket_is_opened_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    fs::write(&file, "").unwrap();
    let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [&file, &link] {
        assert!(set_mode(path, 0o666).is_err());
        assert_eq!(mode(), 0o600);
    }
    let socket = dir.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    set_mode(&socket, 0o666).unwrap();
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
}
