//! The condition `Available` of APIServices that lead elsewhere (kube-aggregator `controllers/status/remote`): looked at
//! when the APIService, its service or its endpoints change, and from time to time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use http_body_util::{BodyExt, Full, Limited};
use serde_json::{Value, json};

use super::super::{Call, Input, persist};
use super::{COLLECTION, Extension, Extensions, Said, Swagger};
use crate::api::request::{FieldValidation, Target, WriteOptions};
use crate::api::{Reason, Result, Revision, Status};
use crate::registry::definitions::server_itself;
use crate::storage::{Collection, Event, Scope, Watch};

const SERVICES: &str = "services";
const SLICES: &str = "endpointslices.discovery.k8s.io";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// How often one is asked that answered.
const RESYNC: Duration = Duration::from_secs(30);
/// How soon one is asked again that did not, at first and at most.
const RETRY: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);
const PROBE: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What the loop knows of one extension server.
struct Due {
    at: Duration,
    retry: Duration,
}

/// What an extension server is found to be.
struct Finding {
    status: &'static str,
    reason: &'static str,
    message: String,
}

impl Extensions {
    /// Looks after all extension servers until dropped.
    pub async fn run(self: Arc<Self>) {
        let mut due: BTreeMap<String, Due> = BTreeMap::new();
        loop {
            let revision = self.registry.store.revision();
            let mut watches = Vec::new();
            let collections: &[&str] =
                if self.all().is_empty() { &[COLLECTION] } else { &[COLLECTION, SERVICES, SLICES] };
            for collection in collections {
                match self.watch(collection, revision) {
                    Some(watch) => watches.push(watch),
                    None => self.registry.clock.sleep(RETRY).await,
                }
            }
            if watches.len() == collections.len() {
                self.follow(&mut due, watches).await;
            }
        }
    }

    fn watch(&self, collection: &str, revision: Revision) -> Option<Watch> {
        let collection: Collection = Arc::from(collection);
        self.registry.store.watch(&collection, revision, Scope::All).ok()
    }

    /// Until a watch ends, or other collections have to be watched.
    async fn follow(&self, due: &mut BTreeMap<String, Due>, mut watches: Vec<Watch>) {
        let alone = watches.len() == 1;
        loop {
            self.work(due).await;
            if alone != self.all().is_empty() {
                return;
            }
            let now = self.registry.clock.monotonic();
            let next = due.values().map(|due| due.at.saturating_sub(now)).min();
            let waiting = async {
                match next {
                    Some(next) => self.registry.clock.sleep(next).await,
                    None => std::future::pending().await,
                }
            };
            let batches = watches.iter_mut().map(|watch| Box::pin(watch.next_batch()));
            tokio::select! {
                (batch, _, _) = futures::future::select_all(batches) => match batch {
                    Ok(events) => self.absorb(due, &events),
                    Err(_) => return,
                },
                () = waiting => {}
            }
        }
    }

    /// What changed is looked at now.
    fn absorb(&self, due: &mut BTreeMap<String, Due>, events: &[Arc<Event>]) {
        let all = self.all();
        for event in events {
            let key = &event.object.key;
            let labelled = event.object.facts.label(SERVICE_NAME);
            let concerns = |extension: &&Arc<Extension>| {
                let (namespace, name, _) = extension.service();
                match &*key.collection {
                    COLLECTION => *extension.name == *key.name,
                    SERVICES => (namespace, name) == (&*key.namespace, &*key.name),
                    _ => namespace == &*key.namespace && labelled.is_some_and(|label| **label == *name),
                }
            };
            for extension in all.iter().filter(concerns) {
                due.insert(extension.name.clone(), Due { at: Duration::ZERO, retry: RETRY });
            }
        }
    }

