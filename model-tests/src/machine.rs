//! Where something was measured, for reports.

use std::{fmt, fs};

use serde::Serialize;

/// A machine, and how busy it is.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The kernel.
    pub system: String,
    /// The processor.
    pub processor: String,
    /// How many of it may be used.
    pub processors: usize,
    /// Memory.
    pub memory: String,
    /// The load average of the last minute, when the run began.
    pub load: String,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let uname = rustix::system::uname();
        let line = |file, name| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':'));
            value.map_or_else(|| "unknown".into(), |(_, value)| value.trim().to_owned())
        };
        Self {
            system: format!(
                "{} {}",
                uname.sysname().to_string_lossy(),
                uname.release().to_string_lossy()
            ),
            processor: line("/proc/cpuinfo", "model name"),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory: line("/proc/meminfo", "MemTotal"),
            load: load(),
        }
    }
}

/// The load average of the last minute.
pub fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            system,
            processor,
            processors,
            memory,
            load,
        } = self;
        write!(
            f,
            "{system}, {processors} × {processor}, memory {memory}, load average {load} at the start"
        )
    }
}
