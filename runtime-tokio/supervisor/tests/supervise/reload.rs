//! SIGHUP: the configuration is read again, and what of it is in force from when on.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;

use handoff_std::host::{Process, Signal};
use serde_json::Value;

use super::fleet::Fleet;
use super::talk::{assert_kept, assert_set, info, info_of_another, info_of_version};
use super::world::{ANY_PORT, Supervised, World, wait_for};

impl Fleet {
    fn file(&self) -> PathBuf {
        self.world.path("handoff.toml")
    }

    /// Changes the file and has it read again, to the end.
    pub(crate) fn reload(&self, supervisor: &Supervised, change: impl FnOnce(String) -> String) {
        let text = change(fs::read_to_string(self.file()).unwrap());
        fs::write(self.file(), text).unwrap();
        let read = "the configuration has been read again";
        let before = supervisor.log().matches(read).count();
        supervisor.signal(Signal::HUP);
        wait_for(read, || {
            let count = supervisor.log().matches(read).count();
            (count > before).then_some(())
        });
    }

    /// All services, whether they serve or not.
    fn all(&self) -> Vec<Value> {
        let output = self.command(&["status"]);
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        all.as_array().unwrap().clone()
    }

    fn names(&self) -> Vec<String> {
        let all = self.all();
        all.iter()
            .map(|one| one["name"].as_str().unwrap().into())
            .collect()
    }
}

/// The part of the file for one service, with what is before and behind it.
fn split(text: &str, name: &str) -> (String, String, String) {
    let begin = text.find(&format!("[service.{name}]")).unwrap();
    let end = text[begin + 1..].find("[service.b]");
    let end = end.map_or(text.len(), |end| begin + 1 + end);
    (
        text[..begin].into(),
        text[begin..end].into(),
        text[end..].into(),
    )
}

#[test]
fn a_file_that_is_wrong_changes_nothing() {
    let fleet = Fleet::new("", "");
    let supervisor = fleet.start(&[]);
    let a = fleet.info("a");
    let right = fs::read_to_string(fleet.file()).unwrap();
    let wrong = right.replace(
        "[service.b]",
        "[service.b]\nprobation = \"soon\"\nnonsense = 1",
    );
    fs::write(fleet.file(), wrong).unwrap();
    supervisor.signal(Signal::HUP);
    let line = supervisor.wait_log("service.b.probation: ");
    assert!(
        line.contains("the configuration is left as it was"),
        "{line}"
    );
    assert!(
        line.contains("handoff.toml:") && line.contains("expected a time"),
        "{line}"
    );
    supervisor.wait_log("service.b.nonsense");
    fs::remove_file(fleet.file()).unwrap();
    supervisor.signal(Signal::HUP);
    supervisor.wait_log("cannot be read");
    fs::write(fleet.file(), right).unwrap();
    let (code, _) = fleet.answer(&["restart", "a"]);
    assert_eq!(code, 0);
    info_of_another(fleet.port("a"), a.pid);
}

#[test]
fn what_is_for_the_next_daemon_waits_for_it() {
    let fleet = Fleet::new("", "");
    let supervisor = fleet.start(&[]);
    let (a, b) = (fleet.info("a"), fleet.info("b"));
    let (port, b_port) = (fleet.port("a"), fleet.port("b"));
    let (a1, a2) = (fleet.binary("a1"), fleet.binary("a2"));
    fleet.reload(&supervisor, |text| {
        let (before, a, rest) = split(&text, "a");
        let a = a.replacen(
            &format!("binary = \"{a1}\""),
            &format!("binary = \"{a2}\""),
            1,
        );
        let a = a.replace(
            "[[service.a.listeners]]",
            "probation = \"10m\"\n[[service.a.listeners]]",
        );
        let a = a.replace("trigger_socket = \"", "trigger_socket = \"/elsewhere");
        format!("{before}{a}{rest}")
    });
    for line in [
        "a: probation: in force from the next handoff on",
        "a: binary: for the daemon that is started next",
        "a: trigger_socket: cannot change while the supervisor runs",
    ] {
        supervisor.wait_log(line);
    }
    assert_eq!((info(port), info(b_port)), (a.clone(), b));
    // The socket is where it was.
    assert!(
        fleet
            .trigger("a", "rollback")
            .contains("no handoff is in progress")
    );

    // The handoff that is asked for now has the new binary, and a probation.
    std::thread::scope(|scope| {
        let upgrade = scope.spawn(|| fleet.answer(&["upgrade", "a"]));
        assert!(!info_of_version(port, "a2").committed);
        // In its midst: it goes on with what it began with.
        fleet.reload(&supervisor, |text| {
            text.replace("probation = \"10m\"\n", "")
        });
        let (code, ended) = wait_for("a rollback", || {
            let (code, ended) = fleet.answer(&["rollback", "a"]);
            (code != 3).then_some((code, ended))
        });
        assert_eq!(code, 0, "{ended}");
        assert_eq!(upgrade.join().unwrap().0, 4);
    });
    assert_eq!(info(port).pid, a.pid);
    let (code, ended) = fleet.answer(&["upgrade", "a"]);
    assert_eq!(code, 0, "{ended}");
    assert_eq!(info_of_another(port, a.pid).version, "a2");
}

