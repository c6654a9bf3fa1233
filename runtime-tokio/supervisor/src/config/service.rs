//! Reads a service: `[service.NAME]`, or the top level of a file in the style of version 1.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handoff_std::HandoffSpec;
use handoff_std::SpawnSpec;
use handoff_std::host::control::{ControlError, PATH_LIMIT, check_path};
use handoff_std::host::{ListenSpec, User};

use super::report::{At, Mark, Report};
use super::section::Section;
use super::settings::{Health, Restart, Service};
use super::value::{bare, found};
use super::{health, listener, restart};

/// What the supervisor sets itself, and what it was told by systemd: a daemon does not speak in its name.
const RESERVED: [&str; 8] = [
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "HANDOFF_ROLE",
    "HANDOFF_SOCK_FD",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// What both styles have.
struct Common {
    binary: Option<At<PathBuf>>,
    control_socket: Option<At<PathBuf>>,
    trigger_socket: Option<At<PathBuf>>,
    drain_grace: Duration,
    deadline: Duration,
    allowed_uids: Vec<u32>,
    allowed_binaries: Option<At<Vec<At<PathBuf>>>>,
}

/// Reads `[service.NAME]`. `None` if something that must be there is wrong or missing; it has been
/// reported.
pub(super) fn read(
    name: &str,
    mut section: Section<'_>,
    state_dir: &Path,
    report: &mut Report<'_>,
) -> Option<Service> {
    check_name(name, &section.mark, report);
    let who = format!("service `{name}`");
    let common = read_common(&mut section, &who, report);
    let args: Vec<At<String>> = section.value_or("args", Vec::new(), report);
    let env = read_env(section.section("env", report), report);
    let clear_env = section.value_or("clear_env", false, report);
    let working_dir: Option<At<PathBuf>> = section.value("working_dir", report);
    if let Some(at) = &working_dir
        && report.machine.directory(&at.value) != Some(true)
    {
        let found = format!("{} is not a directory", at.value.display());
        report.wrong(&at.mark, found, "a directory that is there");
    }
    let user = section
        .value("user", report)
        .and_then(|at| read_user(&at, report));
    let data_dir = section
        .required("data_dir", report)
        .map(|at| use_data_dir(at, &who, report));
    let listeners = section
        .sections("listeners", report)
        .into_iter()
        .map(|section| listener::read(section, "address", &who, report));
    let listeners = all_named(listeners.collect(), report);
    let warmup_deadline = section.time("warmup_deadline", report);
    let kill_stuck_incumbent = section.value_or("kill_stuck_incumbent", false, report);
    let (probation, health) = read_probation(&mut section, report);
    let restart = restart::read(section.section("restart", report), report);
    let journal = read_journal(&mut section, name, state_dir, report);
    section.end("", report);

    let binary = common.binary?;
    Some(Service {
        name: name.into(),
        args: bare(args).into_iter().map(OsString::from).collect(),
        env,
        clear_env,
        working_dir: working_dir.map(|at| at.value),
        user,
        data_dir: Some(data_dir?),
        control_socket: common.control_socket?.value,
        trigger_socket: common.trigger_socket.map(|at| at.value),
        listeners,
        warmup_deadline: warmup_deadline.map_or(defaults().warmup_deadline, |at| at.value),
        drain_grace: common.drain_grace,
        deadline: common.deadline,
        kill_stuck_incumbent,
        probation,
        health,
        restart,
        allowed_uids: common.allowed_uids,
        allowed_binaries: Some(with_its_own(
            common.allowed_binaries,
            &binary,
            false,
            report,
        )),
        binary: binary.value,
        journal,
    })
}

/// Reads a service from the top level, as the published version 1 has it.
pub(super) fn read_v1(
    section: &mut Section<'_>,
    state_dir: Option<&Path>,
    report: &mut Report<'_>,
) -> Option<Service> {
    const WHO: &str = "the service";
    let common = read_common(section, WHO, report);
    let data_dir = section
        .value("data_dir", report)
        .map(|at| use_data_dir(at, WHO, report));
    let listeners = section
        .sections("listeners", report)
        .into_iter()
        .map(|section| listener::read(section, "addr", WHO, report));
    let listeners = all_named(listeners.collect(), report);
    let (binary, control_socket) = (common.binary?, common.control_socket?);
    if data_dir.is_none() {
        report.note(
            &control_socket.mark,
            "without `data_dir` nobody can look at the writer lock: a daemon that lives and does not \
             answer is taken for a dead one, and the one started in its place has to find that out",
        );
    }
    let state_dir = state_dir.map_or_else(|| v1_state_dir(&control_socket.value), PathBuf::from);
    Some(Service {
        name: "main".into(),
        args: Vec::new(),
        env: Vec::new(),
        clear_env: false,
        working_dir: None,
        user: None,
        data_dir,
        control_socket: control_socket.value,
        trigger_socket: common.trigger_socket.map(|at| at.value),
        listeners,
        warmup_deadline: defaults().warmup_deadline,
        drain_grace: common.drain_grace,
        deadline: common.deadline,
        kill_stuck_incumbent: false,
        probation: Duration::ZERO,
        health: None,
        restart: Restart::default(),
        allowed_uids: common.allowed_uids,
        allowed_binaries: Some(with_its_own(common.allowed_binaries, &binary, true, report)),
        binary: binary.value,
        journal: journal_in(&state_dir, "main"),
    })
}

/// Where the supervisor of a file in the style of version 1 keeps its state, if it does not say so.
/// Every daemon has a control socket of its own.
pub(super) fn v1_state_dir(control_socket: &Path) -> PathBuf {
    let mut path = control_socket.as_os_str().to_owned();
    path.push(".state");
    path.into()
}

fn journal_in(state_dir: &Path, name: &str) -> PathBuf {
    state_dir.join(format!("{name}.journal"))
}

/// The library's own defaults.
fn defaults() -> HandoffSpec {
    HandoffSpec::new(SpawnSpec::default())
}

fn check_name(name: &str, mark: &Mark, report: &mut Report<'_>) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !(1..=64).contains(&name.len()) || !name.chars().all(allowed) {
        report.wrong(
            mark,
            format!("{} as a service's name", found(&name.to_owned())),
            "1 to 64 ASCII letters, digits, `-` and `_`: it becomes the name of files",
        );
    }
}

