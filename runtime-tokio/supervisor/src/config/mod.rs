//! The configuration file of `handoff supervise`: one supervisor, one or many services.
//!
//! | file | what it holds |
//! |---|---|
//! | [`settings`](Config) | what a file says, in types, and what the library is given of it |
//! | [`problem`](Problem) | what is wrong with a file, and where |
//! | `report` | collects that while a file is read |
//! | `section`, `value` | a table read key by key, and what a key can hold |
//! | `supervisor`, `service`, `listener`, `health`, `restart` | the tables, one file each |
//! | `claims` | what only one can have |
//! | `descriptors` | how many descriptors it takes |
//! | [`machine`](Machine) | the machine that the file is for, looked at and never changed |
//! | `check` | `handoff check` |
//!
//! A service is a table `[service.NAME]`, not an element of an array `[[service]]`: it cannot be left
//! without a name, TOML itself refuses a second one of that name, and what belongs to it says so
//! wherever it stands in the file (`[service.web.health]`, where `[service.health]` would belong to
//! whichever service comes before it). The services are told apart by their names everywhere else, too.
//!
//! The file is not read through serde: that ends at the first error, and an operator is told all of
//! them at once. Every key is described in `CONFIG.md`.

pub(crate) mod check;
mod claims;
pub(crate) mod descriptors;
mod health;
mod listener;
mod machine;
mod problem;
mod report;
mod restart;
mod section;
mod service;
mod settings;
mod supervisor;
#[cfg(test)]
mod tests;
mod value;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use toml::de::DeTable;

pub use machine::{Machine, ThisMachine};
pub use problem::{ConfigError, Note, Place, Problem};
use report::Report;
use section::Section;
pub use settings::{
    Config, CrashLoop, Health, LogFormat, Probe, Restart, RestartPolicy, Service,
    SupervisorSettings,
};

/// A file larger than this, in bytes, is not a configuration.
const LARGEST: u64 = 1 << 20;

/// The keys of a service at the top level, as the published version 1 has them; the last one is ours.
const V1_KEYS: [&str; 11] = [
    "control_socket",
    "trigger_socket",
    "binary",
    "drain_grace",
    "drain_grace_secs",
    "deadline",
    "deadline_secs",
    "allowed_uids",
    "allowed_binaries",
    "listeners",
    "data_dir",
];

impl Config {
    /// Reads this file, for this machine. Nothing is touched.
    ///
    /// # Errors
    /// [`ConfigError`], with all that is wrong.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable {
            file: file.into(),
            source,
        };
        let text = read_text(file).map_err(unreadable)?;
        let absolute = std::path::absolute(file).map_err(unreadable)?;
        let base = absolute.parent().unwrap_or(Path::new("/"));
        Self::read(&text, base, &ThisMachine).map_err(|problems| ConfigError::Refused {
            file: file.into(),
            problems,
        })
    }

    /// Reads the text of a file in the directory `base`.
    ///
    /// # Errors
    /// All that is wrong, in the order of the file.
    pub fn read(text: &str, base: &Path, machine: &dyn Machine) -> Result<Self, Vec<Problem>> {
        let mut report = Report::new(text, base, machine);
        let read = read_file(text, &mut report);
        let (problems, notes) = report.end();
        match read {
            Some((supervisor, services)) if problems.is_empty() => Ok(Self {
                supervisor,
                services,
                notes,
            }),
            _ => Err(problems),
        }
    }
}

fn read_text(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?
        .take(LARGEST.saturating_add(1))
        .read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it is larger than 1 MiB, so it is no configuration",
        ));
    }
    Ok(text)
}

/// `None`: something was reported.
fn read_file(text: &str, report: &mut Report<'_>) -> Option<(SupervisorSettings, Vec<Service>)> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        report.broken(error);
    }
    let mut root = Section::root(table.into_inner());
    let misplaced: Vec<_> = V1_KEYS.into_iter().filter(|key| root.has(key)).collect();
    if root.has("service") {
        for key in misplaced {
            root.refuse(
                key,
                "a key of a file for a single service, and there are [service.NAME] tables as well",
                "one style: move it into a [service.NAME] table",
                report,
            );
        }
        read_services(root, report)
    } else if misplaced.is_empty() {
        report.missing(
            &root.place_of("service"),
            "a table for each service, such as [service.web]",
        );
        let (_, _) = supervisor::read(root.section("supervisor", report), false, report);
        root.asked("service");
        root.end("", report);
        None
    } else {
        read_v1(root, report)
    }
}

fn read_services(
    mut root: Section<'_>,
    report: &mut Report<'_>,
) -> Option<(SupervisorSettings, Vec<Service>)> {
    let (state_dir, settings) = supervisor::read(root.section("supervisor", report), false, report);
    let named = root.named("service", report);
    let state_dir = state_dir.unwrap_or_default();
    let services: Vec<_> = named
        .into_iter()
        .map(|(name, section)| service::read(&name, section, &state_dir, report))
        .collect();
    let services = services.into_iter().collect::<Option<Vec<_>>>();
    if let Some(services) = &services {
        descriptors::check(&root, services, report);
    }
    root.end("", report);
    let services = services?;
    (!services.is_empty()).then_some((settings, services))
}

fn read_v1(
    mut root: Section<'_>,
    report: &mut Report<'_>,
) -> Option<(SupervisorSettings, Vec<Service>)> {
    let (state_dir, settings) = supervisor::read(root.section("supervisor", report), true, report);
    let service = service::read_v1(&mut root, state_dir.as_deref(), report);
    root.end(
        ", or a [service.NAME] table for the whole service, which has more keys",
        report,
    );
    let service = service?;
    let settings = SupervisorSettings {
        state_dir: state_dir.unwrap_or_else(|| service::v1_state_dir(&service.control_socket)),
        ..settings
    };
    Some((settings, vec![service]))
}
