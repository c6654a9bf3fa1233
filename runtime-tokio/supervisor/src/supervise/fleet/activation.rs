//! Listeners that systemd hands over (`LISTEN_FDS`, `LISTEN_FDNAMES`), and whose they are.
//!
//! One that is called `SERVICE.NAME` is the listener `NAME` of that service; one that is called `NAME`
//! is that of the only service that has one of this name. It must listen where the configuration says,
//! or the supervisor that is started next would not know it again. One that is nobody's is closed, and
//! that is said: nobody would accept what comes in there.

use handoff_std::host::listen::address_of;
use handoff_std::host::{InheritedListeners, ListenSpec, NamedListener};

use crate::config::Service;
use crate::supervise::kept::written;

/// For each of `services` what it inherits, under the names of its own listeners.
pub(super) fn share_out(
    mut inherited: InheritedListeners,
    services: &[Service],
) -> Vec<Vec<NamedListener>> {
    let mut shares: Vec<Vec<NamedListener>> = services.iter().map(|_| Vec::new()).collect();
    let mut names: Vec<_> = inherited.names().map(String::from).collect();
    names.sort();
    names.dedup();
    for name in names {
        for fd in std::iter::from_fn(|| {
            let tcp = inherited.take_tcp(&name).ok().flatten().map(Into::into);
            tcp.or_else(|| inherited.take_unix(&name).ok().flatten().map(Into::into))
        }) {
            let found = address_of(&fd).map_err(|error| error.to_string());
            let whose = found.and_then(|address| {
                let (at, spec) = whose(&name, services)?;
                let name = spec.name.clone();
                let listener = NamedListener { name, fd, address };
                if !spec.matches(&listener) {
                    let (address, wanted) = (listener.address, written(spec));
                    return Err(format!(
                        "it listens on {address}, and the configuration says {wanted}: make them the same"
                    ));
                }
                Ok((at, listener))
            });
            let share = whose.and_then(|(at, listener)| {
                let share = shares.get_mut(at).ok_or("no such service")?;
                if share.iter().any(|other| other.name == listener.name) {
                    return Err("another one was inherited for the same listener".into());
                }
                share.push(listener);
                Ok(())
            });
            if let Err(why) = share {
                tracing::warn!(name, why, "an inherited listener is not taken; closed");
            }
        }
    }
    for name in inherited.names() {
        let why = "it is no listening stream socket";
        tracing::warn!(name, why, "an inherited listener is not taken; closed");
    }
    shares
}

/// The service and its listener that this name means. Otherwise why there is none.
fn whose<'a>(name: &str, services: &'a [Service]) -> Result<(usize, &'a ListenSpec), String> {
    let all = || {
        let services = services.iter().enumerate();
        services.flat_map(|(at, service)| {
            let listeners = service.listeners.iter();
            listeners.map(move |spec| (at, service, spec))
        })
    };
    let qualified = all().find(|(_, service, spec)| {
        let rest = name.strip_prefix(service.name.as_str());
        rest.and_then(|rest| rest.strip_prefix('.')) == Some(&spec.name)
    });
    let plain: Vec<_> = all().filter(|(.., spec)| spec.name == name).collect();
    match (qualified, &plain[..]) {
        (Some((at, _, spec)), _) | (None, &[(at, _, spec)]) => Ok((at, spec)),
        (None, []) => Err("no listener of the configuration has this name".into()),
        (None, several) => {
            let names: Vec<_> = several
                .iter()
                .map(|(_, service, _)| format!("{}.{name}", service.name))
                .collect();
            Err(format!(
                "several services have a listener of this name: call it {}",
                names.join(" or ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;
    use crate::config::{Config, ThisMachine};

    fn services(text: &str) -> Vec<Service> {
        let dir = tempfile::tempdir().unwrap();
        let mut file = format!("[supervisor]\nstate_dir = \"{}\"\n", dir.path().display());
        for (at, service) in text.split_whitespace().enumerate() {
            let (service, names) = service.split_once(':').unwrap();
            let _ = write!(
                file,
                "[service.{service}]\nbinary = \"/bin/sh\"\ndata_dir = \"{service}.d\"\n\
                 control_socket = \"{service}.c\"\n"
            );
            for (port, name) in names.split(',').enumerate() {
                let _ = write!(
                    file,
                    "[[service.{service}.listeners]]\nname = \"{name}\"\naddress = \"127.0.0.1:{}\"\n",
                    10_000 + 100 * at + port
                );
            }
        }
        Config::read(&file, Path::new("/etc"), &ThisMachine)
            .unwrap()
            .services
    }

    #[test]
    fn a_name_is_a_listeners_own_or_that_of_the_only_one() {
        let services = services("a:http,admin b:http,b.admin a_b:x");
        let name = |name: &str| {
            whose(name, &services)
                .map(|(at, spec)| (services[at].name.as_str(), spec.name.as_str()))
        };
        assert_eq!(name("a.http"), Ok(("a", "http")));
        assert_eq!(name("b.http"), Ok(("b", "http")));
        assert_eq!(name("admin"), Ok(("a", "admin")));
        assert_eq!(name("b.admin"), Ok(("b", "b.admin")));
        assert_eq!(name("x"), Ok(("a_b", "x")));
        let several = name("http").unwrap_err();
        assert!(several.contains("a.http or b.http"), "{several}");
        for nobody in ["nothing", "a.x", "a.", ".http", "a_b.http"] {
            assert!(
                name(nobody).unwrap_err().contains("no listener"),
                "{nobody}"
            );
        }
    }
}
