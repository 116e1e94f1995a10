//! Lets the scripted platform answer REST calls as it was recorded.

use std::sync::Arc;

use parking_lot::Mutex;

use super::file::Transcript;
use super::ids::Ids;
use crate::platform::{Answer, Call, Director};

/// A recorded call that has not come yet.
struct Coming {
    method: String,
    path: String,
    answer: Answer,
}

pub(crate) struct Recorded {
    coming: Mutex<Vec<Coming>>,
    ids: Arc<Mutex<Ids>>,
}

impl Recorded {
    pub(crate) fn new(transcript: &Transcript, ids: Arc<Mutex<Ids>>) -> Recorded {
        let mut answers: Vec<_> = transcript.entries.iter().filter(|entry| entry.is("rest", "response")).collect();
        let requests = transcript.entries.iter().filter(|entry| entry.is("rest", "request"));
        let coming = requests.filter_map(|request| {
            let is_answer = |answer: &&super::file::Entry| {
                answer.n > request.n && answer.method == request.method && answer.path == request.path
            };
            let at = answers.iter().position(is_answer)?;
            let answer = answers.remove(at);
            Some(Coming {
                method: request.method.clone(),
                path: request.path.clone(),
                answer: Answer { status: answer.status.unwrap_or_default(), body: answer.body.clone() },
            })
        });
        Recorded { coming: Mutex::new(coming.collect()), ids }
    }
}

impl Director for Recorded {
    fn answer(&self, call: &Call, _own: &Answer) -> Option<Answer> {
        let (mut coming, mut ids) = (self.coming.lock(), self.ids.lock());
        let is_it =
            |coming: &Coming, ids: &mut Ids| coming.method == call.method && ids.matches(&coming.path, &call.path);
        let at = coming.iter().position(|coming| is_it(coming, &mut ids))?;
        let mut answer = coming.remove(at).answer;
        answer.body = answer.body.map(|body| ids.fill(&body));
        Some(answer)
    }
}
