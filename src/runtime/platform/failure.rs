//! Why the platform did not do what a client asked for (intelligence.md chapter 2).

#[cfg(feature = "mcp")]
use crate::intelligence::NoTools;
use crate::intelligence::{NoLearningContainer, PlatformError};
use crate::runner::{StartError, codes};

/// Each becomes an answer of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlatformFailure {
    /// Whether the agent has the platform's tools could not be found out.
    #[cfg(feature = "mcp")]
    #[error(transparent)]
    Tools(#[from] NoTools),
    /// The application's choice of a learning container is none.
    #[error(transparent)]
    LearningContainer(#[from] NoLearningContainer),
    #[error("the thread could not be found or created: {0}")]
    InitializeThread(PlatformError),
    /// Another run holds the thread.
    #[error("another run holds the lock of the thread")]
    LockHeld,
    #[error("the lock of the thread could not be had: {0}")]
    Lock(PlatformError),
    /// The platform let the run in, but did not say how to listen to it.
    #[error("the platform did not answer with threadId, runId and joinToken")]
    NoCredentials,
    #[error("the messages of the thread could not be read: {0}")]
    History(PlatformError),
    #[error("the run could not be started: {0}")]
    Start(#[from] StartError),
    #[error("the thread cannot be listened to: {0}")]
    Connect(PlatformError),
    #[error("the thread could not be looked up: {0}")]
    ThreadAccess(PlatformError),
    /// The thread is another agent's.
    #[error("the thread belongs to another agent")]
    OtherAgent,
    #[error("the platform answered with a thread without an id")]
    InvalidThread,
    /// The run was stopped, but the platform does not say that it knows.
    #[error("the platform did not acknowledge the end of the run")]
    StopUnacknowledged,
    #[error("the platform failed to {}: {cause}", operation.name())]
    Threads {
        operation: Operation,
        #[source]
        cause: PlatformError,
    },
}

impl PlatformFailure {
    /// What metrics call it.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            PlatformFailure::LockHeld | PlatformFailure::Start(StartError::AlreadyRunning) => codes::THREAD_BUSY,
            PlatformFailure::Start(StartError::ShuttingDown) => codes::RUNTIME_SHUTDOWN,
            PlatformFailure::LearningContainer(_) => "NO_LEARNING_CONTAINER",
            _ => "PLATFORM_FAILED",
        }
    }
}

/// What was asked about threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    List,
    Update,
    Archive,
    Delete,
    Subscribe,
    Messages,
    Events,
    State,
}

impl Operation {
    /// As the answers call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::List => "list threads",
            Operation::Update => "update thread",
            Operation::Archive => "archive thread",
            Operation::Delete => "delete thread",
            Operation::Subscribe => "subscribe to threads",
            Operation::Messages => "fetch thread messages",
            Operation::Events => "fetch thread events",
            Operation::State => "fetch thread state",
        }
    }
}
