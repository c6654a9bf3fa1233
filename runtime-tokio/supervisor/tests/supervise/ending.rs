//! The way out of a supervisor of several services, and what becomes of a daemon that does not go.

use std::fs::{self, File};

use handoff_std::host::Signal;
use rustix::fs::{CWD, Mode, mkfifoat};

use super::fleet::Fleet;

#[test]
fn a_daemon_that_does_not_end_is_killed_after_its_grace_and_the_others_end_in_order() {
    let fleet = Fleet::new("", "");
    let mut supervisor = fleet.start(&[]);
    let (a, b) = (fleet.info("a"), fleet.info("b"));
    // It takes no signal but the last one.
    assert!(b.process().kill(Signal::STOP).unwrap());
    supervisor.signal(Signal::TERM);
    supervisor.wait_log("told to end");
    // That is no reason to go on.
    supervisor.signal(Signal::HUP);
    // While the last one of the file is waited for, the first one serves.
    let line = supervisor.wait_log("ending the daemon");
    assert!(line.contains("service=b"), "{line}");
    assert!(a.process().is_alive());
    assert!(supervisor.wait().success());
    let log = supervisor.log();
    let order = [
        "ending the daemon",
        "does not end; killing it",
        "ending the daemon",
    ];
    let said: Vec<_> = log
        .lines()
        .filter(|line| order.iter().any(|words| line.contains(words)))
        .collect();
    let fits = said
        .iter()
        .zip(order)
        .all(|(line, words)| line.contains(words));
    assert!(fits && said.len() == order.len(), "{said:#?}");
    assert!(
        said[1].contains("service=b") && said[2].contains("service=a"),
        "{said:#?}"
    );
    assert!(fleet.world.processes().is_empty());
    for socket in ["s", "a.t", "b.t"] {
        assert!(!fleet.world.path(socket).exists(), "{socket}");
    }
}

// Where the current binary is remembered, a disk hangs.
#[test]
fn a_service_that_waits_for_a_disk_keeps_no_other_from_anything() {
    let fleet = Fleet::new("", "");
    let record = fleet.world.path("state/a.binary");
    let hang = || mkfifoat(CWD, &record, Mode::RWXU).unwrap();
    let work_again = || {
        let writer = File::options().read(true).write(true).open(&record);
        fs::remove_file(&record).unwrap();
        drop(writer);
    };
    fs::create_dir(fleet.world.path("state")).unwrap();
    hang();
    let mut supervisor = fleet.start(&[]);
    // The other one is started.
    let line = supervisor.wait_log("outcome=started");
    assert!(line.contains("service=b"), "{line}");
    work_again();
    assert_eq!(fleet.info("a").version, "a1");
    hang();
    let (a1, a2) = (fleet.binary("a1"), fleet.binary("a2"));
    let (before, after) = (format!("binary = \"{a1}\""), format!("binary = \"{a2}\""));
    fleet.reload(&supervisor, |text| text.replacen(&before, &after, 1));
    supervisor.signal(Signal::TERM);
    supervisor.wait_log("told to end");
    work_again();
    assert!(supervisor.wait().success());
    assert!(fleet.world.processes().is_empty());
}

#[test]
fn many_ends_at_once_leave_no_process_behind() {
    let fleet = Fleet::new(
        "",
        "[service.NAME.restart]\nbackoff = \"1ms\"\nbackoff_max = \"1ms\"\n",
    );
    let supervisor = fleet.start(&[]);
    for _ in 0..5 {
        let (a, b) = (fleet.info("a"), fleet.info("b"));
        for daemon in [&a, &b] {
            assert!(daemon.process().kill(Signal::KILL).unwrap());
        }
        for (name, before) in [("a", a), ("b", b)] {
            super::talk::info_of_another(fleet.port(name), before.pid);
        }
    }
    super::world::wait_for("all to be reaped", || {
        (!supervisor.has_zombies()).then_some(())
    });
}
