//! The configuration that the published version 1 documents starts as it is, with daemons of either
//! version, and its one-line protocol replaces them.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use handoff_std::Process;
use rustix::process::Uid;
use rustix::thread::set_thread_uid;

use super::common::{published, stand_in};
use super::talk::{ask, assert_kept, assert_set, info, info_of_another};
use super::world::{ANY_PORT, HANDOFF, Supervised, World, assert_committed, start, wait_for};

/// As its README has it, without the comments.
const PUBLISHED: &str = r#"
control_socket = "/run/my-daemon/handoff.sock"
trigger_socket = "/run/my-daemon/handoff.trigger"
binary         = "/usr/local/bin/my-daemon"
drain_grace_secs = 25
deadline_secs    = 60

allowed_uids = []
allowed_binaries = ["/usr/local/bin/my-daemon-v2"]

[[listeners]]
name = "http"
addr = "0.0.0.0:8080"
"#;

/// Writes it with paths and a port of our own, and nothing else changed.
fn config(world: &World) -> PathBuf {
    fs::create_dir_all(world.path("p")).unwrap();
    let mut text = PUBLISHED.replace("0.0.0.0:8080", "127.0.0.1:0");
    for (theirs, ours) in [
        ("/run/my-daemon/handoff.sock", "p/c"),
        ("/run/my-daemon/handoff.trigger", "t"),
        ("/usr/local/bin", "bin"),
    ] {
        text = text.replace(theirs, world.path(ours).to_str().unwrap());
    }
    let file = world.path("handoff.toml");
    fs::write(&file, text).unwrap();
    file
}

fn supervise(world: &World, config: &Path) -> Supervised {
    start(world.log(), vec!["--config".into(), config.into()], &[])
}

/// kvd under these names, with more arguments. It takes its listener under another name, and its arguments from nobody.
fn kvd(world: &World, more: &str) {
    for tag in ["my-daemon", "my-daemon-v2"] {
        let body = format!(
            "[ \"$LISTEN_FDNAMES\" = http ] || exit 9\n\
             exec env LISTEN_FDNAMES=resp '{HANDOFF}' kvd --tag {tag} {more} --control-socket '{}' --data-dir '{}'\n",
            world.path("p/c").display(),
            world.path("d").display(),
        );
        world.script(tag, &body);
    }
}

#[test]
fn the_published_configuration_replaces_our_daemon() {
    let world = World::new();
    kvd(&world, "");
    let mut supervisor = supervise(&world, &config(&world));
    let port = supervisor.port_of("http");
    let first = info(port);
    assert_eq!(first.version, "my-daemon");
    assert_set(port, "k");

    assert_committed(&world.trigger("handoff"));
    let second = info_of_another(port, first.pid);
    assert_eq!(second.version, "my-daemon");

    let v2 = world.path("bin/my-daemon-v2");
    assert_committed(&world.handoff_to(&v2));
    let third = info_of_another(port, second.pid);
    assert_eq!(third.version, "my-daemon-v2");
    assert_kept(port, "k");

    // One that is there and not listed.
    let other = world.script("other", "exit 0\n");
    let answer = world.handoff_to(&other);
    assert!(
        answer.starts_with("err: ") && answer.contains("allowed_binaries"),
        "{answer}"
    );
    assert_eq!(info(port).pid, third.pid);

    supervisor.signal(handoff_std::host::Signal::TERM);
    assert!(supervisor.wait().success());
    assert!(world.processes().is_empty());
}

#[test]
fn the_published_configuration_replaces_a_published_daemon() {
    let world = World::new();
    // The name of the world is an argument so that the world finds it; it matches no test.
    let body = format!(
        "[ \"$LISTEN_FDNAMES\" = http ] || exit 9\n\
         exec env LISTEN_FDNAMES=resp {role}={daemon} {place}='{dir}' '{test}' \
         --exact common::stand_in::stand_in '{dir}' --nocapture --test-threads=1\n",
        role = stand_in::ROLE,
        daemon = published::DAEMON,
        place = stand_in::WORLD,
        dir = world.path("").display(),
        test = std::env::current_exe().unwrap().display(),
    );
    world.script("my-daemon", &body);
    world.script("my-daemon-v2", &body);
    let supervisor = supervise(&world, &config(&world));
    let port = supervisor.port_of("http");
    let serves = |process: Process| {
        wait_for("an answer", || ask(port, &["PING"]));
        assert!(process.is_alive());
    };
    let first = world.lock_holder();
    serves(first);

    let v2 = format!("handoff {}", world.path("bin/my-daemon-v2").display());
    let mut holder = first;
    for line in ["handoff", &v2] {
        let answer = world.trigger(line);
        // What it makes do without is told behind that.
        assert!(
            answer.starts_with("ok: handoff_id=")
                && answer.contains(" committed=true abort_reason=None"),
            "{answer}"
        );
        let next = world.lock_holder();
        assert_ne!(next.pid, holder.pid);
        serves(next);
        holder = next;
    }
}

