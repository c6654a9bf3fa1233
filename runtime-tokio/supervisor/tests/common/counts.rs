//! What a process has open.

use std::fs;

/// Its open descriptors.
pub(crate) fn descriptors(pid: u32) -> usize {
    entries(pid, "fd")
}

/// Its threads.
pub(crate) fn threads(pid: u32) -> usize {
    entries(pid, "task")
}

/// Its children, dead or alive, as long as they are not reaped.
pub(crate) fn children(pid: u32) -> usize {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .map(|children| children.split_whitespace().count())
        .sum()
}

/// Whether nothing of a handoff is on its way in it any more: the thread of the successor that it was,
/// a session, or a line for the test.
pub(crate) fn is_settled(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut names = tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    let sessions = connected();
    let mut links = links(pid).into_iter();
    !names.any(|name| name.trim() == "handoff-control")
        && !links.any(|link| sessions.contains(&link) || link.ends_with("/events"))
}

/// What the descriptors of a process lead to.
fn links(pid: u32) -> Vec<String> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    fds.flatten()
        .filter_map(|fd| fs::read_link(fd.path()).ok())
        .filter_map(|link| Some(link.to_str()?.to_owned()))
        .collect()
}

/// All connected Unix sockets that were accepted from a path, as descriptors lead to them.
fn connected() -> Vec<String> {
    // Columns: Num RefCount Protocol Flags Type St Inode Path. State 03 is connected.
    let table = fs::read_to_string("/proc/net/unix").unwrap();
    let rows = table.lines().map(|line| line.split_whitespace());
    rows.map(Iterator::collect::<Vec<_>>)
        .filter(|row| row.len() == 8 && row[5] == "03")
        .map(|row| format!("socket:[{}]", row[6]))
        .collect()
}

fn entries(pid: u32, what: &str) -> usize {
    fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count()
}
