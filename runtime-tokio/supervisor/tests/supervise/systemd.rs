//! systemd, played by the test: what it is told, and the listeners that it hands over.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use handoff_std::host::Signal;

use super::fleet::Fleet;
use super::talk::{assert_kept, assert_set, info, info_of_another};
use super::world::{HANDOFF, LONG, Supervised, run_command, start_with, wait_for};

/// The socket of a service manager.
pub(crate) struct Manager {
    socket: UnixDatagram,
    pub(crate) address: String,
}

impl Manager {
    pub(crate) fn new(fleet: &Fleet) -> Self {
        let path = fleet.world.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        let address = path.to_str().unwrap().into();
        Self { socket, address }
    }

    fn start(&self, fleet: &Fleet, watchdog_usec: &str) -> Supervised {
        let config = fleet.world.path("handoff.toml").into_os_string();
        let args = vec!["--config".into(), config];
        let mut env = vec![("NOTIFY_SOCKET", self.address.as_str())];
        if !watchdog_usec.is_empty() {
            env.push(("WATCHDOG_USEC", watchdog_usec));
        }
        start_with(fleet.world.log(), args, &[], &env)
    }

    fn message(&self) -> String {
        let mut bytes = [0; 4096];
        let count = self.socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].into()).unwrap()
    }

    /// All that is said up to and with the first message of this kind, but for the watchdog's.
    pub(crate) fn until(&self, start: &str) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            let message = self.message();
            if message == "WATCHDOG=1\n" && start != message.trim_end() {
                continue;
            }
            let is_last = message.starts_with(start);
            said.push(message);
            if is_last {
                return said;
            }
        }
    }
}

/// Those that are no status.
fn states(said: &[String]) -> Vec<&str> {
    said.iter()
        .filter_map(|message| message.lines().next())
        .filter(|line| !line.starts_with("STATUS="))
        .collect()
}

#[test]
fn it_is_told_of_the_start_of_handoffs_of_a_reload_and_of_the_end() {
    let fleet = Fleet::new("", "");
    let manager = Manager::new(&fleet);
    let mut supervisor = manager.start(&fleet, "200000");
    let said = manager.until("READY=1");
    assert_eq!(states(&said), ["READY=1"]);
    manager.until("WATCHDOG=1");
    let (a, b) = (fleet.info("a"), fleet.info("b"));

    let (code, ended) = fleet.answer(&["restart", "a"]);
    assert_eq!(code, 0, "{ended}");
    let said = manager.until("READY=1");
    assert_eq!(states(&said), ["RELOADING=1", "READY=1"]);
    assert!(
        said.iter()
            .any(|message| message.contains("\nMONOTONIC_USEC="))
    );
    let handing_over = format!("a handing over, b running pid {}", b.pid);
    assert!(
        said.iter().any(|message| message.contains(&handing_over)),
        "{said:?}"
    );
    let new = info_of_another(fleet.port("a"), a.pid);
    let status = format!(
        "STATUS=2 services: a running pid {}, b running pid {}\n",
        new.pid, b.pid
    );
    assert_eq!(manager.until("STATUS="), [status]);

    // No daemon is told where systemd listens.
    for pid in [new.pid, b.pid] {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        let environment = String::from_utf8_lossy(&environment);
        for name in ["NOTIFY_SOCKET", "WATCHDOG"] {
            assert!(!environment.contains(name), "{environment}");
        }
    }

    supervisor.signal(Signal::HUP);
    let said = manager.until("READY=1");
    assert_eq!(states(&said), ["RELOADING=1", "READY=1"]);

    supervisor.signal(Signal::TERM);
    assert_eq!(states(&manager.until("STOPPING=1")), ["STOPPING=1"]);
    assert!(supervisor.wait().success());
}

#[test]
fn one_that_does_not_read_holds_up_nobody_and_hears_the_end_of_it() {
    let fleet = Fleet::new("", "");
    let manager = Manager::new(&fleet);
    // Its queue is soon full of these.
    let supervisor = manager.start(&fleet, "2000");
    let a = fleet.info("a");
    for _ in 0..3 {
        let (code, ended) = fleet.answer(&["restart", "a"]);
        assert_eq!(code, 0, "{ended}");
    }
    let new = info_of_another(fleet.port("a"), a.pid);
    let running = format!("a running pid {}", new.pid);
    wait_for("the last status", || {
        manager.message().contains(&running).then_some(())
    });
    assert!(!supervisor.log().contains("cannot be told"));
}

#[test]
fn one_that_is_gone_is_no_reason_to_end() {
    let fleet = Fleet::new("", "");
    let manager = Manager::new(&fleet);
    let supervisor = {
        let manager = manager;
        fs::remove_file(&manager.address).unwrap();
        manager.start(&fleet, "")
    };
    fleet.status("b");
    supervisor.wait_log("systemd cannot be told");
}

