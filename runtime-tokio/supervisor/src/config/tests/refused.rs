//! Files that are wrong, and what is said of them.

use super::*;

/// The only thing that is wrong with this file.
fn only(text: &str) -> String {
    let mut problems = read(text).map(|_| ()).expect_err(text);
    assert_eq!(problems.len(), 1, "{text}\n{problems:#?}");
    problems.remove(0)
}

#[test]
fn a_line_says_where_what_and_what_instead() {
    assert_eq!(
        only(&with("deadline = 60")),
        "5:12: service.a.deadline: the number 60; expected a time such as \"5s\", \"1m30s\" or \
         \"250ms\"; whole seconds are written deadline_secs = 60"
    );
    assert_eq!(
        only(&with("deadlin = \"60s\"")),
        "5:1: service.a.deadlin: no key here is called `deadlin`; expected `deadline`"
    );
    // Counted in characters.
    assert_eq!(
        only(&with("args = [\"ä\", 2]")),
        "5:14: service.a.args[1]: the number 2; expected text in quotes"
    );
}

#[test]
fn values_that_cannot_be() {
    for (line, key, part) in [
        ("binary = 1", "binary", "a path in quotes"),
        ("args = \"x\"", "args", "an array in square brackets"),
        ("args = [\"a\\u0000b\"]", "args[0]", "zero byte"),
        ("clear_env = \"yes\"", "clear_env", "true or false"),
        (
            "working_dir = \"/missing\"",
            "working_dir",
            "not a directory",
        ),
        ("user = \"nobody-here\"", "user", "a user of this system"),
        (
            "allowed_uids = [-1]",
            "allowed_uids[0]",
            "from 0 to 4294967295",
        ),
        (
            "allowed_binaries = [\"/bin/b\"]",
            "allowed_binaries",
            "without `binary`",
        ),
        (
            "trigger_socket = \"/run/a\"",
            "trigger_socket",
            "the control socket of service `a`",
        ),
        (
            "trigger_socket = \"/run/t/\"\njournal = \"/run/t\"",
            "journal",
            "belongs to",
        ),
        ("journal = \"/\"", "journal", "the path of a file"),
        ("drain_grace = \"0s\"", "drain_grace", "longer than zero"),
        (
            "drain_grace_secs = 0",
            "drain_grace_secs",
            "longer than zero",
        ),
        ("deadline = \"soon\"", "deadline", "\"soon\" ("),
        ("deadline = \"2y\"", "deadline", "at most a year"),
        ("deadline_secs = \"60s\"", "deadline_secs", "a whole number"),
        (
            "deadline_secs = 6\ndeadline = \"6s\"",
            "deadline_secs",
            "both given",
        ),
        (
            "warmup_deadline = \"0ms\"",
            "warmup_deadline",
            "longer than zero",
        ),
        (
            "kill_stuck_incumbent = 1",
            "kill_stuck_incumbent",
            "true or false",
        ),
        ("env = 5", "env", "a table"),
        ("env = { A = 5 }", "env.A", "text in quotes"),
        (
            "env = { LISTEN_FDS = \"3\" }",
            "env.LISTEN_FDS",
            "is set for it",
        ),
        (
            "env = { \"A=B\" = \"3\" }",
            "env.A=B",
            "the name of a variable",
        ),
        ("listeners = {}", "listeners", "[[service.a.listeners]]"),
        (
            "[service.a.health]\ntcp = \"127.0.0.1:1\"",
            "health",
            "without a probation",
        ),
        (
            "probation_secs = 0\n[service.a.health]\ntcp = \"127.0.0.1:1\"",
            "health",
            "without a probation",
        ),
    ] {
        let text = with("");
        let name = key.split(['[', '.']).next().unwrap();
        let rest: Vec<_> = text.lines().filter(|own| !own.starts_with(name)).collect();
        let problem = only(&format!("{}\n{line}\n", rest.join("\n")));
        assert!(
            problem.contains(&format!(" service.a.{key}: ")),
            "{problem}"
        );
        assert!(problem.contains(part), "{problem}");
    }
}