#[test]
fn who_may_ask_and_what_for_holds_at_once() {
    use std::os::unix::fs::PermissionsExt;
    let fleet = Fleet::new("", "");
    let supervisor = fleet.start(&[]);
    let a = fleet.info("a");
    let mode = |name: &str| {
        let found = fs::metadata(fleet.world.path(name)).unwrap();
        found.permissions().mode() & 0o777
    };
    assert_eq!((mode("s"), mode("a.t")), (0o600, 0o600));
    let a2 = fleet.binary("a2");
    fleet.reload(&supervisor, |text| {
        let text = text.replace(&format!(", \"{a2}\""), "");
        text.replace(
            "socket = \"s\"\n",
            "socket = \"s\"\nallowed_uids = [12345]\n",
        )
    });
    assert_eq!((mode("s"), mode("a.t")), (0o666, 0o666));
    supervisor.wait_log("supervisor: allowed_uids: in force");
    supervisor.wait_log("a: allowed_binaries: in force");
    let (code, refused) = fleet.answer(&["upgrade", "a", "--binary", &a2]);
    assert_eq!(code, 3, "{refused}");
    fleet.reload(&supervisor, |text| {
        text.replace("allowed_uids = [12345]\n", "")
    });
    assert_eq!((mode("s"), mode("a.t")), (0o600, 0o600));
    assert_eq!(info(fleet.port("a")), a);
}

#[test]
fn listeners_come_and_go_with_the_next_handoff() {
    let fleet = Fleet::new("", "");
    let supervisor = fleet.start(&[]);
    let a = fleet.info("a");
    let port = fleet.port("a");
    let text = fs::read_to_string(fleet.file()).unwrap();
    let begin = text.find("[[service.a.listeners]]").unwrap();
    let end = text.find("[service.b]").unwrap();
    let listener = &text[begin..end];
    // One more: it is there at once, and its connections wait.
    let more = listener.replace("\"resp\"", "\"more\"");
    fleet.reload(&supervisor, |text| {
        text.replace(listener, &format!("{listener}{more}"))
    });
    let listeners = || fleet.status("a")["listeners"].clone();
    let more_at = listeners()[1]["address"].as_str().unwrap().to_owned();
    assert_eq!(listeners()[1]["held"], true);
    TcpStream::connect(&more_at).unwrap();
    assert_eq!(fleet.answer(&["restart", "a"]).0, 0);
    let second = info_of_another(port, a.pid);

    // Another name: nothing is bound.
    let spare = more.replace("more", "spare");
    fleet.reload(&supervisor, |text| text.replace(&more, &spare));
    supervisor.wait_log("the listener has another name");
    assert_eq!(listeners()[1]["name"], "spare");
    assert_eq!(listeners()[1]["address"], more_at);
    assert_eq!(fleet.answer(&["restart", "a"]).0, 0);
    let third = info_of_another(port, second.pid);

    // One less: the daemon keeps it until it is replaced.
    fleet.reload(&supervisor, |text| text.replace(&spare, ""));
    supervisor.wait_log("the listener is not asked for any more");
    TcpStream::connect(&more_at).unwrap();
    assert_eq!(fleet.answer(&["restart", "a"]).0, 0);
    info_of_another(port, third.pid);
    wait_for("the end of the third", || {
        Process::of(third.pid).is_none().then_some(())
    });
    TcpStream::connect(&more_at).unwrap_err();
    assert_eq!(listeners().as_array().unwrap().len(), 1);
}

