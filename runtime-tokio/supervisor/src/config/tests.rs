//! What files say, and what is said of files that are wrong. None of it depends on the machine it runs
//! on: a made-up one stands in.

mod documented;
mod properties;
mod refused;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handoff_std::host::{ListenAddress, User};

use super::*;

const EXAMPLE: &str = include_str!("../../handoff.example.toml");

/// What the published version 1 shows, key for key.
const V1: &str = r#"
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

/// A machine where every program is there, but those with `missing` in their names.
struct MadeUp {
    root: bool,
}

const ROOT: MadeUp = MadeUp { root: true };
const SOMEBODY: MadeUp = MadeUp { root: false };

impl Machine for MadeUp {
    fn is_root(&self) -> bool {
        self.root
    }

    fn user(&self, name: &str) -> io::Result<Option<User>> {
        Ok((name == "www-data").then_some(User { uid: 33, gid: 34 }))
    }

    fn program(&self, path: &Path) -> Result<(), String> {
        if path.to_string_lossy().contains("missing") {
            return Err(format!("{} does not exist", path.display()));
        }
        Ok(())
    }

    fn descriptors(&self) -> Option<u64> {
        Some(256)
    }

    fn directory(&self, path: &Path) -> Option<bool> {
        match path.to_string_lossy() {
            path if path.contains("missing") => None,
            path if path.ends_with("file") => Some(false),
            path if path.ends_with("journal") || path == "/run/t" => None,
            _ => Some(true),
        }
    }
}

