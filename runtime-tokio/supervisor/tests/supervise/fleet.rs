//! `handoff supervise --config`: two services of one file, and the commands that reach them.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Output;

use handoff_std::host::Signal;
use serde_json::Value;

use super::talk::{Info, assert_kept, assert_set, info, info_of_another};
use super::world::{Supervised, World, assert_committed, kill, run, start, wait_for};

/// Two services, `a` and `b`, of two binaries, and what one may be replaced by.
pub(crate) struct Fleet {
    pub(crate) world: World,
}

impl Fleet {
    /// `more` are further keys of each service, and `tables` further tables.
    pub(crate) fn new(more: &str, tables: &str) -> Self {
        let world = World::new();
        let mut text = String::from("[supervisor]\nstate_dir = \"state\"\nsocket = \"s\"\n");
        for name in ["a", "b"] {
            for tag in ["1", "2"] {
                world.binary(&format!("{name}{tag}"), "");
            }
            let dead = world.script("dead", "exit 7\n");
            let at = |part: &str| format!("{}", world.path(&format!("{name}.{part}")).display());
            let bin = world.path("bin");
            let bin = bin.display();
            let _ = write!(
                text,
                "[service.{name}]\n\
                 binary = \"{bin}/{name}1\"\n\
                 args = [\"kvd\", \"--control-socket\", \"{c}\", \"--data-dir\", \"{d}\"]\n\
                 control_socket = \"{c}\"\ndata_dir = \"{d}\"\ntrigger_socket = \"{t}\"\n\
                 allowed_binaries = [\"{bin}/{name}1\", \"{bin}/{name}2\", \"{dead}\"]\n\
                 {more}\n\
                 [[service.{name}.listeners]]\nname = \"resp\"\naddress = \"127.0.0.1:0\"\n\
                 {tables}\n",
                c = at("c"),
                d = at("d"),
                t = at("t"),
                dead = dead.display(),
                tables = tables.replace("NAME", name),
            );
        }
        fs::write(world.path("handoff.toml"), text).unwrap();
        Self { world }
    }

    pub(crate) fn start(&self, options: &[&str]) -> Supervised {
        let config = self.world.path("handoff.toml");
        let mut args = vec!["--config".into(), config.into_os_string()];
        args.extend(options.iter().map(Into::into));
        start(self.world.log(), args, &[])
    }

    pub(crate) fn binary(&self, name: &str) -> String {
        let path = self.world.path("bin").join(name);
        path.to_str().unwrap().into()
    }

    /// Runs a command against the supervisor.
    pub(crate) fn command(&self, words: &[&str]) -> Output {
        let config = self.world.path("handoff.toml");
        let config = config.to_str().unwrap();
        let (command, rest) = words.split_first().unwrap();
        run(&[&[*command, "--config", config, "--json"], rest].concat())
    }

    /// The same once it answers, and its exit status and its answer.
    pub(crate) fn answer(&self, words: &[&str]) -> (i32, Value) {
        wait_for("an answer", || {
            let output = self.command(words);
            let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
            let why = answer["why"].as_str().unwrap_or_default();
            let soon = why.contains("in a moment") && !why.contains("probation");
            (!soon).then(|| (output.status.code().unwrap(), answer))
        })
    }

    /// How this service is, once it serves.
    pub(crate) fn status(&self, name: &str) -> Value {
        wait_for("a service that serves", || {
            let output = self.command(&["status", name]);
            let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
            output.status.success().then(|| answer[0].clone())
        })
    }

    /// The port of this service, once it serves.
    pub(crate) fn port(&self, name: &str) -> u16 {
        let status = self.status(name);
        let address = status["listeners"][0]["address"].as_str().unwrap();
        address.rsplit(':').next().unwrap().parse().unwrap()
    }

    pub(crate) fn info(&self, name: &str) -> Info {
        info(self.port(name))
    }

    /// A line to the trigger socket of a service, and the answer.
    pub(crate) fn trigger(&self, name: &str, line: &str) -> String {
        let path = self.world.path(&format!("{name}.t"));
        wait_for("an answer on the trigger socket", || {
            let mut client = UnixStream::connect(&path).ok()?;
            let _ = writeln!(client, "{line}");
            let answer = std::io::read_to_string(client).ok()?;
            (!answer.contains("not known yet") && !answer.is_empty()).then_some(answer)
        })
    }
}

