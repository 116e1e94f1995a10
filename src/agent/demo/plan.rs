//! What the demo agent says to an input: pure, and driven by the user's words.

use serde_json::{Value, json};

use super::example::arguments;
use super::scene::{Answer, Scene, Tool, ToolResult};
use super::script::{Script, Step};
use crate::agui::RunAgentInput;

/// The tool with which a CopilotKit client collects suggestions starts so.
const SUGGEST_TOOL: &str = "copilotkitSuggest";

/// How to put a real agent in this one's place; part of what the agent says.
const REPLACE_ME: &str = "To put your own agent in my place, write this to `copilotkit.toml` and restart:\n\n\
    ```toml\n[agents.default]\nurl = \"http://localhost:8000/agui\"\n```\n\n\
    or, where the runtime is part of your own service:\n\n\
    ```rust\n.agent(\"default\", HttpAgent::new(\"http://localhost:8000/agui\")?)\n```\n";

/// What the user asked for.
enum Wish {
    Tool,
    State,
    Thinking,
    Approval,
    Help,
    Talk,
}

/// The whole run.
pub(super) fn plan(input: &RunAgentInput) -> Vec<Step> {
    let scene = Scene::of(input);
    let mut script = Script::start(scene.thread_id, scene.run_id, scene.said);

    // Suggestions first: their instruction is a user message that speaks of tools.
    if let Some(tool) = suggest_tool(&scene) {
        script.call(&tool.name, &suggestions(), None);
        return script.finish();
    }

    let state = SharedState::open(&scene, &mut script);
    if let Some(answer) = scene.answers.first() {
        script.say(&after_interrupt(answer));
        state.close("resumed after an interrupt", &mut script);
        return script.finish();
    }
    if let Some(result) = &scene.result {
        script.say(&after_tool(result));
        state.close("used a tool's result", &mut script);
        return script.finish();
    }
    if let Some(tool) = scene.forced_tool.and_then(|place| scene.tools.get(place)) {
        call(tool, &mut script);
        state.close("called a tool", &mut script);
        return script.finish();
    }
    match Wish::of(&scene) {
        Wish::Tool => {
            let did = use_tool(&scene, &mut script);
            state.close(did, &mut script);
        }
        Wish::State => show_state(&scene, state, &mut script),
        Wish::Thinking => {
            script.think(&thoughts(&scene));
            script.say(
                "That was my reasoning. It came as `REASONING_MESSAGE_CONTENT` events between \
                 `REASONING_START` and `REASONING_END`, before this answer; your page shows it apart from \
                 what I say. A model that shares its thoughts would do the same.",
            );
            state.close("showed its reasoning", &mut script);
        }
        Wish::Approval => {
            script.say(
                "Before I go on I need your word. My run ends here with the outcome `interrupt`; \
                 the answer you give starts a new run which carries it in `resume`.",
            );
            state.close("asked for approval", &mut script);
            let schema = json!({
                "type": "object",
                "properties": {"approved": {"type": "boolean"}},
                "required": ["approved"],
            });
            return script.interrupt("confirmation", "May the demo agent go on?", &schema);
        }
        Wish::Help => {
            script.say(&greeting(&scene));
            state.close("greeted", &mut script);
        }
        Wish::Talk => {
            script.say(&talk(&scene, state.turns));
            state.close("talked", &mut script);
        }
    }
    script.finish()
}

impl Wish {
    fn of(scene: &Scene<'_>) -> Wish {
        let words = scene.words.to_lowercase();
        let says = |part: &str| words.contains(part);
        if says("interrupt") || says("approv") {
            Wish::Approval
        } else if says("tool") || named_tool(scene, &words).is_some() {
            Wish::Tool
        } else if says("state") {
            Wish::State
        } else if says("think") || says("reason") {
            Wish::Thinking
        } else if says("help") || scene.first_turn {
            Wish::Help
        } else {
            Wish::Talk
        }
    }
}

/// The shared state, under a key of its own so that the application's own entries stay as they are.
struct SharedState {
    turns: u64,
    words: String,
}

impl SharedState {
    /// Sends the state as it was given, with the entry this run will change.
    fn open(scene: &Scene<'_>, script: &mut Script) -> SharedState {
        let before = scene.state.get("demo");
        let of_before = |key: &str| before.and_then(|demo| demo.get(key)).cloned();
        let turns = of_before("turns").and_then(|turns| turns.as_u64()).unwrap_or(0);
        let mut state = scene.state.clone();
        let entry = json!({
            "turns": turns,
            "lastWords": of_before("lastWords").unwrap_or_else(|| json!("")),
            "did": of_before("did").unwrap_or_else(|| json!("nothing yet")),
        });
        state.insert("demo".to_owned(), entry);
        script.snapshot(&Value::Object(state));
        let turns = turns.saturating_add(u64::from(scene.users_turn));
        SharedState { turns, words: shortened(&scene.words, 80) }
    }

    /// Sends what the run changed.
    fn close(self, did: &str, script: &mut Script) {
        script.delta(&json!([
            {"op": "replace", "path": "/demo/turns", "value": self.turns},
            {"op": "replace", "path": "/demo/lastWords", "value": self.words},
            {"op": "replace", "path": "/demo/did", "value": did},
        ]));
    }
}

fn suggest_tool<'a>(scene: &'a Scene<'_>) -> Option<&'a Tool> {
    scene.tools.iter().find(|tool| tool.name.starts_with(SUGGEST_TOOL))
}

