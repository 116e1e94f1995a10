//! What a client may choose for a run of its own: what happens if the thread is busy.

use std::time::Duration;

use serde::Deserialize;

use crate::agui::RawJson;
use crate::runner::WhenBusy;

/// How a run waits that asks to: as long as a person may still want the answer, and never in a crowd.
const ENQUEUE: WhenBusy = WhenBusy::Enqueue { max: 8, timeout: Duration::from_secs(60) };

/// The `whenBusy` of a run's `forwardedProps`. Anything else there is the application's own, and no choice.
pub(super) fn chosen(forwarded_props: Option<&RawJson>) -> Option<WhenBusy> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Props {
        when_busy: Choice,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Choice {
        Reject,
        Interrupt,
        Enqueue,
        Rollback,
    }
    let props: Props = serde_json::from_str(forwarded_props?.get()).ok()?;
    Some(match props.when_busy {
        Choice::Reject => WhenBusy::Reject,
        Choice::Interrupt => WhenBusy::Interrupt,
        Choice::Enqueue => ENQUEUE,
        Choice::Rollback => WhenBusy::Rollback,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Option<WhenBusy> {
        chosen(Some(&serde_json::from_str::<RawJson>(json).unwrap()))
    }

    #[test]
    fn each_policy_has_its_word() {
        assert_eq!(of(r#"{"x":[1],"whenBusy":"reject"}"#), Some(WhenBusy::Reject));
        assert_eq!(of(r#"{"whenBusy":"interrupt"}"#), Some(WhenBusy::Interrupt));
        assert_eq!(of(r#"{"whenBusy":"enqueue"}"#), Some(ENQUEUE));
        assert_eq!(of(r#"{"whenBusy":"rollback"}"#), Some(WhenBusy::Rollback));
    }

    #[test]
    fn what_is_no_choice_is_the_applications_own() {
        assert_eq!(chosen(None), None);
        for json in
            ["{}", "null", "[]", "5", r#"{"whenBusy":"Reject"}"#, r#"{"whenBusy":1}"#, r#"{"when_busy":"reject"}"#]
        {
            assert_eq!(of(json), None, "{json}");
        }
    }
}