    /// Asks those that are due, all at once.
    async fn work(&self, due: &mut BTreeMap<String, Due>) {
        let all = self.all();
        due.retain(|name, _| all.iter().any(|extension| extension.name == *name));
        let now = self.registry.clock.monotonic();
        let is_due = |extension: &&Arc<Extension>| due.get(&extension.name).is_none_or(|due| due.at <= now);
        let asked: Vec<Arc<Extension>> = all.iter().filter(is_due).cloned().collect();
        let findings = join_all(asked.iter().map(|extension| self.look(extension))).await;
        for (extension, finding) in asked.iter().zip(findings) {
            let told = self.tell(extension, &finding).await;
            if let Err(status) = &told {
                tracing::warn!(name = extension.name, %status, "the condition of an APIService could not be written");
            }
            let before = due.get(&extension.name).map_or(RETRY, |due| due.retry);
            let good = finding.status == "True" && told.is_ok();
            let (wait, retry) = if good { (RESYNC, RETRY) } else { (before, (before * 2).min(RETRY_MAX)) };
            due.insert(extension.name.clone(), Due { at: self.registry.clock.monotonic() + wait, retry });
        }
    }

    async fn look(&self, extension: &Extension) -> Finding {
        let unavailable = |reason, message| Finding { status: "False", reason, message };
        let host = match self.endpoint(extension) {
            Ok(host) => host,
            Err((reason, message)) => return unavailable(reason, message),
        };
        match self.ask(extension, &extension.path()).await {
            Ok(resources) => {
                let openapi = self.ask(extension, "/openapi/v3").await.unwrap_or_default();
                let at = format!("/paths/{}/serverRelativeURL", extension.path().trim_matches('/').replace('/', "~1"));
                let openapi = openapi.pointer(&at).and_then(Value::as_str).unwrap_or_default().to_owned();
                let swagger = self.ask(extension, "/openapi/v2").await.ok();
                let swagger = swagger.and_then(|document| Swagger::of(document, &extension.path())).map(Arc::new);
                self.note(&extension.name, Said { resources, openapi, swagger });
                Finding { status: "True", reason: "Passed", message: "all checks passed".to_owned() }
            }
            Err(why) => {
                let url = format!("https://{host}{}", extension.path());
                let why = why.replace("{url}", &url);
                let message = format!("failing or missing response from {url}: {why}");
                unavailable("FailedDiscoveryCheck", message)
            }
        }
    }

    /// The address of the service, if everything is there that leads to it.
    fn endpoint(&self, extension: &Extension) -> std::result::Result<String, (&'static str, String)> {
        let (namespace, name, port) = extension.service();
        let snapshot = self.registry.store.snapshot();
        let about = format!("service/{name} in {namespace:?}");
        let Some(stored) = snapshot.find(SERVICES, namespace, name) else {
            return Err(("ServiceNotFound", format!("{about} is not present")));
        };
        let service: Value = serde_json::from_slice(&stored.body.json).unwrap_or_default();
        let text = |pointer: &str| service.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        if text("/spec/type") != "ClusterIP" {
            return Ok(format!("{name}.{namespace}.svc:{port}"));
        }
        let ports = service.pointer("/spec/ports").and_then(Value::as_array).into_iter().flatten();
        let wanted = ports.into_iter().find(|p| p.get("port").and_then(Value::as_u64) == Some(port.into()));
        let Some(wanted) = wanted else {
            return Err(("ServicePortError", format!("{about} is not listening on port {port}")));
        };
        let port_name = wanted.get("name").and_then(Value::as_str).unwrap_or_default();
        let slices: Vec<Value> = snapshot
            .by_label(SLICES, (SERVICE_NAME, name))
            .filter(|slice| &*slice.key.namespace == namespace)
            .filter_map(|slice| serde_json::from_slice(&slice.body.json).ok())
            .collect();
        if slices.is_empty() {
            return Err(("EndpointsNotFound", format!("cannot find endpointslices for {about}")));
        }
        if !slices.iter().any(|slice| leads_somewhere(slice, port_name)) {
            let why = format!("endpointslices for {about} have no addresses with port name {port_name:?}");
            return Err(("MissingEndpoints", why));
        }
        Ok(format!("{}:{port}", text("/spec/clusterIP")))
    }

