//! The one service that a command line describes, as a configuration.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use handoff_std::host::ListenSpec;

use super::args::SuperviseArgs;
use crate::config::{Config, Health, LogFormat, Probe, Restart, Service, SupervisorSettings};

/// What it is called, as in a file that has but one.
const NAME: &str = "main";
/// Where its supervisor keeps its state, in the data directory.
const STATE_DIR: &str = ".handoff.state";

impl SuperviseArgs {
    /// The configuration that says the same.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub(super) fn into_config(self) -> anyhow::Result<Config> {
        self.check()?;
        let health = self.health();
        let mut command = self.command.into_iter();
        let named = command
            .next()
            .context("no binary is given; write it after --")?;
        let state_dir = self.data_dir.join(STATE_DIR);
        let journal = || state_dir.join(NAME).with_extension("journal");
        let service = Service {
            name: NAME.into(),
            binary: found_anew(named.into()),
            args: command.collect(),
            env: Vec::new(),
            clear_env: false,
            working_dir: None,
            user: None,
            data_dir: Some(self.data_dir),
            control_socket: self.control_socket,
            trigger_socket: self.trigger_socket,
            listeners: self.listeners,
            warmup_deadline: Duration::from_secs(self.warmup_secs),
            drain_grace: Duration::from_secs(self.drain_grace_secs),
            deadline: Duration::from_secs(self.deadline_secs),
            kill_stuck_incumbent: self.kill_stuck_incumbent,
            probation: Duration::from_secs(self.probation_secs),
            health,
            restart: Restart::default(),
            allowed_uids: self.allowed_uids,
            allowed_binaries: None,
            journal: self.journal.unwrap_or_else(journal),
        };
        Ok(Config {
            supervisor: SupervisorSettings {
                state_dir,
                socket: self.socket,
                allowed_uids: Vec::new(),
                log_format: LogFormat::default(),
                recordings: self.recordings,
                metrics: None,
                handoffs_at_once: None,
            },
            services: vec![service],
            notes: Vec::new(),
        })
    }

    fn check(&self) -> anyhow::Result<()> {
        let sockets = [
            ("control socket", Some(&self.control_socket)),
            ("trigger socket", self.trigger_socket.as_ref()),
            ("socket of the supervisor", self.socket.as_ref()),
        ];
        for (at, (what, path)) in sockets.iter().enumerate() {
            let same = |(_, other): &&(_, Option<&PathBuf>)| path.is_some() && other == path;
            if let (Some((other, _)), Some(path)) = (sockets.iter().take(at).find(same), path) {
                bail!(
                    "the {other} and the {what} are both {}; choose another path for the latter",
                    path.display()
                );
            }
        }
        if self.health_check.is_some() && self.probation_secs == 0 {
            bail!(
                "--health-check is for a probation, and --probation-secs is 0: give it the seconds that a \
                 new version is to be watched for, or leave the check out"
            );
        }
        for (at, ListenSpec { name, .. }) in self.listeners.iter().enumerate() {
            if self
                .listeners
                .iter()
                .take(at)
                .any(|other| other.name == *name)
            {
                bail!("two listeners are called `{name}`; rename one");
            }
        }
        Ok(())
    }

    fn health(&self) -> Option<Health> {
        let command = self.health_check.as_ref()?;
        Some(Health {
            probe: Probe::Command {
                program: "/bin/sh".into(),
                args: vec!["-c".into(), command.into()],
            },
            interval: Duration::from_secs(self.health_interval_secs),
            timeout: Duration::from_secs(self.health_timeout_secs),
            failures: self.health_failures,
        })
    }
}

/// The path of a program, the same from everywhere. A name without a slash is looked up in `PATH` at
/// every start.
fn found_anew(binary: PathBuf) -> PathBuf {
    if !binary.as_os_str().as_bytes().contains(&b'/') {
        return binary;
    }
    std::path::absolute(&binary).unwrap_or(binary)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;
    use handoff_std::HandoffSpec;

    use super::super::args::SuperviseCommand;
    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        supervise: SuperviseCommand,
    }

    fn config(words: &str) -> anyhow::Result<Config> {
        let line = format!("handoff --control-socket c --data-dir d {words}");
        let cli = Cli::try_parse_from(line.split(' '))?;
        cli.supervise.one.context("nothing given")?.into_config()
    }

    #[test]
    fn a_command_line_is_a_configuration_with_one_service() {
        let config = config(
            "--listener resp=127.0.0.1:0 --trigger-socket t --socket s --warmup-secs 1 \
             --drain-grace-secs 2 --deadline-secs 3 --probation-secs 4 --health-check true \
             --health-interval-secs 5 --health-timeout-secs 6 --health-failures 7 \
             --kill-stuck-incumbent --allow-uid 8 --journal j -- ./a b -c",
        )
        .unwrap();
        assert_eq!(config.supervisor.socket.as_deref(), Some(Path::new("s")));
        let [service] = &config.services[..] else {
            panic!("{config:?}");
        };
        assert_eq!(service.binary, std::path::absolute("a").unwrap());
        assert_eq!(service.args, ["b", "-c"]);
        assert_eq!(service.control_socket, Path::new("c"));
        assert_eq!(service.trigger_socket.as_deref(), Some(Path::new("t")));
        assert_eq!(service.data_dir.as_deref(), Some(Path::new("d")));
        assert_eq!(service.journal, Path::new("j"));
        assert_eq!(service.listeners, ["resp=127.0.0.1:0".parse().unwrap()]);
        assert_eq!(service.allowed_uids, [8]);
        assert!(service.allows(Path::new("/any/binary")));
        let handoff = service.handoff(service.spawn("/b".into()));
        let times = [
            handoff.warmup_deadline,
            handoff.drain_grace,
            handoff.deadline,
        ];
        assert_eq!(times, [1, 2, 3].map(Duration::from_secs));
        assert_eq!(handoff.probation, Duration::from_secs(4));
        assert!(handoff.kill_stuck_incumbent);
        let health = handoff.health.unwrap();
        assert_eq!(health.args, ["-c", "true"]);
        let times = [health.interval, health.timeout];
        assert_eq!(times, [5, 6].map(Duration::from_secs));
        assert_eq!(health.failures, 7);
    }

    #[test]
    fn what_is_not_said_has_the_defaults_of_the_library_and_of_a_file() {
        let config = config("-- a").unwrap();
        let service = &config.services[0];
        // Looked up in PATH.
        assert_eq!(service.binary, Path::new("a"));
        let state = Path::new("d/.handoff.state");
        assert_eq!(config.supervisor.state_dir, state);
        assert_eq!(service.journal, state.join("main.journal"));
        let ours = service.handoff(service.spawn("b".into()));
        let theirs = HandoffSpec::new(service.spawn("b".into()));
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    }

    #[test]
    fn each_socket_has_a_path_of_its_own() {
        for words in [
            "--trigger-socket c",
            "--socket c",
            "--socket t --trigger-socket t",
        ] {
            let error = config(&format!("{words} -- a")).unwrap_err().to_string();
            assert!(error.contains("choose another path"), "{error}");
        }
    }
}
