//! What every supervisor does, whatever its loop: the works that its operations are, the report of
//! what was seen, the watch over a probation.

mod health;
mod probation;
mod report;
mod rollback;
mod transcript;
mod vigil;
mod works;

use std::io;
use std::time::Duration;

use handoff_core::wire::HandoffId;
use handoff_core::{SupervisorConfig, Task};

pub use health::HealthCheck;
pub use probation::WatchThread;
pub use report::{HandoffSpec, Report, SupervisorEvent};
pub use rollback::RollbackHandle;
pub use transcript::Transcript;
pub use vigil::Vigil;
pub use works::{BeforeClear, Household, Works};

use super::process::DEATH;
use super::{ControlError, Process, SpawnError};

/// Why a supervisor could not even begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SupervisorError {
    /// The control path cannot be used.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The successor's binary cannot be run. Nothing was touched.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The health check of a probation cannot be run. Nothing was touched.
    #[error("the health check: {0}")]
    HealthCheck(SpawnError),
    /// A handoff or a recovery is under way, on a loop that does not wait for it.
    #[error("a handoff or a recovery is under way; wait for its report")]
    Busy,
    /// The control loop could not be set up.
    #[error("the control loop cannot be set up: {0}")]
    Setup(#[from] io::Error),
}

impl HandoffSpec {
    /// What the machine of such a handoff is set up with. Looks whether the programs can be run.
    ///
    /// # Errors
    /// [`SupervisorError`]. Nothing was touched.
    pub fn configure(
        &self,
        times: &SupervisorConfig,
        retired: Option<Process>,
    ) -> Result<SupervisorConfig, SupervisorError> {
        self.successor.check()?;
        let health = self.health.as_ref().filter(|_| !self.probation.is_zero());
        if let Some(health) = health {
            health.check().map_err(SupervisorError::HealthCheck)?;
        }
        // A run that is under way when the probation ends has all of its time.
        let last_run = health.map_or(Duration::ZERO, |health| {
            health.timeout.saturating_add(DEATH)
        });
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        Ok(SupervisorConfig {
            task: Task::Handoff(HandoffId::from_random(random)),
            deadline: self.deadline,
            drain_grace: self.drain_grace,
            warmup: self.warmup_deadline,
            probation: self.probation,
            kill_stuck_incumbent: self.kill_stuck_incumbent,
            host_limit: times.host_limit.max(last_run),
            // Once it is dead its pid may become anybody's.
            retired: retired
                .filter(|process| process.is_alive())
                .map(|process| process.pid),
            ..times.clone()
        })
    }
}
