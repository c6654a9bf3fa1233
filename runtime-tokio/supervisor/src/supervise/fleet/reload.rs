//! What another reading of the configuration changes for a service that runs, and from when on.
//!
//! It comes to the same as a restart of the supervisor that leaves the daemons alone, but for what
//! cannot change while they run: that stays as it was, and is said.

use std::fmt;

use handoff_std::host::listen::ListenAddress;

use crate::config::{Service, SupervisorSettings};

/// From when on something holds that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum When {
    AtOnce,
    NextHandoff,
    NextDaemon,
    /// The supervisor has to be started anew.
    Restart,
    /// The service has to be taken out, and put in again.
    NewService,
}

/// What has changed, and from when on it holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) when: When,
    /// The keys, or the listener.
    pub(super) what: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.when {
            When::AtOnce => "in force",
            When::NextHandoff => "in force from the next handoff on",
            When::NextDaemon => "for the daemon that is started next, by a handoff or after an end",
            When::Restart => {
                "cannot change while the supervisor runs, and stays; restart the supervisor"
            }
            When::NewService => {
                "cannot change while the service is there, and stays; take the service out of the file, \
                 reload, put it in again, and reload"
            }
        };
        write!(f, "{}: {when}", self.what)
    }
}

/// The keys that have changed, those that hold from the same moment on together.
fn changes(keys: &[(When, &str, bool)]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for (when, key, _) in keys.iter().filter(|(.., is_same)| !is_same) {
        match changes.iter_mut().find(|change| change.when == *when) {
            Some(change) => {
                change.what.push_str(", ");
                change.what.push_str(key);
            }
            None => changes.push(Change {
                when: *when,
                what: (*key).into(),
            }),
        }
    }
    changes.sort_by_key(|change| change.when);
    changes
}

/// The service as it is in force from now on, and what is different from `old`.
pub(super) fn renewed(old: &Service, new: Service) -> (Service, Vec<Change>) {
    use When::{AtOnce, NewService, NextDaemon, NextHandoff, Restart};
    // Without `..`, so that no key is forgotten here.
    let Service {
        name: _,
        binary,
        args,
        env,
        clear_env,
        working_dir,
        user,
        data_dir,
        control_socket,
        trigger_socket,
        listeners,
        warmup_deadline,
        drain_grace,
        deadline,
        kill_stuck_incumbent,
        probation,
        health,
        restart,
        allowed_uids,
        allowed_binaries,
        journal,
    } = &new;
    let stuck = old.kill_stuck_incumbent == *kill_stuck_incumbent;
    let mut said = changes(&[
        (AtOnce, "restart", old.restart == *restart),
        (AtOnce, "allowed_uids", old.allowed_uids == *allowed_uids),
        (
            AtOnce,
            "allowed_binaries",
            old.allowed_binaries == *allowed_binaries,
        ),
        (
            NextHandoff,
            "warmup_deadline",
            old.warmup_deadline == *warmup_deadline,
        ),
        (NextHandoff, "drain_grace", old.drain_grace == *drain_grace),
        (NextHandoff, "deadline", old.deadline == *deadline),
        (NextHandoff, "kill_stuck_incumbent", stuck),
        (NextHandoff, "probation", old.probation == *probation),
        (NextHandoff, "health", old.health == *health),
        (NextDaemon, "binary", old.binary == *binary),
        (NextDaemon, "args", old.args == *args),
        (NextDaemon, "env", old.env == *env),
        (NextDaemon, "clear_env", old.clear_env == *clear_env),
        (NextDaemon, "working_dir", old.working_dir == *working_dir),
        (NextDaemon, "user", old.user == *user),
        (
            Restart,
            "trigger_socket",
            old.trigger_socket == *trigger_socket,
        ),
        (Restart, "journal", old.journal == *journal),
        (NewService, "data_dir", old.data_dir == *data_dir),
        (
            NewService,
            "control_socket",
            old.control_socket == *control_socket,
        ),
    ]);
    let mut renewed = Service {
        data_dir: old.data_dir.clone(),
        control_socket: old.control_socket.clone(),
        trigger_socket: old.trigger_socket.clone(),
        journal: old.journal.clone(),
        listeners: listeners.clone(),
        ..new
    };
    for spec in &mut renewed.listeners {
        let before = old.listeners.iter();
        let before = before
            .filter(|old| old.name == spec.name && old.address == spec.address)
            .find(|old| old.options != spec.options);
        if let Some(before) = before {
            spec.options = before.options.clone();
            said.push(Change {
                when: Restart,
                what: format!("the options of the listener `{}`", spec.name),
            });
        }
    }
    (renewed, said)
}

/// The supervisor's settings as they are in force from now on, and what is different from `old`.
pub(super) fn renewed_settings(
    old: &SupervisorSettings,
    new: SupervisorSettings,
) -> (SupervisorSettings, Vec<Change>) {
    use When::{AtOnce, Restart};
    let SupervisorSettings {
        state_dir,
        socket,
        allowed_uids,
        log_format,
        metrics,
        recordings,
        handoffs_at_once,
    } = new;
    let said = changes(&[
        (AtOnce, "allowed_uids", old.allowed_uids == allowed_uids),
        (Restart, "state_dir", old.state_dir == state_dir),
        (Restart, "socket", old.socket == socket),
        (Restart, "log_format", old.log_format == log_format),
        (Restart, "metrics", old.metrics == metrics),
        (Restart, "recordings", old.recordings == recordings),
        (
            Restart,
            "handoffs_at_once",
            old.handoffs_at_once == handoffs_at_once,
        ),
    ]);
    let renewed = SupervisorSettings {
        allowed_uids,
        ..old.clone()
    };
    (renewed, said)
}

