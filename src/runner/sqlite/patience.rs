//! How the kernel treats the thread that writes.
//!
//! A thread that waited for the disk comes before others once its answer is there. Where all cores are busy, that takes
//! the core from runs that are about to ask for something, commits the little that was asked for so far, and waits for
//! the disk again. A patient thread lets them go first: its commits are shared by more, and cost less. Where a core is
//! free, it runs at once all the same.

/// Makes the calling thread patient, where the system knows the difference. Nothing but speed depends on it.
pub(super) fn learn() {
    #[cfg(target_os = "linux")]
    if let Err(error) = batch() {
        tracing::debug!(?error, "the thread that writes is as impatient as any");
    }
}

/// Linux asks for no privilege where the niceness stays as it is.
#[cfg(target_os = "linux")]
fn batch() -> Result<(), thread_priority::Error> {
    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityOsValue, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id,
    };
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Os(ThreadPriorityOsValue::default()), policy)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use thread_priority::{NormalThreadSchedulePolicy, ThreadSchedulePolicy, thread_schedule_policy};

    #[test]
    fn the_thread_that_writes_learns_patience_and_no_other() {
        let batch = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);
        let learned = std::thread::spawn(|| {
            super::learn();
            thread_schedule_policy().unwrap()
        });
        assert_eq!(learned.join().unwrap(), batch);
        assert_ne!(thread_schedule_policy().unwrap(), batch);
    }
}