fn read_common(section: &mut Section<'_>, who: &str, report: &mut Report<'_>) -> Common {
    let binary: Option<At<PathBuf>> = section.required("binary", report);
    if let Some(at) = &binary
        && let Err(why) = report.machine.program(&at.value)
    {
        report.wrong(&at.mark, why, "a program that can be run");
    }
    let control_socket = section.required("control_socket", report);
    if let Some(at) = &control_socket {
        check_socket_and_directory(at, "the control socket", who, report);
    }
    let trigger_socket = section.value("trigger_socket", report);
    if let Some(at) = &trigger_socket {
        check_socket_and_directory(at, "the trigger socket", who, report);
    }
    let drain_grace = section.time("drain_grace", report);
    let deadline = section.time("deadline", report);
    if let (Some(grace), Some(deadline)) = (&drain_grace, &deadline)
        && grace.value > deadline.value
    {
        let text = format!(
            "longer than the deadline of the whole handoff, {}, which ends it first",
            found(&deadline.value)
        );
        report.note(&grace.mark, text);
    }
    Common {
        binary,
        control_socket,
        trigger_socket,
        drain_grace: drain_grace.map_or(defaults().drain_grace, |at| at.value),
        deadline: deadline.map_or(defaults().deadline, |at| at.value),
        allowed_uids: bare(section.value_or("allowed_uids", Vec::new(), report)),
        allowed_binaries: section.value("allowed_binaries", report),
    }
}

/// Checks a socket in a directory that is not ours to create.
pub(super) fn check_socket_and_directory(
    at: &At<PathBuf>,
    what: &str,
    who: &str,
    report: &mut Report<'_>,
) {
    check_socket(at, what, who, report);
    if let Some(parent) = at.value.parent()
        && report.machine.directory(parent).is_none()
    {
        let text = format!("the directory {} is not there yet", parent.display());
        report.note(&at.mark, text);
    }
}

/// Checks a socket that is bound under a longer name beside its path first, and then renamed.
pub(super) fn check_socket(at: &At<PathBuf>, what: &str, who: &str, report: &mut Report<'_>) {
    match check_path(&at.value) {
        Ok(()) => {}
        Err(ControlError::TooLong { length, .. }) => report.wrong(
            &at.mark,
            format!("a path of {length} bytes: {}", at.value.display()),
            format!("at most {PATH_LIMIT}, more does not fit into a socket's name"),
        ),
        Err(error) => report.wrong(&at.mark, error.to_string(), "the path of a socket"),
    }
    report.claim_path(&at.value, &format!("{what} of {who}"), &at.mark);
}

fn use_data_dir(at: At<PathBuf>, who: &str, report: &mut Report<'_>) -> PathBuf {
    if report.machine.directory(&at.value) == Some(false) {
        let found = format!("{} is not a directory", at.value.display());
        report.wrong(
            &at.mark,
            found,
            "a directory, there already or to be created",
        );
    }
    report.claim_data_dir(&at.value, who, &at.mark);
    at.value
}

fn read_env(section: Section<'_>, report: &mut Report<'_>) -> Vec<(OsString, OsString)> {
    let mut env = Vec::new();
    for (name, value) in section.entries::<String>(report) {
        if name.value.is_empty() || name.value.contains(['=', '\0']) {
            let expected = "the name of a variable, without equals sign and zero byte";
            report.wrong(&name.mark, found(&name.value), expected);
        } else if RESERVED.contains(&name.value.as_str()) {
            let expected = "other variables: this one is the supervisor's to set or to keep";
            report.wrong(&name.mark, found(&name.value), expected);
        }
        env.push((name.value.into(), value.into()));
    }
    env
}