fn read_on(machine: &dyn Machine, text: &str) -> Result<Config, Vec<String>> {
    Config::read(text, Path::new("/etc/handoff"), machine)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn read(text: &str) -> Result<Config, Vec<String>> {
    read_on(&ROOT, text)
}

/// A service called `a` with what it takes and with this as well.
fn with(more: &str) -> String {
    format!(
        "[service.a]\nbinary = \"/bin/a\"\ndata_dir = \"/data/a\"\ncontrol_socket = \"/run/a\"\n{more}"
    )
}

fn notes(config: &Config) -> Vec<String> {
    config.notes.iter().map(ToString::to_string).collect()
}

#[test]
fn the_example_says_what_it_says() {
    let config = read(EXAMPLE).unwrap();
    assert!(config.notes.is_empty(), "{:?}", notes(&config));
    let supervisor = &config.supervisor;
    assert_eq!(supervisor.state_dir, Path::new("/var/lib/handoff"));
    assert_eq!(
        supervisor.socket.as_deref(),
        Some(Path::new("/run/handoff/handoff.sock"))
    );
    assert_eq!(supervisor.allowed_uids, [1000]);
    assert_eq!(supervisor.log_format, LogFormat::Json);
    assert_eq!(
        supervisor.recordings.as_deref(),
        Some(Path::new("/var/log/handoff"))
    );

    let [web, queue] = &config.services[..] else {
        panic!("{:?}", config.services);
    };
    assert_eq!((&*web.name, &*queue.name), ("web", "queue"));
    let spawn = web.spawn("/opt/web-next".into());
    assert_eq!(spawn.binary, Path::new("/opt/web-next"));
    assert_eq!(spawn.args, ["--workers", "4"]);
    assert_eq!(
        spawn.env,
        [
            ("RUST_LOG".into(), "info".into()),
            ("TZ".into(), "UTC".into())
        ]
    );
    assert!(spawn.clear_env && spawn.own_group);
    assert_eq!(spawn.user, Some(User { uid: 33, gid: 34 }));
    assert_eq!(spawn.current_dir, Some("/srv".into()));
    let handoff = web.handoff(spawn);
    assert_eq!(handoff.warmup_deadline, Duration::from_mins(2));
    assert_eq!(handoff.drain_grace, Duration::from_secs(25));
    assert_eq!(handoff.deadline, Duration::from_mins(1));
    assert_eq!(handoff.probation, Duration::from_secs(30));
    assert!(handoff.kill_stuck_incumbent);
    let health = handoff.health.unwrap();
    assert_eq!(
        health.args,
        ["probe", "http", "http://127.0.0.1:8080/health"]
    );
    assert_eq!(health.failures, 3);
    assert_eq!(health.timeout, Duration::from_secs(5));

    let [https, admin] = &web.listeners[..] else {
        panic!("{:?}", web.listeners);
    };
    assert_eq!(
        https.address,
        ListenAddress::Tcp("[::]:443".parse().unwrap())
    );
    assert_eq!(https.options.backlog, 4096);
    assert!(https.options.reuse_port);
    assert_eq!(https.options.ipv6_only, Some(false));
    assert_eq!(
        admin.address,
        ListenAddress::Unix("/run/web/admin.sock".into())
    );
    assert_eq!(admin.options.mode, Some(0o660));
    assert_eq!(
        web.restart.crash_loop,
        Some(CrashLoop {
            max_starts: 10,
            within: Duration::from_mins(5)
        })
    );
    assert_eq!(web.allowed_uids, [1001]);
    assert_eq!(web.allowed_binaries.as_ref().map(Vec::len), Some(2));
    assert_eq!(web.journal, Path::new("/run/handoff/web.journal"));

    // What is not said has the library's defaults.
    let handoff = queue.handoff(queue.spawn(queue.binary.clone()));
    assert_eq!(handoff.deadline, Duration::from_mins(5));
    assert_eq!(
        handoff.health.unwrap().args,
        ["probe", "tcp", "127.0.0.1:5672"]
    );
    assert_eq!(queue.restart, Restart::default());
    assert_eq!(
        queue.allowed_binaries,
        Some(vec![PathBuf::from("/usr/local/bin/queue")])
    );
    assert_eq!(queue.journal, Path::new("/var/lib/handoff/queue.journal"));
}

#[test]
fn a_file_of_version_1_works_as_it_is() {
    for machine in [ROOT, SOMEBODY] {
        let config = read_on(&machine, V1).unwrap();
        let [service] = &config.services[..] else {
            panic!("{:?}", config.services);
        };
        assert_eq!(service.name, "main");
        assert_eq!(service.binary, Path::new("/usr/local/bin/my-daemon"));
        assert_eq!(service.drain_grace, Duration::from_secs(25));
        assert_eq!(service.deadline, Duration::from_mins(1));
        assert_eq!(
            service.trigger_socket.as_deref(),
            Some(Path::new("/run/my-daemon/handoff.trigger"))
        );
        assert_eq!(
            service.allowed_binaries,
            Some(
                ["/usr/local/bin/my-daemon", "/usr/local/bin/my-daemon-v2"]
                    .map(PathBuf::from)
                    .into()
            )
        );
        assert_eq!(service.listeners, ["http=0.0.0.0:8080".parse().unwrap()]);
        assert_eq!(service.data_dir, None);
        assert!(notes(&config)[0].contains("without `data_dir`"));
        let state_dir = Path::new("/run/my-daemon/handoff.sock.state");
        assert_eq!(config.supervisor.state_dir, state_dir);
        assert_eq!(config.supervisor.socket, None);
        assert_eq!(service.journal, state_dir.join("main.journal"));
    }
    let more = format!("data_dir = \"/data\"\n{V1}\n[supervisor]\nstate_dir = \"/state\"\n");
    let config = read(&more).unwrap();
    assert_eq!(config.services[0].data_dir, Some("/data".into()));
    assert_eq!(config.services[0].journal, Path::new("/state/main.journal"));
    assert!(config.notes.is_empty());
}

#[test]
fn relative_paths_start_from_the_file() {
    let text = with("trigger_socket = \"./run//t\"\n[[service.a.listeners]]\nname = \"x\"\naddress = \"unix:x.sock\"")
        .replace("/bin/a", "bin/a")
        .replace("/data/a", "../data");
    let service = &read(&text).unwrap().services[0];
    assert_eq!(service.binary, Path::new("/etc/handoff/bin/a"));
    assert_eq!(service.data_dir, Some("/etc/handoff/../data".into()));
    assert_eq!(service.trigger_socket, Some("/etc/handoff/run/t".into()));
    assert_eq!(
        service.listeners[0].address,
        ListenAddress::Unix("/etc/handoff/x.sock".into())
    );
}

#[test]
fn health_checks_are_commands_in_the_end() {
    let check = |line: &str| {
        let text = with(&format!("probation = \"9s\"\n[service.a.health]\n{line}"));
        let service = read(&text).unwrap().services.remove(0);
        service.health.unwrap().check()
    };
    let shell = check("command = \"ping a\"");
    assert_eq!((shell.program, shell.args.len()), ("/bin/sh".into(), 2));
    let program = check("command = [\"./ok\", \"-q\"]\nfailures = 1\ntimeout_secs = 2");
    assert_eq!(program.program, Path::new("/etc/handoff/ok"));
    assert_eq!(program.args, ["-q"]);
    assert_eq!(
        (program.failures, program.timeout),
        (1, Duration::from_secs(2))
    );
    assert_eq!(check("command = [\"true\"]").program, Path::new("true"));
    // Without a check, a probation watches that the successor lives.
    let config = read(&with("probation_secs = 30")).unwrap();
    assert_eq!(config.services[0].health, None);
    assert_eq!(config.services[0].probation, Duration::from_secs(30));
}

#[test]
fn what_may_not_be_meant_is_noted_and_allowed() {
    for (more, part) in [
        (
            "allowed_binaries = [\"/bin/a\", \"/missing/b\"]",
            "does not exist",
        ),
        (
            "drain_grace = \"2m\"\ndeadline = \"1m\"",
            "longer than the deadline",
        ),
        ("trigger_socket = \"/run/missing/t\"", "is not there yet"),
    ] {
        let config = read(&with(more)).unwrap();
        let [note] = &notes(&config)[..] else {
            panic!("{:?}", notes(&config));
        };
        assert!(note.contains(part), "{note}");
        assert!(note.starts_with(char::is_numeric), "{note}");
    }
}

#[test]
fn two_services_may_share_what_can_be_shared() {
    let second = |listener: &str| {
        format!(
            "{}\n[[service.a.listeners]]\nname = \"http\"\naddress = \"127.0.0.1:80\"\nreuse_port = true\n\
             [service.b]\nbinary = \"/bin/a\"\ndata_dir = \"/data/b\"\ncontrol_socket = \"/run/b\"\n\
             [[service.b.listeners]]\nname = \"http\"\n{listener}",
            with("")
        )
    };
    for listener in [
        "address = \"127.0.0.1:80\"\nreuse_port = true",
        "address = \"127.0.0.1:81\"",
        "address = \"127.0.0.2:80\"",
        "address = \"[::1]:80\"",
        "address = \"[::]:80\"\nipv6_only = true",
        "address = \"127.0.0.1:0\"",
    ] {
        assert_eq!(
            read(&second(listener)).unwrap().services.len(),
            2,
            "{listener}"
        );
    }
    for address in ["127.0.0.1:80", "0.0.0.0:80", "[::]:80"] {
        let problems = read(&second(&format!("address = \"{address}\""))).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].contains("`http` of service `a` already (line 8)"),
            "{problems:?}"
        );
    }
}

