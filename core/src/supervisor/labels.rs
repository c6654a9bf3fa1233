//! The words of the supervisor's table: its phases, what can happen in them, what is done.

use crate::table::labels;

labels! {
    /// What the supervisor is at.
    pub enum Phase {
        /// Not started.
        Fresh,
        /// Connecting to the control path.
        Connecting,
        /// A pause before the next try.
        ConnectPause,
        /// Waiting for the incumbent's Hello.
        Meeting,
        /// The successor is being started.
        Spawning,
        /// Waiting for the successor's Hello.
        Welcoming,
        /// The successor warms up.
        Warming,
        /// The journal is being written.
        Journaling,
        /// The incumbent drains.
        Draining,
        /// The incumbent seals.
        Sealing,
        /// The successor takes the lock and opens the data.
        Opening,
        /// The successor serves, and Commit waits a moment.
        Serving,
        /// The successor serves, and is watched.
        Probation,
        /// The incumbent is told of Commit, and is to leave.
        Committing,
        /// The successor is being told of Commit.
        Informing,
        /// The stuck incumbent is being killed.
        KillingIncumbent,
        /// The successor is being killed.
        Killing,
        /// Abort or ResumeAfterAbort is being written.
        Undoing,
        /// Is the incumbent still there?
        Confirming,
        /// A pause before that is asked again.
        ConfirmPause,
        /// The daemon is being started afresh.
        ColdStarting,
        /// After a restart: connecting to the control path.
        Calling,
        /// After a restart: waiting for a Hello.
        Asking,
        /// After a restart: looking who lives.
        Probing,
        /// After a restart: a pause before the next look.
        Settling,
        /// After a restart: the unsettled successor is being killed.
        Evicting,
        /// To ask: connecting to the control path.
        Reaching,
        /// To ask: waiting for the incumbent's Hello.
        Greeting,
        /// To ask: waiting for the answer.
        Answering,
        /// To ask: the descriptors that came are being taken.
        Adopting,
        /// The task has ended.
        Done,
    }
}

labels! {
    /// What can happen to the supervisor.
    pub enum Cue {
        /// The machine starts, to perform a handoff.
        StartHandoff,
        /// The machine starts, to look around.
        StartRecovery,
        /// The machine starts, to ask.
        StartAsk,
        /// Connected.
        ConnectDone,
        /// Not connected.
        ConnectFailed,
        /// Not connected, and the time for it is over.
        ConnectSpent,
        /// The incumbent's Hello.
        IncumbentHello,
        /// A Hello of the process that was retired.
        HelloRetired,
        /// Whoever answers cannot take part: wrong role, no version in common, or it breaks the protocol.
        IncumbentUnfit,
        /// Who answers speaks version 1, which has no answer to the question.
        IncumbentOld,
        /// The incumbent's session is gone, or it is silent.
        IncumbentLost,
        /// The same before its Hello, and the time for connecting is over.
        IncumbentLostSpent,
        /// The incumbent missed a deadline.
        IncumbentLate,
        /// The incumbent missed its drain or seal deadline, and is to be killed for it.
        IncumbentStuck,
        /// Abort from the incumbent.
        IncumbentAbort,
        /// Drained.
        Drained,
        /// SealComplete.
        SealComplete,
        /// SealFailed.
        SealFailed,
        /// The successor is started.
        SpawnDone,
        /// The successor could not be started.
        SpawnFailed,
        /// The same, and the incumbent is lost.
        SpawnAlone,
        /// The successor's Hello.
        SuccessorHello,
        /// The same, and it speaks version 1.
        SuccessorOld,
        /// Standby.
        Standby,
        /// The successor's session is gone, or it is silent.
        SuccessorLost,
        /// A successor of version 1 has closed its session after Ready.
        SuccessorLeft,
        /// The successor missed a deadline.
        SuccessorLate,
        /// Abort from the successor.
        SuccessorAbort,
        /// Ready.
        Ready,
        /// Ready, and Commit is to wait a moment.
        ReadySoon,
        /// That moment is over.
        CommitDue,
        /// Ready, and a probation is due.
        ReadyProbation,
        /// The successor has passed its probation.
        ProbationPassed,
        /// The successor has failed its probation.
        ProbationFailed,
        /// The successor has taken Commit in, or cannot be told.
        Told,
        /// Ready, and the incumbent is lost.
        ReadyAlone,
        /// Ready, but not healthy.
        ReadyUnhealthy,
        /// The journal is written, or cannot be.
        JournalDone,
        /// The same, and the incumbent is lost.
        JournalAlone,
        /// The process is dead.
        KillDone,
        /// The same, and the incumbent is lost.
        KillAlone,
        /// The incumbent is dead, and the successor is lost.
        KillBoth,
        /// The process could not be killed.
        KillFailed,
        /// All that was owed to the incumbent is written.
        Written,
        /// The peer does not read, or does not leave after Commit.
        WriteLate,
        /// The pause is over.
        RetryDue,
        /// The daemon is started afresh.
        ColdDone,
        /// The daemon could not be started.
        ColdFailed,
        /// Who answers is the incumbent.
        Settled,
        /// Not decided yet.
        Unsettled,
        /// Not decided in time, and the journal's successor lives.
        UnsettledLate,
        /// Nobody answers in time, though somebody lives or holds the lock.
        Occupied,
        /// Nobody answers, nobody lives, and the lock is free.
        Vacant,
        /// Listeners.
        Listeners,
        /// Status.
        Status,
        /// The descriptors are taken.
        AdoptDone,
        /// The descriptors could not be taken.
        AdoptFailed,
    }
}

