//! The words of the incumbent's table: its phases, what can happen in them, what is done.

use crate::table::labels;

labels! {
    /// What the incumbent is at.
    pub enum Phase {
        /// The daemon serves; the lock is ours.
        Serving,
        /// A handoff has begun, and the committed hook of the one before it still runs.
        Waiting,
        /// The drain hook runs.
        Draining,
        /// The drain hook runs, but is no longer wanted.
        Undraining,
        /// Drained; the supervisor has the word.
        Drained,
        /// The seal hook runs.
        Sealing,
        /// The seal hook runs, but is no longer wanted.
        Unsealing,
        /// The lock is being released.
        Releasing,
        /// The lock is being released, though nobody wants that any more.
        Unreleasing,
        /// Sealed, the lock released; the supervisor has the word.
        Sealed,
        /// The announced deadline has passed: has anybody taken the lock?
        Checking,
        /// A try for the lock is under way.
        Reclaiming,
        /// The lock is another's: whose is the control path?
        Watching,
        /// A short pause before the next try for the lock.
        Pausing,
        /// The lock is ours again: whose is the control path?
        Returning,
        /// The control path is being bound again.
        Rebinding,
        /// The resume hook runs.
        Resuming,
        /// The resume hook failed; a pause before it is tried again.
        Stumbling,
        /// Another process took over by Commit.
        Retired,
        /// Another process took over without a word.
        Superseded,
        /// The daemon can neither serve nor be handed over.
        Failed,
    }
}

labels! {
    /// What can happen to the incumbent.
    pub enum Cue {
        /// PrepareHandoff from a session that may own the handoff.
        Prepare,
        /// The same, while the committed hook runs.
        PrepareEarly,
        /// The committed hook has ended.
        ConfirmDone,
        /// The committed hook takes too long.
        ConfirmLate,
        /// SealRequest from the owner.
        SealRequest,
        /// Commit from the owner.
        Commit,
        /// Abort from the owner.
        Abort,
        /// ResumeAfterAbort from the owner.
        Resume,
        /// The owner's session is gone.
        OwnerLost,
        /// The owner has been silent for too long.
        OwnerSilent,
        /// The owner's announced deadline has passed, slack included, and it is not silent.
        DeadlinePassed,
        /// The probation has ended with Abort.
        Dismissed,
        /// The drain hook is done.
        DrainDone,
        /// The drain hook failed.
        DrainFailed,
        /// The seal hook is done.
        SealDone,
        /// The seal hook is done, but its report does not fit into a message.
        SealTooLarge,
        /// The seal hook failed.
        SealFailed,
        /// The lock is released.
        ReleaseDone,
        /// The lock could not be released.
        ReleaseFailed,
        /// The lock was free and is ours.
        LockFree,
        /// The lock is another's, or cannot be taken.
        LockHeld,
        /// The control path leads to us.
        PathOurs,
        /// The control path leads to another process.
        PathTheirs,
        /// The same while we try for the lock, but the supervisor may still be about to kill it, or
        /// it may be dying.
        PathUnsure,
        /// The control path leads nowhere.
        PathUnbound,
        /// The control path is bound.
        BindDone,
        /// The control path could not be bound.
        BindFailed,
        /// The daemon serves again.
        ResumeDone,
        /// The resume hook failed.
        ResumeFailed,
        /// The resume hook failed for the last time.
        ResumeSpent,
        /// An operation took too long, or its ticket was lost.
        HookLate,
        /// The pause is over.
        RetryDue,
        /// It is time to bind the control path again.
        RebindDue,
    }
}

labels! {
    /// What the incumbent does.
    pub enum Act {
        /// The session owns the handoff from here on.
        TakeOwner,
        /// The handoff is no longer the session's.
        Disown,
        /// Send heartbeats from here on.
        ArmBeat,
        /// Run the drain hook.
        StartDrain,
        /// Ask the hook to stop early.
        CancelHook,
        /// Run the seal hook.
        StartSeal,
        /// Release the lock.
        StartRelease,
        /// Try for the lock.
        StartLock,
        /// Look at the control path.
        StartInspect,
        /// Bind the control path.
        StartBind,
        /// Run the resume hook.
        StartResume,
        /// Send Drained.
        TellDrained,
        /// Write SealComplete, but keep it back.
        StageSeal,
        /// Send the SealComplete that was kept back.
        ReleaseSeal,
        /// Forget the SealComplete that was kept back.
        Unstage,
        /// Send SealFailed.
        TellSealFailed,
        /// Send Abort to the owner.
        AbortOwner,
        /// Wait this long for an operation that is no longer wanted.
        ArmPatience,
        /// Look for the lock again after a while.
        ArmCheck,
        /// Wait before the next try.
        ArmRetry,
        /// End: committed.
        Leave,
        /// End: another process took over.
        LeaveSuperseded,
        /// End: leave the process, which frees the lock.
        FailStop,
    }
}

labels! {
    /// What the incumbent waits for.
    pub enum Why {
        /// A connection's HelloAck.
        HelloAck,
        /// The next heartbeat is due.
        Heartbeat,
        /// A sign of life from the supervisor, or its announced deadline.
        Owner,
        /// The daemon's answer to a question.
        Answer,
        /// The end of a process that could still come back.
        Confirm,
        /// An operation's own limit.
        Operation,
        /// A pause between two tries.
        Retry,
        /// The next try to bind the control path.
        Rebind,
    }
}
