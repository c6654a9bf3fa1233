//! `handoff status`, and `handoff kvd check`.

use super::talk::{ask, info};
use super::world::{ANY_PORT, World, run, wait_for};

/// The exit status, stdout and stderr of `handoff status`.
fn status(world: &World, more: &[&str]) -> (Option<i32>, String, String) {
    let control = world.path("c");
    let mut args = vec!["status", "--control-socket", control.to_str().unwrap()];
    args.extend(more);
    let output = run(&args);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn json(world: &World) -> (Option<i32>, serde_json::Value) {
    let (code, text, errors) = status(world, &["--json"]);
    (
        code,
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{errors}")),
    )
}

#[test]
fn a_daemon_says_how_it_is_whatever_it_is_at() {
    let world = World::new();
    let (code, text, errors) = status(&world, &[]);
    assert_eq!((code, &*text), (Some(1), ""));
    assert!(errors.contains("no daemon answers on"), "{errors}");
    assert_eq!(status(&world, &["--yaml"]).0, Some(2));

    let a = world.binary("a", "--drain-delay-ms 600000");
    let supervisor = world.supervise(&a, &ANY_PORT, &[]);
    let port = supervisor.port();
    let daemon = info(port);
    ask(port, &["SET", "k", "v"]).unwrap();
    let (code, found) = json(&world);
    assert_eq!(code, Some(0));
    assert_eq!(found["pid"], daemon.pid);
    assert_eq!(found["generation"], daemon.generation);
    assert_eq!(found["phase"], "serving");
    assert_eq!(found["revisions"], serde_json::json!([1]));
    assert!(found["uptime_ms"].is_u64() && found["open_connections"].is_u64());
    assert_eq!(found["build_id"], "a");
    let (code, text, _) = status(&world, &[]);
    assert_eq!(code, Some(0));
    assert!(text.contains("phase:            serving\n"), "{text}");

    // While a drain goes on that would take ten minutes.
    let _client = world.order("handoff");
    supervisor.wait_log("phase=Draining");
    wait_for("the drain", || {
        (json(&world).1["phase"] == "draining").then_some(())
    });
    let (code, text, _) = status(&world, &[]);
    assert_eq!(code, Some(3));
    let pid = format!("pid:              {}\n", daemon.pid);
    assert!(text.starts_with(&pid), "{text}");
}

#[test]
fn a_check_tells_by_its_exit_status() {
    let world = World::new();
    let supervisor = world.supervise(&world.binary("a", "--sick-after-ms 0"), &ANY_PORT, &[]);
    let port = supervisor.port();
    info(port);
    let address = format!("127.0.0.1:{port}");
    let output = run(&["kvd", "check", &address]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("not well"));
    let output = run(&["kvd", "check", "--tag", "a", &address]);
    assert_eq!(output.status.code(), Some(2));
    drop(supervisor);
}
