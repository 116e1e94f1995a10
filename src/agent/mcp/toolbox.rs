//! The tools of a run: what the agent calls them, and whose they are.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::agui::RawJson;

/// The strictest of the common models takes no longer names.
const MAX_NAME: usize = 64;
/// The most tools an agent is given.
const MAX_TOOLS: usize = 512;
/// The most bytes of their definitions: every turn sends them again.
const MAX_BYTES: usize = 4 << 20;

/// A tool as its server lists it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ListedTool {
    pub(super) name: String,
    pub(super) description: String,
    /// The JSON schema of its arguments.
    pub(super) parameters: Map<String, Value>,
}

/// Where a tool is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The index of its server.
    pub(super) server: usize,
    /// What it is called there.
    pub(super) name: String,
}

/// The tools of all servers.
#[derive(Debug, Default)]
pub(super) struct Toolbox {
    /// Every name the agent sees; those of the front end have no origin.
    taken: HashSet<String>,
    origins: HashMap<String, Origin>,
    definitions: Vec<RawJson>,
    bytes: usize,
}

/// There are more tools than an agent is given.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an agent is given at most {MAX_TOOLS} tools, defined in {MAX_BYTES} bytes")]
pub(super) struct TooManyTools;

impl Toolbox {
    /// A toolbox beside tools that have their names already: a client's tool keeps its name.
    pub(super) fn beside(taken: impl IntoIterator<Item = String>) -> Toolbox {
        Toolbox { taken: taken.into_iter().collect(), ..Toolbox::default() }
    }

    pub(super) fn add(&mut self, server: usize, server_id: &str, tool: ListedTool) -> Result<(), TooManyTools> {
        #[derive(Serialize)]
        struct Definition<'a> {
            name: &'a str,
            description: &'a str,
            parameters: &'a Map<String, Value>,
        }
        let name = self.free_name(server_id, &tool.name);
        let definition = Definition { name: &name, description: &tool.description, parameters: &tool.parameters };
        // Strings and JSON written into memory: this cannot fail.
        let json = serde_json::to_string(&definition).and_then(RawValue::from_string).map_err(|_| TooManyTools)?;
        if self.definitions.len() == MAX_TOOLS || self.bytes + json.get().len() > MAX_BYTES {
            return Err(TooManyTools);
        }
        self.bytes += json.get().len();
        self.definitions.push(json);
        self.taken.insert(name.clone());
        self.origins.insert(name, Origin { server, name: tool.name });
        Ok(())
    }

    /// `mcp__{server}__{tool}`, shortened; a name that is taken gets a number.
    fn free_name(&self, server_id: &str, tool: &str) -> String {
        let full = format!("mcp__{}__{}", sanitised(server_id), sanitised(tool));
        let plain = full[..full.len().min(MAX_NAME)].to_owned();
        let numbered = (1..).map(|number: usize| {
            let number = format!("_{number}");
            format!("{}{number}", &full[..full.len().min(MAX_NAME - number.len())])
        });
        let mut names = std::iter::once(plain).chain(numbered);
        names.find(|name| !self.taken.contains(name)).unwrap_or(full)
    }

    /// The tools as an agent gets them.
    pub(super) fn definitions(&self) -> &[RawJson] {
        &self.definitions
    }

    /// Whose tool this is, by the name the agent knows it by.
    pub(super) fn origin(&self, name: &str) -> Option<&Origin> {
        self.origins.get(name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.definitions.is_empty()
    }
}

/// The characters every model takes. A character stands for as many as it has in UTF-16, as in JavaScript.
fn sanitised(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => out.push(c),
            _ => out.extend(std::iter::repeat_n('_', c.len_utf16())),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn tool(name: &str) -> ListedTool {
        ListedTool { name: name.to_owned(), ..ListedTool::default() }
    }

    fn names(toolbox: &Toolbox) -> Vec<String> {
        let name = |json: &RawJson| serde_json::from_str::<Value>(json.get()).unwrap()["name"].as_str().unwrap().into();
        toolbox.definitions().iter().map(name).collect()
    }

    #[test]
    fn a_tool_is_named_after_its_server() {
        let mut toolbox = Toolbox::beside([]);
        let schema = json!({"type": "object", "properties": {"q": {"maximum": 1.0}}});
        let listed = ListedTool {
            name: "find it!".to_owned(),
            description: "Finds".to_owned(),
            parameters: schema.as_object().unwrap().clone(),
        };
        toolbox.add(3, "my 😀", listed).unwrap();
        let definition: Value = serde_json::from_str(toolbox.definitions()[0].get()).unwrap();
        assert_eq!(
            definition,
            json!({"name": "mcp__my___" .to_owned() + "__find_it_", "description": "Finds", "parameters": schema})
        );
        let origin = toolbox.origin("mcp__my_____find_it_").unwrap();
        assert_eq!(*origin, Origin { server: 3, name: "find it!".to_owned() });
    }

    #[test]
    fn a_front_ends_tool_keeps_its_name() {
        let mut toolbox = Toolbox::beside(["mcp__s__t".to_owned()]);
        for _ in 0..2 {
            toolbox.add(0, "s", tool("t")).unwrap();
        }
        assert_eq!(names(&toolbox), ["mcp__s__t_1", "mcp__s__t_2"]);
        assert_eq!(toolbox.origin("mcp__s__t"), None);
    }

    #[test]
    fn an_agent_is_not_given_more_tools_than_it_can_hold() {
        let mut toolbox = Toolbox::beside([]);
        let mut large = tool("large");
        large.description = "x".repeat(MAX_BYTES);
        assert_eq!(toolbox.add(0, "s", large), Err(TooManyTools));
        for number in 0..MAX_TOOLS {
            toolbox.add(0, "s", tool(&number.to_string())).unwrap();
        }
        assert_eq!(toolbox.add(0, "s", tool("one more")), Err(TooManyTools));
        assert_eq!(toolbox.definitions().len(), MAX_TOOLS);
    }

    proptest! {
        #[test]
        fn names_are_short_plain_and_different(tools in prop::collection::vec(("\\PC{0,40}", ".{0,80}"), 1..40)) {
            let mut toolbox = Toolbox::beside([]);
            for (server, name) in &tools {
                toolbox.add(0, server, tool(name)).unwrap();
            }
            let names = names(&toolbox);
            let different: HashSet<_> = names.iter().collect();
            prop_assert_eq!(different.len(), tools.len());
            for (name, (_, original)) in names.iter().zip(&tools) {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
                prop_assert!(name.len() <= MAX_NAME && name.bytes().all(plain), "{}", name);
                prop_assert_eq!(&toolbox.origin(name).unwrap().name, original);
            }
        }
    }
}
