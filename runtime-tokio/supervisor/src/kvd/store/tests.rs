//! The store by itself: durability, group commit, refusing and closing.

use super::*;

fn set(key: &str, value: &str) -> Write {
    Write::Set {
        key: key.into(),
        value: value.into(),
    }
}

fn del(key: &str) -> Write {
    Write::Del { key: key.into() }
}

#[test]
fn what_was_written_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!((store.revision(), store.len()), (0, 0));
    assert_eq!(store.get(b"a").unwrap(), None);
    let batch = vec![
        set("a", "1"),
        set("a", "2"),
        set("b", ""),
        del("b"),
        del("c"),
    ];
    let existed = store.write(batch).unwrap();
    assert_eq!(existed, [false, true, false, true, false]);
    assert_eq!((store.revision(), store.len()), (1, 1));
    store.close().unwrap();

    let store = Store::open(dir.path()).unwrap();
    assert_eq!((store.revision(), store.len()), (1, 1));
    assert_eq!(store.get(b"a").unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(store.get(b"b").unwrap(), None);
}

#[test]
fn a_database_that_was_half_made_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("kvd.new"), b"half of a head").unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.write(vec![set("a", "1")]).unwrap();
    store.close().unwrap();
    let names = fs::read_dir(dir.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [FILE]);
}

#[test]
fn writers_share_transactions() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    // The writer is held back in its first commit until the others are in the queue.
    let hold = store.shared.database.write().unwrap();
    let queued = || {
        let queue = lock(&store.shared.queue);
        (queue.committing, queue.waiting.len())
    };
    thread::scope(|scope| {
        scope.spawn(|| store.write(vec![set("first", "x")]).unwrap());
        while queued() != (true, 0) {
            thread::yield_now();
        }
        for number in 0..19 {
            let store = &store;
            scope.spawn(move || store.write(vec![set(&number.to_string(), "x")]).unwrap());
        }
        while queued() != (true, 19) {
            thread::yield_now();
        }
        drop(hold);
    });
    assert_eq!(store.len(), 20);
    assert_eq!(store.revision(), 2);
}

#[test]
fn refusing_ends_and_closing_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.refuse_writes();
    assert!(store.wait_idle(Duration::ZERO));
    let refused = store.write(vec![set("a", "1")]);
    assert!(matches!(refused, Err(StoreError::Refused)));
    store.accept_writes();
    store.write(vec![set("a", "1")]).unwrap();

    store.close().unwrap();
    store.close().unwrap();
    store.accept_writes();
    assert!(store.is_closed());
    let refused = store.write(vec![set("a", "2")]);
    assert!(matches!(refused, Err(StoreError::Refused)));
    assert!(matches!(store.get(b"a"), Err(StoreError::Closed)));
    assert_eq!((store.revision(), store.len()), (1, 1));
}

#[test]
fn a_second_opener_is_told_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let first = Store::open(dir.path()).unwrap();
    let Err(error) = Store::open(dir.path()) else {
        panic!("two writers");
    };
    assert!(error.to_string().contains("kvd.redb"), "{error}");
    first.close().unwrap();
    Store::open(dir.path()).unwrap();
}

#[test]
fn closing_finishes_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let hold = store.shared.database.write().unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| store.write(vec![set("a", "1")]));
        while !lock(&store.shared.queue).committing {
            thread::yield_now();
        }
        assert!(!store.wait_idle(Duration::from_millis(1)));
        let closer = scope.spawn(|| store.close());
        while !store.is_closed() {
            thread::yield_now();
        }
        drop(hold);
        writer.join().unwrap().unwrap();
        closer.join().unwrap().unwrap();
    });
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.len(), 1);
}

#[test]
fn a_database_that_has_failed_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.write(vec![set("a", "1")]).unwrap();
    // As after a failure: the file is let go of, and somebody is in the way.
    drop(store.shared.database.write().unwrap().take());
    let other = database::open(&store.shared.path).unwrap();
    assert!(matches!(store.get(b"a"), Err(StoreError::Failed)));
    let refused = store.write(vec![set("b", "1")]);
    assert!(matches!(refused, Err(StoreError::Failed)));
    drop(other);

    let refused = store.write(vec![set("b", "1")]);
    assert!(
        matches!(refused, Err(StoreError::Failed)),
        "the write that finds out is lost"
    );
    assert_eq!(store.write(vec![set("b", "2")]).unwrap(), [false]);
    assert_eq!(store.get(b"a").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!((store.revision(), store.len()), (2, 2));
}
