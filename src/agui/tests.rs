//! The step machines together.

mod properties;
mod recorded;

use super::{ChunkExpander, Ending, Event, Finalizer, Verifier};

/// What a runner does with the events of an agent, without a runner.
struct Pipeline {
    expander: ChunkExpander,
    verifier: Verifier,
    finalizer: Finalizer,
    delivered: Vec<Event>,
}

impl Pipeline {
    fn new(thread_id: &str, run_id: &str) -> Pipeline {
        Pipeline {
            expander: ChunkExpander::default(),
            verifier: Verifier::default(),
            finalizer: Finalizer::new(thread_id, run_id),
            delivered: Vec::new(),
        }
    }

    /// Takes an event of the agent; an error ends the run.
    fn push(&mut self, event: Event) -> Result<(), String> {
        let mut expanded = Vec::new();
        self.expander.push(event, &mut expanded).map_err(|e| e.to_string())?;
        for event in expanded {
            self.verifier.check(&event).map_err(|e| e.to_string())?;
            self.finalizer.observe(&event);
            self.delivered.push(event);
        }
        Ok(())
    }

    fn close(&mut self, why: Ending) {
        self.delivered.extend(self.finalizer.close(why));
    }
}
