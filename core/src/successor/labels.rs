//! The words of the successor's table: its phases, what can happen in them, what is done.

use crate::table::labels;

labels! {
    /// What the successor is at.
    pub enum Phase {
        /// Not started.
        Fresh,
        /// The control socket is being bound under a temporary name.
        Staging,
        /// The same, and the session is lost.
        StagingAlone,
        /// Hello is sent.
        Greeting,
        /// HelloAck is here; the daemon warms up.
        Warming,
        /// Warm; waiting for Begin.
        Standing,
        /// A try for the lock is under way.
        Locking,
        /// A short pause before the next try.
        LockPause,
        /// The lock is ours; the data is being opened.
        Opening,
        /// Ready is being written.
        Announcing,
        /// The control socket is being renamed into place.
        Publishing,
        /// The daemon serves, and the incumbent before it could still come back.
        Probation,
        /// The last word to the supervisor is being written.
        Parting,
        /// The daemon is the incumbent, for good.
        Serving,
        /// The process is to leave.
        Failed,
    }
}

labels! {
    /// What can happen to the successor.
    pub enum Cue {
        /// The machine starts.
        Start,
        /// The control socket is bound under its temporary name.
        StageDone,
        /// The control socket cannot be bound.
        StageFailed,
        /// HelloAck.
        Acknowledged,
        /// HelloAck did not come in time.
        HelloLate,
        /// The daemon is warm.
        WarmUpDone,
        /// The daemon cannot get ready.
        WarmUpFailed,
        /// Warming up took too long, or its ticket was lost.
        WarmUpLate,
        /// Begin.
        Begin,
        /// Begin did not come in time.
        BeginLate,
        /// Commit.
        Commit,
        /// Abort.
        Abort,
        /// The session is gone.
        Lost,
        /// The lock was free and is ours.
        LockFree,
        /// The lock is another's.
        LockHeld,
        /// The lock is another's, and the grace is over.
        LockSpent,
        /// The data is open.
        OpenDone,
        /// The data is open, but the daemon is not fit to serve.
        OpenUnhealthy,
        /// The data cannot be opened.
        OpenFailed,
        /// What open reported does not fit into a message.
        OpenTooLarge,
        /// Opening took too long, or its ticket was lost.
        OpenLate,
        /// All that was owed to the supervisor is written.
        Written,
        /// The supervisor does not read.
        WriteLate,
        /// The control socket is in place, or cannot be put there.
        PublishDone,
        /// The same, and there is no Commit to wait for.
        PublishSettled,
        /// The pause is over.
        RetryDue,
    }
}

labels! {
    /// What the successor does.
    pub enum Act {
        /// Bind the control socket under a temporary name.
        StartStage,
        /// Send Hello.
        SendHello,
        /// Wait for HelloAck, for so long.
        ArmHello,
        /// Let the daemon warm up.
        StartWarmUp,
        /// Send Standby, if the link speaks version 2.
        SendStandby,
        /// Wait for Begin, for so long.
        ArmBegin,
        /// Try for the lock.
        StartLock,
        /// From now on the lock is tried for so long.
        ArmGrace,
        /// Pause before the next try.
        ArmRetry,
        /// Open the data.
        StartOpen,
        /// Ask the daemon to stop early.
        CancelHook,
        /// Send Ready.
        SendReady,
        /// Send Abort, with the reason.
        AbortPeer,
        /// Wait for it to be written, for so long.
        ArmWrite,
        /// Rename the control socket into place.
        StartPublish,
        /// Let the daemon serve.
        StartServe,
        /// End: the daemon serves, and its probation is over.
        Settle,
        /// End: leave the process.
        Fail,
    }
}

labels! {
    /// What the successor waits for.
    pub enum Why {
        /// HelloAck.
        HelloAck,
        /// Begin.
        Begin,
        /// The next heartbeat is due.
        Heartbeat,
        /// An operation's own limit.
        Operation,
        /// The pause between two tries for the lock.
        Retry,
        /// The supervisor to read.
        Write,
    }
}