/// Something that `new` needs for itself, and a service that runs or the supervisor has, in words.
/// `settings` are those in force: what the file says now may not be.
pub(super) fn conflict<'a>(
    new: &Service,
    settings: &SupervisorSettings,
    mut running: impl Iterator<Item = &'a Service>,
) -> Option<String> {
    let files = |service: &Service| {
        let Service {
            control_socket,
            trigger_socket,
            journal,
            listeners,
            ..
        } = service;
        let data_dir = service.data_dir.clone();
        let listeners = listeners.iter().filter_map(|spec| match &spec.address {
            ListenAddress::Unix(path) => Some(path.clone()),
            ListenAddress::Tcp(_) => None,
        });
        let own = [Some(control_socket.clone()), Some(journal.clone())];
        own.into_iter()
            .chain([trigger_socket.clone(), data_dir])
            .flatten()
            .chain(listeners)
            .collect::<Vec<_>>()
    };
    let wanted = files(new);
    let socket = settings.socket.as_ref();
    if let Some(path) = socket.filter(|path| wanted.contains(path)) {
        return Some(format!(
            "{} is the supervisor's own socket still",
            path.display()
        ));
    }
    running.find_map(|other| {
        let theirs = files(other);
        let path = wanted.iter().find(|path| theirs.contains(path))?;
        Some(format!(
            "{} belongs to the service `{}` still",
            path.display(),
            other.name
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::config::{Config, ThisMachine};

    const FILE: &str = "[supervisor]\nstate_dir = \"state\"\n[service.a]\nbinary = \"/bin/sh\"\n\
                        data_dir = \"d\"\ncontrol_socket = \"c\"\n";

    fn service(more: &str) -> Service {
        let dir = std::env::temp_dir();
        let text = format!("{FILE}{more}");
        let mut config = Config::read(&text, Path::new(&dir), &ThisMachine).unwrap();
        config.services.remove(0)
    }

    fn settings() -> SupervisorSettings {
        let dir = std::env::temp_dir();
        Config::read(FILE, Path::new(&dir), &ThisMachine)
            .unwrap()
            .supervisor
    }

    #[test]
    fn what_is_the_same_is_not_said() {
        let (_, said) = renewed(&service(""), service(""));
        assert_eq!(said, []);
    }

    #[test]
    fn every_key_has_its_moment() {
        let new = service(
            "args = [\"-c\", \":\"]\nclear_env = true\nprobation = \"5s\"\ndeadline = \"1s\"\n\
             drain_grace = \"1s\"\nallowed_uids = [7]\ntrigger_socket = \"t\"\njournal = \"j\"\n\
             [service.a.restart]\npolicy = \"never\"\n",
        );
        let new = Service {
            control_socket: "/elsewhere".into(),
            ..new
        };
        let (renewed, said) = renewed(&service(""), new);
        let said: Vec<_> = said
            .iter()
            .map(|change| (change.when, &*change.what))
            .collect();
        assert_eq!(
            said,
            [
                (When::AtOnce, "restart, allowed_uids"),
                (When::NextHandoff, "drain_grace, deadline, probation"),
                (When::NextDaemon, "args, clear_env"),
                (When::Restart, "trigger_socket, journal"),
                (When::NewService, "control_socket"),
            ]
        );
        assert_eq!(renewed.probation, Duration::from_secs(5));
        assert_eq!(renewed.control_socket, service("").control_socket);
        assert_eq!(renewed.trigger_socket, None);
    }

    #[test]
    fn a_bound_listener_keeps_its_options() {
        let listener = |more: &str| {
            service(&format!(
                "[[service.a.listeners]]\nname = \"x\"\naddress = \"127.0.0.1:1\"\n{more}"
            ))
        };
        let (renewed, said) = renewed(&listener(""), listener("backlog = 5"));
        assert_eq!(renewed.listeners, listener("").listeners);
        assert_eq!(said[0].when, When::Restart);
        let words = said[0].to_string();
        assert!(
            words.starts_with("the options of the listener `x`: cannot change"),
            "{words}"
        );
    }

    #[test]
    fn what_a_running_service_has_cannot_be_given_to_another() {
        let (mut old, new) = (
            service("trigger_socket = \"t\""),
            service("journal = \"t\""),
        );
        old.data_dir = Some("/elsewhere".into());
        old.control_socket = "/elsewhere.c".into();
        let settings = settings();
        let words = conflict(&new, &settings, [&old].into_iter()).unwrap();
        assert!(words.contains("/t belongs to the service `a`"), "{words}");
        assert_eq!(conflict(&new, &settings, std::iter::empty()), None);
        let listens = service("[[service.a.listeners]]\nname = \"x\"\naddress = \"unix:/t\"\n");
        old.trigger_socket = Some("/t".into());
        old.journal = "/elsewhere.j".into();
        let words = conflict(&listens, &settings, [&old].into_iter()).unwrap();
        assert!(words.contains("/t belongs to the service `a`"), "{words}");
    }

    // The file names another one by now, which is not in force.
    #[test]
    fn the_supervisors_socket_cannot_be_given_to_a_service() {
        let settings = SupervisorSettings {
            socket: Some("/s".into()),
            ..settings()
        };
        let new = Service {
            trigger_socket: Some("/s".into()),
            ..service("")
        };
        let words = conflict(&new, &settings, std::iter::empty()).unwrap();
        assert!(
            words.contains("/s is the supervisor's own socket"),
            "{words}"
        );
    }
}