#[test]
fn the_summary_names_what_matters() {
    let text = check::summary(&read(EXAMPLE).unwrap());
    for part in [
        "ok: 2 services",
        "web: /usr/local/bin/web",
        "listener   https on [::]:443",
        "admin on unix:/run/web/admin.sock",
        "probation  30s, GET http://127.0.0.1:8080/health every 1s, 3 failures in a row end it",
        "always, after 100ms to 10s, at most 10 starts in 5m",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_probation_that_no_check_can_end_is_a_note() {
    for (probation, failures, noted) in [("3s", 3, true), ("4s", 3, false), ("3s", 2, false)] {
        let text = format!(
            "[supervisor]\nstate_dir = \"s\"\n[service.a]\nbinary = \"/bin/sh\"\ndata_dir = \"d\"\n\
             control_socket = \"c\"\nprobation = \"{probation}\"\n\
             [service.a.health]\ncommand = \"true\"\nfailures = {failures}\n"
        );
        let config = Config::read(&text, &std::env::temp_dir(), &ThisMachine).unwrap();
        let notes = notes(&config);
        let found = notes.iter().any(|note| note.contains("service.a.health"));
        assert_eq!(found, noted, "{notes:?}");
    }
}

#[test]
fn a_limit_of_descriptors_that_is_too_low_is_a_note() {
    let services = |count: u32| {
        let one = |at| {
            with("")
                .replace("a\"", &format!("{at}\""))
                .replace(".a]", &format!(".s{at}]"))
        };
        (0..count).map(one).collect::<String>()
    };
    assert_eq!(read(&services(12)).unwrap().notes, []);
    let notes = read(&services(13)).unwrap().notes;
    let [note] = &notes[..] else {
        panic!("{notes:?}");
    };
    assert!(note.text.contains("256 open files"), "{note}");
    assert!(note.text.contains("up to 259"), "{note}");
}
