//! Two complete ports, each a loop of its own around the machines of `handoff-core`, in under 200 lines of code:
//! [`poll`] waits with poll(2) and has a thread for each work; [`smol`] is on the reactor of the smol ecosystem and
//! its pool.
//!
//! They do what `core/PORTING.md` says, and are made to be copied. What an operation *does* they have from
//! [`handoff_std::host`], as everybody may; they share no loop, nor anything of `handoff_std`'s engine but its
//! memory for links. The conformance kit plays both, and `examples/poll.rs` is a daemon on the first.

pub mod poll;
pub mod smol;

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Lines that are neither blank nor a comment.
    fn lines_of_code(file: &str) -> usize {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/ports")
            .join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let code = text.lines().map(str::trim);
        code.filter(|line| !line.is_empty() && !line.starts_with("//"))
            .count()
    }

    #[test]
    fn a_port_has_less_than_200_lines_of_code() {
        for file in ["poll.rs", "smol.rs"] {
            let lines = lines_of_code(file);
            assert!(lines < 200, "{file} has {lines}");
        }
    }
}
