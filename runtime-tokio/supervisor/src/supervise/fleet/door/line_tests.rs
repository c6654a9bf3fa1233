//! The lines of clients: in pieces, too long, or never ended. Time passes only while nothing else happens.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::*;

/// The longest line.
const LINE: usize = 64;

/// Attends to a client, and repeats its line.
async fn attended(stream: UnixStream) {
    let answer = |asked: Asked| async move {
        let line = asked.line.map(|line| String::from_utf8(line).unwrap());
        format!("{line:?}\n").into()
    };
    let (crowd, longest) = (crowd(), LINE);
    let hall = Hall { crowd, longest };
    attend((stream, 0), hall, Arc::default(), answer).await;
}

/// What a client is told that says these pieces, and then nothing more.
async fn told(pieces: &[&str], ends: bool) -> String {
    let (mut client, stream) = UnixStream::pair().unwrap();
    let attended = tokio::spawn(attended(stream));
    for piece in pieces {
        client.write_all(piece.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
    }
    if ends {
        client.shutdown().await.unwrap();
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    attended.await.unwrap();
    answer
}

#[tokio::test(start_paused = true)]
async fn a_line_ends_with_its_line_break_or_with_the_stream() {
    let handoff = "Ok(\"handoff\") \n";
    assert_eq!(told(&["hand", "off\nrest"], false).await, handoff);
    assert_eq!(told(&["handoff"], true).await, handoff);
    assert_eq!(told(&[], true).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_does_not_end_is_not_read_to_its_end() {
    let long = "x".repeat(LINE + 100);
    assert_eq!(told(&[&long], false).await, "Err(TooLong(64)) \n");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_write_is_given_up() {
    let started = Instant::now();
    assert_eq!(told(&["hand"], false).await, "");
    assert_eq!(started.elapsed().as_secs(), PATIENCE.as_secs());
}