#[test]
fn tables_of_a_service_that_cannot_be() {
    for (table, lines, part) in [
        ("health", "", "one of `command`, `http` and `tcp`"),
        (
            "health",
            "tcp = \"127.0.0.1:1\"\ncommand = \"x\"",
            "2 checks",
        ),
        ("health", "tcp = \"localhost:1\"", "IP:PORT"),
        ("health", "http = \"https://x/\"", "for TLS run curl"),
        ("health", "http = \"x\"", "a URL such as"),
        ("health", "command = \" \"", "a line for /bin/sh"),
        ("health", "command = []", "a line for /bin/sh"),
        ("health", "command = [\"/missing/x\"]", "does not exist"),
        (
            "health",
            "command = \"x\"\ninterval = \"0s\"",
            "longer than zero",
        ),
        (
            "health",
            "command = \"x\"\ntimeout = \"0s\"",
            "longer than zero",
        ),
        ("health", "command = \"x\"\nfailures = 0", "at least 1"),
        (
            "health",
            "command = \"x\"\nfailure = 1",
            "expected `failures`",
        ),
        (
            "restart",
            "policy = \"sometimes\"",
            "\"always\", \"on-failure\" or \"never\"",
        ),
        ("restart", "backoff = \"0s\"", "longer than zero"),
        (
            "restart",
            "backoff = \"5s\"\nbackoff_max = \"4s\"",
            "at least `backoff`, 5s",
        ),
        ("restart", "reset_after = \"0s\"", "longer than zero"),
        ("restart", "max_starts = 0", "at least 1"),
        ("restart", "within = \"5m\"", "`max_starts` as well"),
        ("restart", "retries = 1", "one of `policy`, `backoff`"),
    ] {
        let text = with(&format!("probation = \"1s\"\n[service.a.{table}]\n{lines}"));
        let problem = only(&text);
        assert!(
            problem.contains(&format!(" service.a.{table}")),
            "{problem}"
        );
        assert!(problem.contains(part), "{problem}");
    }
}

#[test]
fn listeners_that_cannot_be() {
    let (name, address) = ("name = \"x\"\n", "address = \"127.0.0.1:80\"\n");
    let long = format!("{name}address = \"unix:/{}\"", "x".repeat(200));
    for (lines, part) in [
        (name, "listeners[0].address: missing"),
        (address, "listeners[0].name: missing"),
        (
            "name = \"a b\"\naddress = \"127.0.0.1:80\"",
            "printable ASCII",
        ),
        (
            "name = \"x\"\naddress = \"localhost:80\"",
            "IP:PORT or unix:PATH",
        ),
        ("name = \"x\"\naddress = \"unix:\"", "the path is empty"),
        (&long, "too long"),
        (&format!("{name}{address}backlog = 0"), "at least 1"),
        (
            &format!("{name}{address}mode = \"0660\""),
            "only a Unix socket has one",
        ),
        (&format!("{name}{address}ipv6_only = true"), "an IPv6 one"),
        (
            "name = \"x\"\naddress = \"unix:/x\"\nreuse_port = true",
            "for a Unix socket",
        ),
        (
            "name = \"x\"\naddress = \"unix:/x\"\nmode = 660",
            "in octal",
        ),
        (
            "name = \"x\"\naddress = \"unix:/x\"\nmode = \"7777\"",
            "in octal",
        ),
        (
            "name = \"x\"\naddress = \"unix:/run/a\"",
            "the control socket of service `a`",
        ),
        (
            &format!("{name}{address}[[service.a.listeners]]\n{name}address = \"127.0.0.1:81\""),
            "a second listener called `x`",
        ),
        (
            &format!("{name}{address}[[service.a.listeners]]\nname = \"y\"\n{address}"),
            "the listener `x` of service `a`",
        ),
        (
            &format!("{name}addr = \"127.0.0.1:80\"\n{address}"),
            "expected `address`",
        ),
    ] {
        let problem = only(&with(&format!("[[service.a.listeners]]\n{lines}")));
        assert!(problem.contains(part), "{problem}");
    }
}