    /// A document of an extension server, asked for as its master. `{url}` stands for the address in errors.
    async fn ask(&self, extension: &Extension, path: &str) -> std::result::Result<Value, String> {
        let url = format!("https://{}{path}", extension.site.authority());
        let request = http::Request::get(url)
            .header("x-remote-user", "system:kube-aggregator")
            .header("x-remote-group", "system:masters")
            .header("accept", "application/json")
            .body(Full::new(Bytes::new()))
            .map_err(|error| error.to_string())?;
        let answer = async {
            let response = self.send(extension, request).await.map_err(|why| format!("Get \"{{url}}\": {why}"))?;
            let status = response.status().as_u16();
            if !(200..300).contains(&status) {
                return Err(format!("bad status from {{url}}: {status}"));
            }
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok(body.map(|body| serde_json::from_slice(&body.to_bytes()).unwrap_or_default()).unwrap_or_default())
        };
        tokio::select! {
            answer = answer => answer,
            () = self.registry.clock.sleep(PROBE) => Err("Get \"{url}\": context deadline exceeded".to_owned()),
        }
    }

    /// Writes the condition unless it is there.
    async fn tell(&self, extension: &Extension, finding: &Finding) -> Result<()> {
        let served = self.registry.catalog.served();
        let kind = served.find("apiregistration.k8s.io", "v1", "apiservices").cloned();
        let kind = kind.ok_or_else(|| Status::internal("APIServices are not served"))?;
        let target = Target {
            group: "apiregistration.k8s.io".to_owned(),
            version: "v1".to_owned(),
            resource: "apiservices".to_owned(),
            subresource: "status".to_owned(),
            namespace: String::new(),
            name: extension.name.clone(),
        };
        let call = Call::new(server_itself(), target, kind);
        let stored = match self.registry.find(&call) {
            Err(status) if status.reason() == Reason::NotFound => return Ok(()),
            found => found?,
        };
        let mut object = persist::tree(&call.kind, &stored)?;
        let conditions = object.get(&["status", "conditions"]).and_then(Value::as_array).cloned().unwrap_or_default();
        let is_it = |condition: &&Value| condition.get("type").is_some_and(|kind| kind == "Available");
        let present = conditions.iter().find(is_it);
        let has = |key: &str, value: &str| present.and_then(|c| c.get(key)).is_some_and(|found| found == value);
        if has("status", finding.status) && has("reason", finding.reason) && has("message", &finding.message) {
            return Ok(());
        }
        let since = present.filter(|_| has("status", finding.status)).and_then(|c| c.get("lastTransitionTime"));
        let since = since.cloned().unwrap_or_else(|| self.registry.moment().seconds().into());
        let mut next: Vec<Value> = conditions.iter().filter(|c| !is_it(c)).cloned().collect();
        next.push(json!({ "type": "Available", "status": finding.status, "lastTransitionTime": since,
            "reason": finding.reason, "message": finding.message }));
        object.set(&["status", "conditions"], next);
        let options = WriteOptions {
            field_manager: "kube-apiserver".to_owned(),
            field_validation: FieldValidation::Ignore,
            ..WriteOptions::default()
        };
        let input = Input { value: object.into_value(), ..Input::default() };
        match self.registry.update(&call, input, &options).await {
            Err(status) if matches!(status.reason(), Reason::Conflict | Reason::NotFound) => Ok(()),
            written => written.map(|_| ()),
        }
    }
}

fn leads_somewhere(slice: &Value, port_name: &str) -> bool {
    let list = |key: &str| slice.get(key).and_then(Value::as_array).into_iter().flatten();
    let ready = |endpoint: &Value| endpoint.pointer("/conditions/ready") != Some(&Value::Bool(false));
    let named = |port: &Value| {
        port.get("name").and_then(Value::as_str).unwrap_or_default() == port_name && port.get("port").is_some()
    };
    list("endpoints").any(ready) && list("ports").any(named)
}
