//! The form of scenarios and recordings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::webhook::Behaviour;

/// Ordered requests that share variables and a namespace.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    /// What it shows, in a sentence.
    pub(super) about: String,
    /// The paths of a webhook that runs beside the scenario: `{webhook}` stands for its URL, `{bundle}` for its
    /// authority, `{webhook-port}` for its port.
    #[serde(default)]
    pub(super) webhooks: BTreeMap<String, Behaviour>,
    /// Flags of kube-apiserver by a word for them: the same steps are a scenario with each, `name-word`.
    #[serde(default)]
    servers: BTreeMap<String, Vec<String>>,
    /// Those of this one.
    #[serde(skip)]
    pub(super) flags: Vec<String>,
    #[serde(default)]
    pub(super) setting: Setting,
    pub(super) steps: Vec<Request>,
}

/// What a server of the scenario's own is started with; a scenario without shares one with others.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Setting {
    /// Flags that kube-apiserver and we have. `{folder}` stands for where the files are.
    pub(super) flags: Vec<String>,
    /// Texts of files by name, in which what stands for the webhook is filled in.
    pub(super) files: BTreeMap<String, String>,
}

impl Setting {
    pub(super) fn is_shared(&self) -> bool {
        self.flags.is_empty()
    }
}

/// One request. `{name}` in the path, headers and body stands for a saved value; `{ns}` for the scenario's namespace,
/// which exists with its `default` ServiceAccount before the first step.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// What it shows, in a few words; unique in the scenario.
    pub(super) step: String,
    /// Method and path with query, or `compact`: the server forgets its history.
    pub(super) r#do: String,
    /// Whose token is sent; `nobody` sends none.
    #[serde(default = "admin", skip_serializing_if = "is_admin")]
    pub(super) r#as: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) headers: BTreeMap<String, String>,
    /// Sent as JSON; a text is sent as it stands, `base64:…` as what it stands for. `{repeat:ab:3}` becomes `ababab`.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub(super) body: Value,
    /// The body is sent as protobuf.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) protobuf: bool,
    /// The request asks for a WebSocket; `events` counts its messages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) websocket: bool,
    /// Variables by name, from JSON pointers into the answer's body.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) save: BTreeMap<String, String>,
    /// The request is sent again and again until its answer holds this text, and then once more: what the server makes
    /// of the steps before takes it a while.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) until: String,
    /// A watch: how many events are read before the connection is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) events: Option<usize>,
}

impl Request {
    /// Whether it is none, but a word to the server to forget its history.
    pub(super) fn compacts(&self) -> bool {
        self.r#do == "compact"
    }
}

/// A scenario with what stock answered.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recording {
    pub(super) scenario: String,
    pub(super) about: String,
    /// The version that answered.
    pub(super) kubernetes: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) webhooks: BTreeMap<String, Behaviour>,
    /// What the server was started with beside what all are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) flags: Vec<String>,
    #[serde(default, skip_serializing_if = "Setting::is_shared")]
    pub(super) setting: Setting,
    pub(super) steps: Vec<Step>,
}

/// A request and its answer.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Step {
    #[serde(flatten)]
    pub(super) request: Request,
    pub(super) answer: Answer,
}

/// An answer in which whatever differs from run to run has a name.
#[derive(Debug, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    /// JSON and YAML as a tree, protobuf as `{protobuf: tree}`, events of a watch and messages of a WebSocket as a
    /// list, anything else as text.
    pub(super) body: Value,
}

impl Answer {
    /// What stands for an answer that did not come in time.
    pub(super) fn none() -> Self {
        Self { status: 0, headers: BTreeMap::new(), body: Value::Null }
    }
}

impl Scenario {
    /// Whether it needs no server of its own.
    pub(super) fn is_shared(&self) -> bool {
        self.flags.is_empty() && self.setting.is_shared()
    }

    /// The scenario that a recording was made from.
    pub(super) fn of(recording: &Recording) -> Self {
        let steps = recording.steps.iter().map(|step| step.request.clone()).collect();
        let (webhooks, flags) = (recording.webhooks.clone(), recording.flags.clone());
        let (about, setting) = (recording.about.clone(), recording.setting.clone());
        Self { about, webhooks, servers: BTreeMap::new(), flags, setting, steps }
    }

    /// The scenarios that it stands for: one for each set of flags.
    pub(super) fn each(self, name: String) -> Vec<(String, Self)> {
        if self.servers.is_empty() {
            return vec![(name, self)];
        }
        let with = |(word, flags): (&String, &Vec<String>)| {
            (format!("{name}-{word}"), Self { servers: BTreeMap::new(), flags: flags.clone(), ..self.clone() })
        };
        self.servers.iter().map(with).collect()
    }
}

fn admin() -> String {
    "admin".to_owned()
}

fn is_admin(name: &str) -> bool {
    name == "admin"
}
