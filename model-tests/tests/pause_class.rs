//! `pause-bench` runs its rounds in the real-time class where the system lets it, and says whether it did. The
//! system is a `chrt` of the test's own, which notes what it was to start, so none of this takes root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Plays a round with the commands of this directory alone, so without `strace`. Whether the report says that
/// it was in the real-time class, and what was printed.
fn bench(commands: &Path, flags: &[&str]) -> (bool, String) {
    let dir = tempfile::tempdir().expect("a directory");
    let report = dir.path().join("report.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pause-bench"));
    command.args(["--rounds", "1", "--brief", "--only", "std"]);
    command.arg("--dir").arg(dir.path());
    command.arg("--report").arg(&report).args(flags);
    let output = command.env("PATH", commands).output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
    let report = fs::read(&report).expect("a report");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
    assert!(report["machine"]["processors"].is_u64(), "{report:#}");
    assert!(
        report["std"]["own_share_ms"]["median"].is_f64(),
        "{report:#}"
    );
    let real_time = report["machine"]["real_time"].as_bool();
    let printed = String::from_utf8(output.stdout).expect("text");
    (real_time.expect("it is said"), printed)
}

#[test]
fn rounds_run_in_the_real_time_class_where_the_system_lets_them() {
    let commands = tempfile::tempdir().expect("a directory");
    let (chrt, noted) = (commands.path().join("chrt"), commands.path().join("noted"));
    let note = |end: &str| {
        let note = format!(
            "#!/bin/sh\necho \"$1 $2 $3 $4\" >>'{}'\n{end}\n",
            noted.display()
        );
        fs::write(&chrt, note).expect("a script");
        fs::set_permissions(&chrt, fs::Permissions::from_mode(0o755)).expect("it is a command");
    };
    let round = format!("-f 10 {} round", env!("CARGO_BIN_EXE_pause-bench"));
    let taken = || fs::read_to_string(&noted).unwrap_or_default();

    let (real_time, printed) = bench(commands.path(), &[]);
    assert!(!real_time && printed.contains("chrt -f 10 cannot be used here"));

    // The system forbids it.
    note("exit 1");
    let (real_time, printed) = bench(commands.path(), &[]);
    assert!(!real_time && printed.contains("chrt -f 10 cannot be used here"));
    assert_eq!(taken().trim_end(), "-f 10 true");

    note("[ \"$3\" = true ] && exit\nshift 2\nexec \"$@\"");
    fs::remove_file(&noted).expect("it was there");
    let (real_time, printed) = bench(commands.path(), &["--plain"]);
    assert!(!real_time && printed.contains("like any other process"));
    assert!(!printed.contains("chrt -f 10 cannot be used"), "{printed}");
    assert_eq!(taken(), "");

    let (real_time, printed) = bench(commands.path(), &[]);
    assert!(real_time && printed.contains("in the real-time class"));
    let taken = taken();
    let lines: Vec<_> = taken.lines().map(str::trim_end).collect();
    assert_eq!(lines, ["-f 10 true", round.as_str()]);
}