#[test]
fn listeners_that_it_hands_over_are_taken_by_name() {
    let fleet = Fleet::new("", "");
    let held: Vec<_> = (0..4)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let port = |at: usize| held[at].local_addr().unwrap().port();
    let datagram = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let pass = || {
        [
            ("a.resp", held[0].as_fd()),
            ("b.resp", held[1].as_fd()),
            ("resp", held[2].as_fd()),
            ("nobody", held[3].as_fd()),
            ("a.resp", datagram.as_fd()),
        ]
    };
    let config = fleet.world.path("handoff.toml").into_os_string();
    let args = || vec!["--config".into(), config.clone()];
    let supervisor = start_with(fleet.world.log(), args(), &pass(), &[]);
    let ports = [fleet.port("a"), fleet.port("b")];
    assert_eq!(ports, [port(0), port(1)]);
    for (name, why) in [
        (
            "resp",
            "several services have a listener of this name: call it a.resp or b.resp",
        ),
        ("nobody", "no listener of the configuration has this name"),
        ("a.resp", "it is no listening stream socket"),
    ] {
        let line = supervisor.wait_log(why);
        assert!(line.contains(&format!("name=\"{name}\"")), "{line}");
    }
    // What is said to be closed is closed, so nobody waits there in vain.
    let supervisor_pid = supervisor.pid();
    let sockets = fs::read_dir(format!("/proc/{supervisor_pid}/fd")).unwrap();
    let sockets: Vec<_> = sockets
        .filter_map(|fd| fs::read_link(fd.unwrap().path()).ok())
        .collect();
    for closed in &held[2..] {
        let inode = rustix::fs::fstat(closed).unwrap().st_ino;
        let name = format!("socket:[{inode}]");
        assert!(!sockets.iter().any(|socket| socket.as_os_str() == &*name));
    }

    // A supervisor that is started again is handed them again, and has them from the daemon as well.
    assert_set(ports[0], "k");
    let before = info(ports[0]);
    supervisor.kill();
    let mut waiting = TcpStream::connect(("127.0.0.1", ports[0])).unwrap();
    let supervisor = start_with(fleet.world.log(), args(), &pass(), &[]);
    let (code, ended) = fleet.answer(&["restart", "a"]);
    assert_eq!(code, 0, "{ended}");
    info_of_another(ports[0], before.pid);
    assert_kept(ports[0], "k");
    supervisor.wait_log("given back by the daemon");
    assert!(!supervisor.log().contains("another socket"));
    // It was accepted, and closed in the drain: not reset.
    assert_eq!(waiting.read(&mut [0]).unwrap(), 0);
}

#[test]
fn one_that_listens_elsewhere_is_not_taken() {
    let fleet = Fleet::new("", "");
    let held = TcpListener::bind("127.0.0.2:0").unwrap();
    let config = fleet.world.path("handoff.toml").into_os_string();
    let listeners = [("a.resp", held.as_fd())];
    let supervisor = start_with(
        fleet.world.log(),
        vec!["--config".into(), config],
        &listeners,
        &[],
    );
    let line = supervisor.wait_log("an inherited listener is not taken; closed");
    assert!(
        line.contains("it listens on 127.0.0.2:") && line.contains("says 127.0.0.1:0"),
        "{line}"
    );
    assert_ne!(fleet.port("a"), held.local_addr().unwrap().port());
}

/// A file of the package.
fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

const UNITS: [&str; 2] = ["handoff.service", "handoff-web-http.socket"];

#[test]
fn the_units_are_right_and_every_line_of_the_service_is_explained() {
    let explained = file("SYSTEMD.md");
    let service = file(UNITS[0]);
    let settings = service.lines().filter(|line| !line.starts_with(['#', '[']));
    for setting in settings.filter_map(|line| line.split_once('=')) {
        let (key, value) = setting;
        let whole = format!("| `{key}={value}` |");
        let short = format!("| `{key}=…");
        assert!(
            explained.contains(&whole)
                || key.starts_with("Exec") && explained.contains(&short)
                || key == "Description",
            "{whole}"
        );
    }

    let dir = tempfile::tempdir().unwrap();
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]);
    for name in UNITS {
        // The one that was built, instead of the one that is installed.
        let unit = file(name).replace("/usr/local/bin/handoff", HANDOFF);
        let path = dir.path().join(name);
        fs::write(&path, unit).unwrap();
        verify.arg(path);
    }
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("SKIPPED: there is no systemd-analyze here, so nobody verifies the units");
        return;
    }
    let output = run_command(&mut verify);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
