//! What a living daemon keeps of the listeners that an earlier supervisor gave it, beside what the
//! configuration asks for.

use std::path::Path;

use handoff_std::ask::{self, AskError};
use handoff_std::host::listen::ListenAddress;
use handoff_std::host::{ListenSpec, NamedListener};

use super::is_listened_on;

/// A daemon's answer.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// What it gives back.
    pub(super) listeners: Vec<NamedListener>,
    /// Why that is not all, or nothing.
    pub(super) refused: Option<String>,
}

/// Asks whoever answers on the control path for what is kept there. Nothing is kept if nobody is
/// there. May take some seconds if somebody is and does not answer.
pub(super) fn ask(control_path: &Path) -> Kept {
    // The question would wait for somebody to come.
    if !is_listened_on(control_path) {
        return Kept::default();
    }
    match ask::listeners(control_path) {
        Ok(listeners) => Kept {
            listeners,
            refused: None,
        },
        Err(error) => Kept {
            refused: Some(error.to_string()),
            listeners: match error {
                AskError::Unusable { listeners, .. } => listeners,
                _ => Vec::new(),
            },
        },
    }
}

/// Takes the listener that `spec` asks for.
pub(super) fn take(spec: &ListenSpec, kept: &mut Vec<NamedListener>) -> Option<NamedListener> {
    let at = kept.iter().position(|kept| spec.matches(kept))?;
    let listener = kept.swap_remove(at);
    tracing::info!(
        name = listener.name,
        address = listener.address,
        "listening (given back by the daemon)"
    );
    Some(listener)
}

/// In which ways what the daemon keeps is not what `specs` asks for, in words for the log.
pub(super) fn differences(specs: &[ListenSpec], kept: &[NamedListener]) -> Vec<String> {
    kept.iter()
        .filter(|kept| !specs.iter().any(|spec| spec.matches(kept)))
        .map(|NamedListener { name, address, .. }| {
            let same_name = specs.iter().find(|spec| spec.name == *name);
            let same_address = specs.iter().find(|spec| written(spec) == *address);
            match (same_name, same_address) {
                (Some(spec), _) => format!(
                    "the daemon listens on {address} as `{name}`, asked for is {wanted}: \
                     {wanted} reaches it with the next handoff, and {address} is closed then",
                    wanted = written(spec)
                ),
                (None, Some(spec)) => format!(
                    "the daemon listens on {address} as `{name}`, which is asked for as \
                     `{other}`: give it the name `{name}`, or restart the daemon",
                    other = spec.name
                ),
                (None, None) => format!(
                    "the daemon listens on {address} as `{name}`, and nothing asks for that: \
                     it is closed with the next handoff"
                ),
            }
        })
        .collect()
}

/// The address as a bound listener's is written.
pub(super) fn written(spec: &ListenSpec) -> String {
    match &spec.address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> ListenSpec {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_asked_for_is_taken_and_what_differs_is_said() {
        let mut kept: Vec<_> = ["a", "b", "c", "d"]
            .map(|name| spec(&format!("{name}=127.0.0.1:0")).bind().unwrap())
            .into();
        let address = |at: usize| kept[at].address.clone();
        let (a, b, c, d) = (address(0), address(1), address(2), address(3));
        let specs = [
            spec(&format!("a={a}")),
            spec("b=127.0.0.2:1"),
            spec(&format!("sea={c}")),
            spec("new=127.0.0.2:2"),
        ];
        let said = differences(&specs, &kept);
        let [changed, renamed, dropped] = &said[..] else {
            panic!("{said:?}");
        };
        for (text, parts) in [
            (changed, [&*b, "`b`", "127.0.0.2:1"]),
            (renamed, [&*c, "`c`", "`sea`"]),
            (dropped, [&*d, "`d`", "nothing asks"]),
        ] {
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
        assert_eq!(take(&specs[0], &mut kept).unwrap().address, a);
        assert!(specs.iter().all(|spec| take(spec, &mut kept).is_none()));
        assert_eq!(kept.len(), 3);
    }
}
