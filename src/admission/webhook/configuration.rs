//! Webhook configurations as they are used: read once after each change of their collection.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::Value;

use super::super::Context;
use super::super::matching::Criteria;
use crate::api::Revision;
use crate::api::cel::admission::{Compiler, Declarations, Failure, MatchConditions};
use crate::remote::Site;
use crate::storage::Snapshot;

/// The default of `timeoutSeconds`.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One webhook.
pub(super) struct Hook {
    pub name: String,
    /// Tells it from all others.
    pub id: String,
    pub site: Site,
    pub criteria: Criteria,
    pub conditions: MatchConditions,
    /// Absent where the configuration does not say.
    pub side_effects: Option<String>,
    pub limit: Duration,
    /// The first version of reviews that it takes and we know.
    pub version: Option<&'static str>,
    /// What fails does not matter.
    pub ignores_failure: bool,
    pub reinvoked: bool,
}

/// The webhooks of one kind of configuration.
pub(super) struct Configured {
    collection: &'static str,
    compiled: ArcSwapOption<(Revision, Arc<Vec<Hook>>)>,
}

impl Configured {
    pub(super) fn new(collection: &'static str) -> Self {
        Self { collection, compiled: ArcSwapOption::empty() }
    }

    /// The webhooks in the order of their configurations' names; `None` when there are none.
    pub(super) fn hooks(&self, ctx: &Context) -> Option<Arc<Vec<Hook>>> {
        let snapshot = ctx.store.snapshot();
        if snapshot.count(self.collection) == 0 {
            if self.compiled.load().is_some() {
                self.compiled.store(None);
            }
            return None;
        }
        let changed = snapshot.changed(self.collection);
        if let Some(known) = self.compiled.load_full().filter(|known| known.0 == changed) {
            return Some(known.1.clone());
        }
        let hooks = Arc::new(read(&snapshot, self.collection));
        self.compiled.store(Some(Arc::new((changed, hooks.clone()))));
        Some(hooks)
    }
}

fn read(snapshot: &Snapshot, collection: &str) -> Vec<Hook> {
    let mut hooks = Vec::new();
    let collection: crate::storage::Collection = Arc::from(collection);
    for stored in snapshot.list(&collection, None, None) {
        let configuration: Value = serde_json::from_slice(&stored.body.json).unwrap_or_default();
        let webhooks = configuration.get("webhooks").and_then(Value::as_array).into_iter().flatten();
        for (index, webhook) in webhooks.enumerate() {
            hooks.push(hook(&stored.key.name, index, webhook));
        }
    }
    hooks
}

fn hook(configuration: &str, index: usize, webhook: &Value) -> Hook {
    let text = |key: &str| webhook.get(key).and_then(Value::as_str);
    let list = |key: &str| webhook.get(key).and_then(Value::as_array).into_iter().flatten();
    let name = text("name").unwrap_or_default().to_owned();
    let known = |version: &Value| ["v1", "v1beta1"].into_iter().find(|known| version.as_str() == Some(known));
    let seconds = webhook.get("timeoutSeconds").and_then(Value::as_u64);
    let conditions = list("matchConditions").filter_map(|condition| condition.get("expression")?.as_str());
    let declarations = Declarations { authorizer: true, ..Declarations::default() };
    let failure = Failure::of(text("failurePolicy"));
    Hook {
        id: format!("{configuration}/{name}/{index}"),
        site: Site::of_client_config(webhook.get("clientConfig").unwrap_or(&Value::Null)),
        criteria: Criteria::of_webhook(webhook),
        conditions: MatchConditions::new(&Compiler::plain(), conditions, (declarations, failure)),
        side_effects: text("sideEffects").map(str::to_owned),
        limit: seconds.map_or(TIMEOUT, Duration::from_secs),
        version: list("admissionReviewVersions").find_map(known),
        ignores_failure: text("failurePolicy") == Some("Ignore"),
        reinvoked: text("reinvocationPolicy") == Some("IfNeeded"),
        name,
    }
}
