//! Which policy a request may choose for a busy thread.

use std::borrow::Cow;

use serde::Deserialize;

use crate::agui::RunAgentInput;
use crate::runner::WhenBusy;

/// The policies requests may choose from, each by its name.
#[derive(Clone, Debug, Default)]
pub(super) struct RequestPolicies(Vec<WhenBusy>);

impl RequestPolicies {
    pub(super) fn of(policies: impl IntoIterator<Item = WhenBusy>) -> RequestPolicies {
        RequestPolicies(policies.into_iter().collect())
    }

    /// The one a request has chosen; `None` leaves it to the runner.
    pub(super) fn chosen(&self, input: &RunAgentInput) -> Option<WhenBusy> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Props<'a> {
            #[serde(borrow)]
            when_busy: Option<Cow<'a, str>>,
        }
        if self.0.is_empty() {
            return None;
        }
        // The properties are the application's: other shapes are none of our business.
        let props: Props<'_> = serde_json::from_str(input.forwarded_props.as_ref()?.get()).ok()?;
        let wanted = props.when_busy?;
        self.0.iter().copied().find(|policy| name(*policy) == wanted)
    }
}

/// What a policy is called in a request.
fn name(policy: WhenBusy) -> &'static str {
    match policy {
        WhenBusy::Reject => "reject",
        WhenBusy::Interrupt => "interrupt",
        WhenBusy::Rollback => "rollback",
        WhenBusy::Enqueue { .. } => "enqueue",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::value::RawValue;

    use super::*;

    const QUEUE: WhenBusy = WhenBusy::Enqueue { max: 3, timeout: Duration::from_secs(9) };

    fn asked(policies: &RequestPolicies, props: &str) -> Option<WhenBusy> {
        let mut input = RunAgentInput::new("t", "r");
        input.forwarded_props = RawValue::from_string(props.to_owned()).ok();
        policies.chosen(&input)
    }

    #[test]
    fn a_request_chooses_among_the_policies_it_may_have() {
        let policies = RequestPolicies::of([WhenBusy::Interrupt, QUEUE]);
        assert_eq!(asked(&policies, r#"{"whenBusy":"interrupt"}"#), Some(WhenBusy::Interrupt));
        assert_eq!(asked(&policies, r#"{"x":[1],"whenBusy":"enq\u0075eue"}"#), Some(QUEUE));
        for other in
            [r#"{"whenBusy":"rollback"}"#, r#"{"whenBusy":3}"#, r#"{"whenBusy":null}"#, "{}", "[]", "\"enqueue\""]
        {
            assert_eq!(asked(&policies, other), None, "{other}");
        }
        assert_eq!(policies.chosen(&RunAgentInput::new("t", "r")), None);
    }

    #[test]
    fn a_request_chooses_nothing_unless_it_may() {
        assert_eq!(asked(&RequestPolicies::default(), r#"{"whenBusy":"interrupt"}"#), None);
    }
}
