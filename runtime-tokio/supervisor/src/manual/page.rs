//! One manual page. What `--help` says behind the options has headings and columns, which would be run
//! together if it were filled like other text; so it becomes sections, and lines stay lines.

use std::io::{self, Write};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

/// The page of a command, under its file's name.
pub(super) fn page(command: Command) -> io::Result<(String, Vec<u8>)> {
    let notes = command.get_after_long_help().map(ToString::to_string);
    let has_commands = command.get_subcommands().any(|one| !one.is_hide_set());
    let man = Man::new(command);
    let file = man.get_filename();
    let name = file.strip_suffix(".1").unwrap_or(&file);
    let mut page = Vec::new();
    // Without a date, and clap_mangen would let the other fields take its place.
    let version = env!("CARGO_PKG_VERSION");
    writeln!(
        page,
        r#".TH {name} 1 "" "handoff {version}" "The handoff commands""#
    )?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(notes) = notes {
        page.write_all(sections(&notes).as_bytes())?;
    }
    Ok((file, page))
}

/// Paragraphs with an empty line between them. Those that begin with a heading are sections.
fn sections(notes: &str) -> String {
    let mut roff = Roff::new();
    let mut notes_begun = false;
    for paragraph in notes.split("\n\n") {
        let heading = paragraph.split_once(":\n");
        let heading = heading.filter(|(heading, _)| !heading.contains('\n'));
        let Some((heading, body)) = heading else {
            if !std::mem::replace(&mut notes_begun, true) {
                roff.control("SH", ["NOTES"]);
            }
            roff.control("PP", []);
            roff.text([roman(paragraph)]);
            continue;
        };
        roff.control("SH", [heading]);
        roff.control("nf", []);
        for line in body.lines() {
            roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
        }
        roff.control("fi", []);
    }
    roff.to_roff()
}
