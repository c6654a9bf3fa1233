//! Reads a listener.

use handoff_std::host::listen::check_name;
use handoff_std::host::{ListenAddress, ListenOptions, ListenSpec};
use toml::de::DeValue;

use super::report::{At, Mark, Report};
use super::section::Section;
use super::value::{Value, found};

const ADDRESS: &str =
    "IP:PORT or unix:PATH, such as \"127.0.0.1:8080\", \"[::1]:8080\" or \"unix:/run/web.sock\"";

/// The mode of a file: `"0660"`, or an octal number.
struct Mode(u32);

impl Value for Mode {
    const EXPECTED: &'static str = "a mode in octal, such as \"0660\" or 0o660";

    fn read(at: &At<DeValue<'_>>, report: &mut Report<'_>) -> Option<Self> {
        let digits = match &at.value {
            DeValue::String(text) => text.as_ref(),
            DeValue::Integer(number) if number.radix() == 8 => number.as_str(),
            _ => "",
        };
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if mode <= 0o777 => Some(Self(mode)),
            _ => {
                report.wrong(&at.mark, found(&at.value), Self::EXPECTED);
                None
            }
        }
    }
}

/// Reads a listener of `who`; its address is at this key. The mark is that of its name.
pub(super) fn read(
    mut section: Section<'_>,
    address_key: &str,
    who: &str,
    report: &mut Report<'_>,
) -> Option<(ListenSpec, Mark)> {
    let name: Option<At<String>> = section.required("name", report);
    if let Some(at) = &name
        && check_name(&at.value).is_err()
    {
        let expected = "1 to 255 printable ASCII characters, without colon, equals sign and space";
        report.wrong(&at.mark, found(&at.value), expected);
    }
    let address: Option<At<String>> = section.required(address_key, report);
    let address = address.and_then(|at| read_address(&at, report));
    let default = ListenOptions::default();
    let backlog: Option<At<u32>> = section.value("backlog", report);
    if let Some(at) = backlog.as_ref().filter(|at| at.value == 0) {
        report.wrong(&at.mark, "no queue at all", "at least 1");
    }
    let reuse_port: Option<At<bool>> = section.value("reuse_port", report);
    let ipv6_only: Option<At<bool>> = section.value("ipv6_only", report);
    let mode: Option<At<Mode>> = section.value("mode", report);
    section.end("", report);

    let address = address?;
    let misplaced = match address.value {
        ListenAddress::Unix(_) => [reuse_port.as_ref(), ipv6_only.as_ref()].map(|at| {
            at.map(|at| {
                (
                    &at.mark,
                    "a Unix socket",
                    "an option that a Unix socket has",
                )
            })
        }),
        ListenAddress::Tcp(tcp) => [
            mode.as_ref().map(|at| {
                (
                    &at.mark,
                    "a TCP port",
                    "no mode: only a Unix socket has one",
                )
            }),
            ipv6_only.as_ref().filter(|_| tcp.is_ipv4()).map(|at| {
                (
                    &at.mark,
                    "an IPv4 address",
                    "an IPv6 one, such as [::]:8080",
                )
            }),
        ],
    };
    for (mark, what, expected) in misplaced.into_iter().flatten() {
        report.wrong(mark, format!("an option for {what}"), expected);
    }
    let name = name?;
    let spec = ListenSpec {
        name: name.value,
        address: address.value,
        options: ListenOptions {
            backlog: backlog.map_or(default.backlog, |at| at.value),
            reuse_port: reuse_port.is_some_and(|at| at.value),
            ipv6_only: ipv6_only.map(|at| at.value),
            mode: mode.map(|at| at.value.0),
        },
    };
    let claimed = format!("the listener `{}` of {who}", spec.name);
    report.claim_listener(&spec, &claimed, &address.mark);
    Some((spec, name.mark))
}

fn read_address(at: &At<String>, report: &mut Report<'_>) -> Option<At<ListenAddress>> {
    let text = match at.value.strip_prefix("unix:") {
        Some(path) if !path.is_empty() => {
            format!("unix:{}", report.resolve(path).display())
        }
        _ => at.value.clone(),
    };
    match ListenAddress::parse(&text) {
        Ok(value) => Some(At {
            value,
            mark: at.mark.clone(),
        }),
        Err(why) => {
            report.wrong(&at.mark, format!("{} ({why})", found(&at.value)), ADDRESS);
            None
        }
    }
}