labels! {
    /// What the supervisor does.
    pub enum Act {
        /// Connect to the control path.
        StartConnect,
        /// Wait for the incumbent's Hello, for so long.
        ArmMeet,
        /// Send HelloAck to the incumbent.
        AckIncumbent,
        /// Start the successor.
        StartSpawn,
        /// Wait for the successor's Hello, for so long.
        ArmWelcome,
        /// Send HelloAck to the successor.
        AckSuccessor,
        /// Wait for Standby, for so long.
        ArmWarmUp,
        /// Write the journal: about to drain.
        JournalPrepared,
        /// Write the journal: Begin is sent. Nothing waits for it.
        JournalBegun,
        /// Remove the journal.
        ClearJournal,
        /// Send PrepareHandoff.
        SendPrepare,
        /// Wait for Drained, for so long.
        ArmDrain,
        /// Send SealRequest.
        SendSealRequest,
        /// Wait for SealComplete, for so long.
        ArmSeal,
        /// Send Begin.
        SendBegin,
        /// Wait for Ready, for so long.
        ArmReady,
        /// Wait for a moment before Commit.
        ArmCommit,
        /// Watch the successor for the time of its probation.
        StartProbation,
        /// Stop watching it.
        CancelProbation,
        /// Send Commit to the incumbent.
        SendCommit,
        /// Send Commit to a successor of version 2.
        TellSuccessor,
        /// Wait until it has been taken in, for so long.
        ArmTold,
        /// Wait for it to be written, or for the end that it brings, for so long.
        ArmWrite,
        /// Pause before the next try.
        ArmRetry,
        /// Close the incumbent's link.
        CloseIncumbent,
        /// Send Abort to the incumbent.
        SendAbort,
        /// Send Abort to the incumbent, or ResumeAfterAbort if Begin was sent.
        SendUndo,
        /// Kill the successor, and reap it.
        KillSuccessor,
        /// Kill the incumbent.
        KillIncumbent,
        /// Kill the journal's successor.
        AskKill,
        /// Give connecting, or the scene, time from now on.
        Extend,
        /// Look who lives.
        StartProbe,
        /// Start the daemon afresh.
        StartColdStart,
        /// Send the question.
        SendQuestion,
        /// Wait for the answer, for so long.
        ArmAnswer,
        /// Take the descriptors that came.
        StartAdopt,
        /// End: answered.
        Answered,
        /// End: committed.
        Succeed,
        /// End: the incumbent goes on.
        RolledBack,
        /// End: the daemon was started afresh.
        Started,
        /// End: somebody serves.
        Found,
        /// End: failed.
        Fail,
    }
}

labels! {
    /// What the supervisor waits for.
    pub enum Why {
        /// A Hello.
        Hello,
        /// Standby.
        Standby,
        /// Drained.
        Drained,
        /// SealComplete.
        SealComplete,
        /// Ready.
        Ready,
        /// An answer.
        Answer,
        /// The next heartbeat is due.
        Heartbeat,
        /// A sign of life.
        Life,
        /// A peer to read.
        Write,
        /// The pause between two tries.
        Retry,
        /// For Commit.
        Commit,
        /// An operation's own limit.
        Operation,
    }
}