#[test]
fn the_supervisor_itself() {
    for (lines, part) in [
        ("log_format = \"xml\"", "\"text\" or \"json\""),
        ("state_dir = \"/a/file\"", "not a directory"),
        ("recordings = \"/a/file\"", "not a directory"),
        ("state = \"/a\"", "expected `state_dir`"),
        (
            "socket = \"/run/a\"",
            "belongs to the socket of the supervisor already",
        ),
    ] {
        let problem = only(&with(&format!("[supervisor]\n{lines}")));
        assert!(problem.contains(part), "{problem}");
    }
    let problems = read_on(&SOMEBODY, &with("user = \"www-data\"")).unwrap_err();
    assert!(
        problems[0].contains("supervisor.state_dir: missing"),
        "{problems:?}"
    );
    assert!(problems[1].contains("is not root"), "{problems:?}");
    let long = with("").replace("/run/a", &"x".repeat(200));
    assert!(only(&long).contains("at most 95"), "{long}");
}

#[test]
fn services_that_are_in_each_others_way() {
    let other = with("").replace("service.a", "service.b");
    let problems = read(&format!("{}\n{other}", with(""))).unwrap_err();
    let [data_dir, control] = &problems[..] else {
        panic!("{problems:#?}");
    };
    assert!(
        data_dir.starts_with(
            "8:12: service.b.data_dir: /data/a belongs to service `a` already (line 3)"
        )
    );
    assert!(
        control.contains("/run/a belongs to the control socket of service `a`"),
        "{control}"
    );
    let twice = read(&format!("{}\n[service.a]\n", with(""))).unwrap_err();
    assert_eq!(twice.len(), 1, "{twice:#?}");
    assert!(twice[0].starts_with("6:"), "{twice:#?}");
    assert!(twice[0].contains("defined a second time"), "{twice:#?}");
}

#[test]
fn names_styles_and_files_that_are_none() {
    assert!(only("").starts_with("1:1: service: missing; expected a table for each service"));
    assert!(only("[service]").contains("at least one table"));
    assert!(only("[[service]]\nname = \"a\"").contains("[service.NAME]"));
    let named = |name: &str| with("").replace("service.a", &format!("service.\"{name}\""));
    for name in ["", "a b", "ä", "../x", &"x".repeat(65)] {
        assert!(only(&named(name)).contains("as a service's name"), "{name}");
    }
    // Both styles: every key that is in the wrong place.
    let both = format!("binary = \"/bin/a\"\nallowed_uids = []\n{}", with(""));
    let problems = read(&both).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems.iter().all(|problem| problem.contains("one style")));
    // A key that version 1 does not have.
    let more = format!("args = []\n{V1}");
    assert!(only(&more).contains("a [service.NAME] table for the whole service"));
    let addressed = read(&V1.replace("addr =", "address =")).unwrap_err();
    assert!(addressed[1].ends_with("expected `addr`"), "{addressed:#?}");
    let none = read("drain_grace_secs = 1").unwrap_err();
    assert_eq!(none.len(), 2, "{none:#?}");
}

#[test]
fn all_of_it_at_once() {
    let text = "\
[supervisor]
socket = false
[service.a]
binary = \"/missing\"
control_socket = 5
deadline = \"0s\"
colour = \"red\"
[[service.a.listeners]]
name = \"x\"
[service.b]
";
    let problems = read(text).unwrap_err();
    let lines: Vec<_> = problems
        .iter()
        .map(|problem| problem.split(':').next().unwrap())
        .collect();
    let expected = ["2", "3", "4", "5", "6", "7", "8", "10", "10", "10"];
    assert_eq!(lines, expected, "{problems:#?}");
}

#[test]
fn a_file_that_is_no_toml_says_so_and_the_rest_as_well() {
    let text = with("deadline = \"5s\nprobation = 1\ncolour = ");
    let problems = read(&text).unwrap_err();
    let lines: Vec<_> = problems
        .iter()
        .map(|problem| problem.split(':').next().unwrap())
        .collect();
    assert_eq!(lines, ["5", "6", "7"], "{problems:#?}");
    // What stands in a file does not reach a terminal as it is.
    let problem = read("\u{1b}[2J = 1").unwrap_err().join("\n");
    assert!(!problem.contains('\u{1b}'), "{problem}");
}