#[test]
fn a_listener_that_cannot_be_bound_ends_nobody() {
    let fleet = Fleet::new("", "");
    let supervisor = fleet.start(&[]);
    let a = fleet.info("a");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    fleet.reload(&supervisor, |text| {
        let more = format!(
            "[[service.a.listeners]]\nname = \"more\"\naddress = \"{address}\"\n[service.b]"
        );
        text.replace("[service.b]", &more)
    });
    supervisor.wait_log("LISTENER MISSING");
    let (code, refused) = fleet.answer(&["restart", "a"]);
    assert_eq!(code, 3, "{refused}");
    assert!(
        refused["why"]
            .as_str()
            .unwrap()
            .contains("`more` is missing"),
        "{refused}"
    );
    drop(taken);
    wait_for("the listener", || {
        (fleet.answer(&["restart", "a"]).0 == 0).then_some(())
    });
    info_of_another(fleet.port("a"), a.pid);
    assert!(!supervisor.log().contains("ending it"));
}

#[test]
fn services_come_and_go_and_change_their_names() {
    let fleet = Fleet::new("", "");
    let mut supervisor = fleet.start(&[]);
    let (a, b) = (fleet.info("a"), fleet.info("b"));
    assert_set(fleet.port("b"), "k");

    // One goes, and another has its data: the first one's daemon has ended before.
    fleet.reload(&supervisor, |text| {
        text.replace("[service.b]", "[service.c]")
            .replace("service.b.", "service.c.")
    });
    let c = fleet.info("c");
    assert_ne!(c.pid, b.pid);
    assert!(Process::of(b.pid).is_none());
    assert_kept(fleet.port("c"), "k");
    assert_eq!(fleet.names(), ["a", "c"]);
    assert_eq!(info(fleet.port("a")), a);
    assert_eq!(fleet.answer(&["restart", "c"]).0, 0);
    assert!(
        fleet.answer(&["restart", "b"]).1["why"]
            .as_str()
            .unwrap()
            .contains("no service is called `b`")
    );
    // It is still its daemon that answers here.
    assert!(
        fleet
            .trigger("b", "rollback")
            .contains("no handoff is in progress")
    );

    // One goes for good, the other stays.
    fleet.reload(&supervisor, |text| {
        split(&text, "a").0 + &text[text.find("[service.c]").unwrap()..]
    });
    supervisor.wait_log("the service a is gone");
    assert!(Process::of(a.pid).is_none());
    // Its door is closed behind it.
    wait_for("the end of its door", || {
        (!fleet.world.path("a.t").exists()).then_some(())
    });
    assert_eq!(fleet.names(), ["c"]);
    supervisor.signal(Signal::TERM);
    assert!(supervisor.wait().success());
    assert!(fleet.world.processes().is_empty());
}

#[test]
fn without_a_file_there_is_nothing_to_read_again() {
    let world = World::new();
    let a = world.binary("a", "");
    let supervisor = world.supervise(&a, &ANY_PORT, &[]);
    let before = info(supervisor.port());
    supervisor.signal(Signal::HUP);
    supervisor.wait_log("there is no file to be read again");
    assert_eq!(info(supervisor.port()), before);
}

#[test]
fn no_file_of_a_unix_listener_is_left_behind() {
    let fleet = Fleet::new("", "");
    let listener = |name: &str| {
        let path = fleet.world.path(name);
        let path = path.display();
        format!("[[service.b.listeners]]\nname = \"{name}\"\naddress = \"unix:{path}\"\n")
    };
    let text = fs::read_to_string(fleet.file()).unwrap();
    let (first, second) = (listener("first"), listener("second"));
    fs::write(fleet.file(), format!("{text}{first}")).unwrap();
    let mut supervisor = fleet.start(&[]);
    let b = fleet.info("b");
    let is_there = |name: &str| fleet.world.path(name).exists();
    assert!(is_there("first"));
    // The daemon has it until it is replaced.
    fleet.reload(&supervisor, |text| text.replace(&first, &second));
    supervisor.wait_log("the listener is not asked for any more");
    assert!(is_there("first"));
    assert_eq!(fleet.answer(&["restart", "b"]).0, 0);
    info_of_another(fleet.port("b"), b.pid);
    wait_for("the end of the file", || (!is_there("first")).then_some(()));
    assert!(is_there("second"));
    supervisor.signal(Signal::TERM);
    assert!(supervisor.wait().success());
    assert!(!is_there("second"));
}