fn read_user(at: &At<String>, report: &mut Report<'_>) -> Option<User> {
    if !report.machine.is_root() {
        report.wrong(
            &at.mark,
            format!("{}, and the supervisor is not root", found(&at.value)),
            "no `user`: only root can start a process as another one",
        );
        return None;
    }
    let why = match report.machine.user(&at.value) {
        Ok(Some(user)) => return Some(user),
        Ok(None) => String::new(),
        Err(error) => format!(" ({error})"),
    };
    let found = format!("{}{why}", found(&at.value));
    report.wrong(
        &at.mark,
        found,
        "the name or number of a user of this system",
    );
    None
}

/// The listeners, no two with the same name.
fn all_named(read: Vec<Option<(ListenSpec, Mark)>>, report: &mut Report<'_>) -> Vec<ListenSpec> {
    let mut specs: Vec<(ListenSpec, Mark)> = Vec::new();
    for (spec, mark) in read.into_iter().flatten() {
        if let Some((_, other)) = specs.iter().find(|(other, _)| other.name == spec.name) {
            let line = report.line(other);
            report.wrong(
                &mark,
                format!("a second listener called `{}` (line {line})", spec.name),
                "another name: the daemon asks for its listeners by name",
            );
        }
        specs.push((spec, mark));
    }
    if let Some((_, mark)) = specs.get(handoff_std::host::inherit::MAX_LISTENERS) {
        report.wrong(
            mark,
            format!("{} listeners", specs.len()),
            format!(
                "at most {}, more cannot be handed over",
                handoff_std::host::inherit::MAX_LISTENERS
            ),
        );
    }
    specs.into_iter().map(|(spec, _)| spec).collect()
}

fn read_probation(
    section: &mut Section<'_>,
    report: &mut Report<'_>,
) -> (Duration, Option<Health>) {
    let given = section.has("probation") || section.has("probation_secs");
    let probation = section.time_or_none("probation", report);
    let is_wrong = given && probation.is_none();
    let probation = probation.map_or(Duration::ZERO, |at| at.value);
    let Some(health) = section.section_if_given("health", report) else {
        return (probation, None);
    };
    let mark = health.mark.clone();
    let health = health::read(health, report);
    if probation.is_zero() && !is_wrong {
        report.wrong(
            &mark,
            "a health check without a probation",
            "`probation`, such as probation = \"30s\": that is when it is run",
        );
    }
    if let Some(Health {
        interval, failures, ..
    }) = &health
        && !probation.is_zero()
        && probation <= interval.saturating_mul(*failures)
    {
        let text = format!(
            "{failures} checks, one every {}, hardly fail in a row within the probation of {}: a \
             successor that turns bad is committed; give a longer `probation`, or a smaller \
             `interval` or `failures`",
            found(interval),
            found(&probation)
        );
        report.note(&mark, text);
    }
    (probation, health)
}

fn read_journal(
    section: &mut Section<'_>,
    name: &str,
    state_dir: &Path,
    report: &mut Report<'_>,
) -> PathBuf {
    let given: Option<At<PathBuf>> = section.value("journal", report);
    let (path, mark) = match given {
        Some(at) => (at.value, at.mark),
        None => (journal_in(state_dir, name), section.mark.clone()),
    };
    if path.file_name().is_none() || report.machine.directory(&path) == Some(true) {
        report.wrong(&mark, path.display().to_string(), "the path of a file");
    }
    report.claim_path(&path, &format!("the journal of service `{name}`"), &mark);
    path
}

/// The binaries that may be named. The service's own is always among them: a file of our own style has
/// to say so if it lists any, in one of version 1 it goes without saying.
fn with_its_own(
    listed: Option<At<Vec<At<PathBuf>>>>,
    binary: &At<PathBuf>,
    implied: bool,
    report: &mut Report<'_>,
) -> Vec<PathBuf> {
    let Some(listed) = listed else {
        return vec![binary.value.clone()];
    };
    for at in &listed.value {
        if at.value != binary.value
            && let Err(why) = report.machine.program(&at.value)
        {
            report.note(&at.mark, format!("not to be run as it is now: {why}"));
        }
    }
    let is_listed = listed.value.iter().any(|at| at.value == binary.value);
    let mut binaries = bare(listed.value);
    if !is_listed {
        if !implied {
            report.wrong(
                &listed.mark,
                format!("a list without `binary`, {}", binary.value.display()),
                "`binary` as well: a handoff to it would be refused",
            );
        }
        binaries.insert(0, binary.value.clone());
    }
    binaries
}
