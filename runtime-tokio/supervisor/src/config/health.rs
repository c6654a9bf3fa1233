//! Reads a health check.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;
use ureq::http::Uri;

use super::report::{At, Report};
use super::section::Section;
use super::settings::{Health, Probe};
use super::value::{Value, found};

const PROBE: &str = "one of `command`, `http` and `tcp`";

/// A command: a line for the shell, or a program with its arguments.
struct Command {
    program: PathBuf,
    args: Vec<OsString>,
}

impl Value for Command {
    const EXPECTED: &'static str = "a line for /bin/sh, such as \"curl -f localhost\", or an array, such as [\"/bin/check\", \"-q\"]";

    fn read(at: &At<DeValue<'_>>, report: &mut Report<'_>) -> Option<Self> {
        let words: Vec<At<String>> = match &at.value {
            DeValue::String(line) if !line.trim().is_empty() => {
                let line = String::read(at, report)?;
                return Some(Self {
                    program: "/bin/sh".into(),
                    args: vec!["-c".into(), line.into()],
                });
            }
            DeValue::Array(words) if !words.is_empty() => Value::read(at, report)?,
            other => {
                report.wrong(&at.mark, found(other), Self::EXPECTED);
                return None;
            }
        };
        let mut words = words.into_iter();
        let first = words.next()?;
        Some(Self {
            program: read_program(&first, report)?,
            args: words.map(|at| at.value.into()).collect(),
        })
    }
}

/// One without a slash is looked for in `PATH` when it is run.
fn read_program(at: &At<String>, report: &mut Report<'_>) -> Option<PathBuf> {
    if at.value.is_empty() {
        report.wrong(&at.mark, found(&at.value), "a program");
        return None;
    }
    if !at.value.contains('/') {
        return Some(at.value.clone().into());
    }
    let path = report.resolve(&at.value);
    if let Err(why) = report.machine.program(&path) {
        report.wrong(&at.mark, why, "a program that can be run");
    }
    Some(path)
}

/// Reads a health check. `None` if it is wrong.
pub(super) fn read(mut section: Section<'_>, report: &mut Report<'_>) -> Option<Health> {
    let given = ["command", "http", "tcp"].map(|key| section.has(key));
    let count = given.iter().filter(|given| **given).count();
    let command: Option<At<Command>> = section.value("command", report);
    let http: Option<At<String>> = section.value("http", report);
    let tcp: Option<At<String>> = section.value("tcp", report);
    let probes = [
        command.map(|at| Probe::Command {
            program: at.value.program,
            args: at.value.args,
        }),
        http.and_then(|at| read_url(at, report)),
        tcp.and_then(|at| read_tcp(&at, report)),
    ];
    let mark = section.mark.clone();
    match count {
        0 => report.missing(&mark, PROBE),
        1 => {}
        _ => report.wrong(&mark, format!("{count} checks"), PROBE),
    }
    let interval = section.time("interval", report);
    let timeout = section.time("timeout", report);
    let failures: Option<At<u32>> = section.value("failures", report);
    if let Some(at) = failures.as_ref().filter(|at| at.value == 0) {
        report.wrong(&at.mark, "no failure at all", "at least 1");
    }
    section.end("", report);
    Some(Health {
        probe: probes.into_iter().flatten().next()?,
        interval: interval.map_or(Duration::from_secs(1), |at| at.value),
        timeout: timeout.map_or(Duration::from_secs(5), |at| at.value),
        failures: failures.map_or(3, |at| at.value),
    })
}

fn read_url(at: At<String>, report: &mut Report<'_>) -> Option<Probe> {
    let is_good = at.value.parse::<Uri>().is_ok_and(|url| {
        url.scheme_str() == Some("http") && url.host().is_some_and(|host| !host.is_empty())
    });
    if is_good {
        return Some(Probe::Http(at.value));
    }
    report.wrong(
        &at.mark,
        found(&at.value),
        "a URL such as \"http://127.0.0.1:8080/health\"; for TLS run curl as `command`",
    );
    None
}

fn read_tcp(at: &At<String>, report: &mut Report<'_>) -> Option<Probe> {
    match at.value.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Some(Probe::Tcp(address)),
        _ => {
            let expected = "IP:PORT, such as \"127.0.0.1:8080\"";
            report.wrong(&at.mark, found(&at.value), expected);
            None
        }
    }
}