#[test]
fn two_services_are_replaced_one_without_the_other() {
    let fleet = Fleet::new("", "");
    let supervisor = fleet.start(&[]);
    let (a, b) = (fleet.port("a"), fleet.port("b"));
    let (a1, b1) = (info(a), info(b));
    assert_eq!((&*a1.version, &*b1.version), ("a1", "b1"));
    assert_set(a, "k");

    // Named, and back to the configured one.
    let (code, ended) = fleet.answer(&["upgrade", "a", "--binary", &fleet.binary("a2")]);
    assert_eq!(
        (code, &ended["outcome"]),
        (0, &"committed".into()),
        "{ended}"
    );
    let a2 = info_of_another(a, a1.pid);
    assert_eq!(a2.version, "a2");
    assert_eq!(ended["pid"], a2.pid);
    let (code, ended) = fleet.answer(&["restart", "a"]);
    assert_eq!(code, 0, "{ended}");
    let a3 = info_of_another(a, a2.pid);
    assert_eq!(a3.version, "a2");
    let (code, _) = fleet.answer(&["upgrade", "a", "--wait"]);
    assert_eq!(code, 0);
    assert_eq!(info_of_another(a, a3.pid).version, "a1");
    assert_kept(a, "k");
    assert_eq!(info(b), b1);

    // The trigger socket of each.
    let answer = fleet.trigger("b", &format!("handoff {}", fleet.binary("b2")));
    assert_committed(&answer);
    assert_eq!(info_of_another(b, b1.pid).version, "b2");

    // What is refused, and by whom.
    for (words, part) in [
        (&["upgrade"][..], "say which service: a, b"),
        (&["upgrade", "c"], "no service is called `c`"),
        (
            &["upgrade", "a", "--binary", "/bin/true"],
            "allowed_binaries",
        ),
        (&["rollback", "a"], "no handoff is in progress"),
    ] {
        let (code, answer) = fleet.answer(words);
        assert_eq!(code, 3, "{answer}");
        assert!(answer["why"].as_str().unwrap().contains(part), "{answer}");
    }
    for (line, part) in [
        ("handoff /bin/true", "allowed_binaries"),
        ("rollback", "no handoff is in progress"),
        ("nonsense", "unknown command"),
    ] {
        let answer = fleet.trigger("a", line);
        assert!(
            answer.starts_with("err: ") && answer.contains(part),
            "{answer}"
        );
    }

    // For all of them, and in words.
    let output = fleet.command(&["status"]);
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2);
    let b2 = fleet.status("b");
    assert_eq!(b2["state"], "running");
    assert_eq!(b2["pid"], b2["daemon"]["pid"]);
    assert_eq!((&b2["restarts"], &b2["trouble"]), (&0.into(), &Value::Null));
    assert_eq!(b2["binary"], fleet.binary("b2"));
    let socket = fleet.world.path("s");
    let output = run(&["status", "--socket", socket.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("a: running") && text.contains("resp on 127.0.0.1:"),
        "{text}"
    );
    assert!(!supervisor.has_zombies());
}

#[test]
fn a_failed_upgrade_is_rolled_back_and_so_is_one_that_is_regretted() {
    let fleet = Fleet::new("probation = \"10m\"", "");
    let _supervisor = fleet.start(&[]);
    let a1 = fleet.info("a");
    let (code, ended) = fleet.answer(&["upgrade", "a", "--binary", &fleet.binary("dead")]);
    assert_eq!(
        (code, &ended["outcome"]),
        (4, &"rolled_back".into()),
        "{ended}"
    );
    assert!(
        ended["reason"].as_str().unwrap().contains("exit status: 7"),
        "{ended}"
    );
    assert_eq!(fleet.info("a"), a1);

    std::thread::scope(|scope| {
        let upgrade = scope.spawn(|| fleet.answer(&["upgrade", "a"]));
        let port = fleet.port("a");
        assert!(!info_of_another(port, a1.pid).committed);
        let rolled_back = wait_for("a rollback", || {
            let (code, ended) = fleet.answer(&["rollback", "a"]);
            (code != 3).then_some((code, ended))
        });
        assert_eq!(rolled_back.0, 0, "{}", rolled_back.1);
        let (code, ended) = upgrade.join().unwrap();
        assert_eq!(
            (code, &ended["outcome"]),
            (4, &"rolled_back".into()),
            "{ended}"
        );
    });
    assert_eq!(fleet.info("a").pid, a1.pid);
}

#[test]
fn a_killed_supervisor_finds_its_daemons_and_gets_their_listeners_back() {
    let fleet = Fleet::new("", "");
    let supervisor = fleet.start(&[]);
    let (a, b) = (fleet.port("a"), fleet.port("b"));
    let (code, _) = fleet.answer(&["upgrade", "a", "--binary", &fleet.binary("a2")]);
    assert_eq!(code, 0);
    // The daemon takes the commit in a moment after its supervisor has told of it.
    let before_a = wait_for("the commit", || Some(info(a)).filter(|info| info.committed));
    let before_b = info(b);
    supervisor.kill();

    let mut supervisor = fleet.start(&[]);
    assert_eq!((fleet.port("a"), fleet.port("b")), (a, b));
    supervisor.wait_log("given back by the daemon");
    assert_eq!((info(a), info(b)), (before_a.clone(), before_b.clone()));
    assert_eq!(fleet.status("a")["binary"], fleet.binary("a2"));
    let (code, ended) = fleet.answer(&["restart", "a"]);
    assert_eq!(code, 0, "{ended}");
    assert_eq!(info_of_another(a, before_a.pid).version, "a2");

    // One that is not our child is started again as well.
    kill(before_b.process());
    assert_eq!(info_of_another(b, before_b.pid).version, "b1");
    let restarts = || fleet.status("b")["restarts"].clone();
    wait_for("the count of restarts", || (restarts() == 1).then_some(()));

    // Told to end, it ends them, the last one first.
    supervisor.signal(Signal::TERM);
    assert!(supervisor.wait().success());
    assert!(fleet.world.processes().is_empty());
    let log = supervisor.log();
    let ends: Vec<_> = log
        .lines()
        .filter(|line| line.contains("ending the daemon"))
        .collect();
    assert!(ends[0].contains("service=b"), "{ends:?}");
    assert_eq!(ends.len(), 2);
    for socket in ["s", "a.t", "b.t"] {
        assert!(!fleet.world.path(socket).exists(), "{socket}");
    }
}