fn suggestions() -> Value {
    json!({"suggestions": [
        {"title": "Use a tool", "message": "Use a tool of this page."},
        {"title": "Think aloud", "message": "Think about it, and show me your reasoning."},
        {"title": "Ask for approval", "message": "Ask me for approval before you go on."},
    ]})
}

/// A tool whose name the user wrote.
fn named_tool<'a>(scene: &'a Scene<'_>, words: &str) -> Option<&'a Tool> {
    scene.tools.iter().find(|tool| {
        let name = tool.name.to_lowercase();
        // Short names are ordinary words.
        name.len() > 3 && words.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
    })
}

fn use_tool(scene: &Scene<'_>, script: &mut Script) -> &'static str {
    match named_tool(scene, &scene.words.to_lowercase()).or(scene.tools.first()) {
        Some(tool) => {
            call(tool, script);
            "called a tool"
        }
        None => {
            script.say(
                "Your page offers no frontend tool yet, so there is none I can call. Offer one and ask me again:\n\n\
                 ```tsx\nuseFrontendTool({\n  name: \"setColor\",\n  \
                 parameters: z.object({ color: z.string() }),\n  \
                 handler: async ({ color }) => {\n    document.body.style.background = color;\n    \
                 return `The page is ${color} now`;\n  },\n});\n```\n\n\
                 I will make up arguments that fit its parameters.",
            );
            "missed a tool"
        }
    }
}

fn call(tool: &Tool, script: &mut Script) {
    let arguments = arguments(&tool.parameters);
    let message = script.say(&format!(
        "I call your page's tool `{}`, with arguments made up from its parameters. \
         It runs in your browser; its result comes back to me in a run of its own.",
        tool.name,
    ));
    script.call(&tool.name, &arguments, Some(&message));
}

fn after_tool(result: &ToolResult) -> String {
    let tool = result.tool.as_ref().map_or_else(|| "The tool".to_owned(), |name| format!("`{name}`"));
    match result.content.trim() {
        "" => format!("{tool} has run; it gave nothing back."),
        content => format!(
            "{tool} answered:\n\n> {}\n\nThat is how your page does things for an agent: \
             the agent calls, the page acts, the agent goes on with the result.",
            shortened(content, 600).replace('\n', "\n> "),
        ),
    }
}

fn after_interrupt(answer: &Answer) -> String {
    let approved = answer.payload.get("approved").and_then(Value::as_bool).unwrap_or(true);
    let heard = match answer.status.as_str() {
        "cancelled" => "You cancelled, so I leave it at that.",
        _ if approved => "You approved, so I go on.",
        _ => "You declined, so I leave it at that.",
    };
    let payload = match &answer.payload {
        Value::Null => String::new(),
        payload => format!(" Your answer was `{}`.", shortened(&payload.to_string(), 200)),
    };
    format!(
        "{heard}{payload} This is a new run on the same thread: it got what you answered in `resume`, \
         and the approval is no longer pending."
    )
}

fn show_state(scene: &Scene<'_>, state: SharedState, script: &mut Script) {
    let turns = state.turns;
    state.close("changed the state", script);
    let others = match scene.state.keys().filter(|key| *key != "demo").count() {
        0 => String::new(),
        1 => " The other entry in it is yours, and I left it alone.".to_owned(),
        n => format!(" The {n} other entries in it are yours, and I left them alone."),
    };
    script.say(&format!(
        "We share a state, your page and I. I sent it whole as a `STATE_SNAPSHOT`, then changed it by a \
         `STATE_DELTA`, which is a JSON Patch: `demo.turns` is {turns} now, and `demo.lastWords` is what you \
         just said.{others} Read it in your page with `useAgent()`; what your page writes comes back to me \
         with the next message.",
    ));
}

fn thoughts(scene: &Scene<'_>) -> String {
    format!(
        "The user said “{}”. There is no model behind me, so I have nothing to weigh. But I was asked to \
         think, and a client that shows reasoning should have some to show. I will say where it came from.",
        shortened(&scene.words, 120),
    )
}

fn greeting(scene: &Scene<'_>) -> String {
    let tools = match scene.tools.as_slice() {
        [] => "your page offers none yet; I will show you how".to_owned(),
        [only] => format!("your page offers `{}`", only.name),
        [first, others @ ..] => format!("your page offers `{}` and {} more", first.name, others.len()),
    };
    format!(
        "Hello! I am the demo agent of this CopilotKit runtime. There is no model behind me: I need no key \
         and no network, so that you can see your page work before your agent does. Try me:\n\n\
         - **Use a tool**: I call a tool of your page ({tools}).\n\
         - **Show me the state**: we share it, and both may change it.\n\
         - **Think about it**: I show reasoning before I answer.\n\
         - **Ask for approval**: I stop and wait for your word.\n\
         - **Anything else**: I answer as it streams in, word by word.\n\n\
         {REPLACE_ME}",
    )
}

fn talk(scene: &Scene<'_>, turns: u64) -> String {
    format!(
        "You said “{}”. A real agent would answer that; I only show how an answer travels: each of these \
         words is a `TEXT_MESSAGE_CONTENT` event, sent the moment it was there. The shared state counts \
         turn {turns} now. Reload the page in the middle of a sentence, and it goes on where it was.\n\n\
         Say **help** to see what else there is to try. {REPLACE_ME}",
        shortened(&scene.words, 200),
    )
}

/// At most so many characters.
fn shortened(text: &str, most: usize) -> String {
    let text = text.trim();
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
