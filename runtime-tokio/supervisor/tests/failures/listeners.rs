//! Listeners outlive the supervisor that made them.

use std::net::{TcpListener, TcpStream};

use handoff_std::Supervisor;
use handoff_std::ask;

use crate::common::{
    PATIENCE, RESP, World, committed, freeze, kill, quick, stand_in, thaw, times, wait_until,
};

// Section 8: the supervisor's are gone with it, and the address is taken, by the incumbent. It asks
// for them, and a connection that nobody had accepted yet comes in on what it gets.
#[test]
fn a_restarted_supervisor_has_no_listener_to_hand_over() {
    let mut world = World::new();
    for name in ["p", "j"] {
        std::fs::create_dir_all(world.path(name)).unwrap();
    }
    let first = world.supervisor_apart(&[], &[(stand_in::FLAGS, "start,hold-handoff")]);
    let first = world.launch(&first);
    world.wait_event("handoff waits");
    let old = handoff_std::Process::of(world.holder().unwrap()).unwrap();
    // From now on only the supervisor and the daemon have it.
    world.replace_listener(TcpListener::bind("127.0.0.1:0").unwrap());
    kill(first);
    assert!(first.wait_dead(PATIENCE));
    assert!(TcpListener::bind(world.address()).is_err(), "it is taken");
    world.assert_serves(old.pid);

    let mut got = ask::listeners(world.control()).unwrap();
    assert_eq!(got.len(), 1);
    let got = got.remove(0);
    assert_eq!(
        (&*got.name, got.address),
        (RESP, world.address().to_string())
    );
    let listener = TcpListener::from(got.fd);
    freeze(old);
    // Only the first may have been accepted by a thread that was not frozen yet.
    let mut visitors = Vec::new();
    assert!(wait_until(PATIENCE, || {
        visitors.push(TcpStream::connect(world.address()).unwrap());
        let from = listener.accept().map(|(_, from)| from);
        from.is_ok_and(|from| visitors.iter().any(|one| one.local_addr().unwrap() == from))
    }));
    drop(visitors);
    thaw(old);
    world.assert_serves(old.pid);

    let mut second = Supervisor::new(world.control(), world.data(), world.kvd(&[]))
        .unwrap()
        .with_listener(RESP, listener.try_clone().unwrap())
        .with_times(times());
    let report = world.handoff(&mut second, &quick(world.kvd(&[])));
    world.assert_serves(committed(&report));
    assert!(old.wait_dead(PATIENCE));
    world.replace_listener(listener);
    world.assert_next_handoff_works();
}
