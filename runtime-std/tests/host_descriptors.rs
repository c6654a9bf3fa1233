//! A daemon that has run out of descriptors. Alone in its file, and so in its process: the limit is
//! the whole process's.

use std::fs::File;
use std::io::Read;

use handoff_std::host::control::connect;
use handoff_std::host::{Accept, ControlListener};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn a_supervisor_is_let_in_although_all_descriptors_are_used_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p");
    let mut listener = ControlListener::bind(&path).unwrap();
    let mut clients: Vec<_> = (0..2).map(|_| connect(&path).unwrap().0).collect();

    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(64),
            maximum,
        },
    )
    .unwrap();
    let mut hoard = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        hoard.push(file);
    }

    let Accept::Accepted(first, _) = listener.accept(&[]) else {
        panic!("the spare descriptor was not used")
    };
    // No spare is left: the second one stays in the queue and is not lost.
    assert!(matches!(listener.accept(&[]), Accept::BackOff(_)));
    drop(first);
    assert_eq!(clients.remove(0).read(&mut [0]).unwrap(), 0);
    let Accept::Accepted(second, _) = listener.accept(&[]) else {
        panic!("the second was lost")
    };
    drop(second);
    drop(clients);
    hoard.truncate(1);
    assert!(matches!(listener.accept(&[]), Accept::WouldBlock));
}