const STRANGER: u32 = 54321;

/// Does this as another user, which takes root.
fn as_a_stranger<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    // On Linux a thread has its own user id, and this one ends with it.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            set_thread_uid(Uid::from_raw(STRANGER)).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

/// Whether somebody else can be asked to try.
fn can_be_a_stranger(test: &str) -> bool {
    let can = rustix::process::geteuid().is_root();
    if !can {
        eprintln!("SKIPPED: {test}: only root can be another user");
    }
    can
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// What a stranger who writes this line is told, if he comes in.
fn told(path: &Path, line: &str) -> std::io::Result<String> {
    as_a_stranger(|| {
        let mut stream = UnixStream::connect(path)?;
        // Whoever is closed at once may not be able to write.
        let _ = writeln!(stream, "{line}");
        let mut answer = String::new();
        match stream.read_to_string(&mut answer) {
            // Closed with what he wrote unread.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(answer),
            other => other.map(|_| answer),
        }
    })
}

/// Neither of the two sockets hears a stranger, and a handoff goes on as ever.
fn strangers_are_kept_out_of(world: &World, trigger: &str, control: &str, port: u16) {
    let first = info(port);
    for path in [world.path(""), world.path("p")] {
        set_mode(&path, 0o755);
    }
    for socket in [world.path(trigger), world.path(control)] {
        wait_for("the socket", || socket.exists().then_some(()));
        assert_eq!(mode(&socket), 0o600, "{}", socket.display());
        let error = told(&socket, "handoff").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        // The mode is not all there is: the kernel says who it is.
        set_mode(&socket, 0o666);
        let told = told(&socket, "handoff").unwrap();
        assert_eq!(told, "", "{}", socket.display());
    }
    assert_eq!(info(port), first);
    assert_committed(&world.trigger("handoff"));
    info_of_another(port, first.pid);
}

#[test]
fn strangers_are_kept_out() {
    if !can_be_a_stranger("strangers_are_kept_out") {
        return;
    }
    for runtime in ["std", "tokio"] {
        let world = World::new();
        kvd(&world, &format!("--runtime {runtime}"));
        let supervisor = supervise(&world, &config(&world));
        let port = supervisor.port_of("http");
        strangers_are_kept_out_of(&world, "t", "p/c", port);
        supervisor.wait_log(&format!("uid={STRANGER}"));
    }
}

#[test]
fn strangers_are_kept_out_without_a_configuration() {
    if !can_be_a_stranger("strangers_are_kept_out_without_a_configuration") {
        return;
    }
    let world = World::new();
    fs::create_dir_all(world.path("p")).unwrap();
    let supervisor = world.supervise(&world.binary("one", ""), &ANY_PORT, &[]);
    strangers_are_kept_out_of(&world, "t", "c", supervisor.port());
    supervisor.wait_log(&format!("uid={STRANGER}"));
}

#[test]
fn those_who_are_listed_may_ask() {
    if !can_be_a_stranger("those_who_are_listed_may_ask") {
        return;
    }
    let world = World::new();
    kvd(&world, "");
    let config = config(&world);
    let text = fs::read_to_string(&config).unwrap();
    let listed = format!("allowed_uids = [{STRANGER}]");
    fs::write(&config, text.replace("allowed_uids = []", &listed)).unwrap();
    set_mode(&world.path(""), 0o755);
    let supervisor = supervise(&world, &config);
    let port = supervisor.port_of("http");
    let first = info(port);
    let trigger = world.path("t");
    let answer = wait_for("end of the recovery", || {
        let answer = told(&trigger, "handoff").unwrap();
        (!answer.contains("not known yet")).then_some(answer)
    });
    assert_committed(&answer);
    info_of_another(port, first.pid);
    // But not for what nobody has listed.
    let answer = told(&trigger, "handoff /bin/true").unwrap();
    assert!(answer.contains("allowed_binaries"), "{answer}");
}
