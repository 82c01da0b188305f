//! Runs the admission plugins over one write.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::definitions::server_itself;
use super::{Call, Input, Registry};
use crate::admission::measures::{Phase, Step};
use crate::admission::{Attributes, Operation, Reinvocation};
use crate::api::request::{Options, Target, WriteOptions};
use crate::api::{Object, Reason, Result, Status};
use crate::auth::{self, Denied};
use crate::storage::Write;

/// What plugins look at; the object itself is given to each phase.
#[derive(Clone, Copy)]
pub(super) struct Admission<'a> {
    pub operation: Operation,
    pub call: &'a Call,
    pub old: Option<&'a Object>,
    pub options: Options<'a>,
    pub dry_run: bool,
}

impl Registry {
    /// A PUT or apply that creates needs the right to create.
    pub(super) async fn authorize_create(&self, call: &Call) -> Result<()> {
        let target = &call.target;
        let attributes = auth::Attributes {
            user: Arc::clone(&call.user),
            verb: "create".to_owned(),
            resource_request: true,
            group: target.group.clone(),
            version: target.version.clone(),
            resource: target.resource.clone(),
            subresource: target.subresource.clone(),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            ..auth::Attributes::default()
        };
        let decision = self.admission.authorizer.authorize(&attributes).await;
        decision.allowed().map_err(|Denied { reason, error }| match error {
            Some(error) => Status::internal(error),
            None => auth::authorize::refusal(&attributes, &reason),
        })
    }

    /// The mutating phase: plugins may change the object and add companions.
    pub(super) async fn admit(&self, a: Admission<'_>, object: Option<&mut Object>) -> Result<Vec<Write>> {
        let mut attributes = attributes(a, object);
        let began = self.clock.monotonic();
        let done = async {
            self.in_turn(&mut attributes, Phase::Admit).await?;
            // What was changed from outside goes through all plugins once more.
            if attributes.reinvocation.begin() {
                attributes.companions.clear();
                self.in_turn(&mut attributes, Phase::Admit).await?;
            }
            Ok(())
        }
        .await;
        self.count(a.operation, (Phase::Admit, began), &done);
        done.map(|()| settle(a, attributes))
    }

    /// Between preparing and validating: addresses and ports.
    pub(super) async fn allocate(&self, a: Admission<'_>, object: Option<&mut Object>) -> Result<Vec<Write>> {
        let mut attributes = attributes(a, object);
        for plugin in &self.plugins {
            if plugin.handles(a.operation, &a.call.kind, &a.call.target.subresource)
                && let Some(done) = plugin.allocate(&self.admission, &mut attributes).done().await
            {
                done?;
            }
        }
        Ok(settle(a, attributes))
    }

    /// The validating phase: plugins may refuse and add companions.
    pub(super) async fn admit_finally(&self, a: Admission<'_>, object: Option<&mut Object>) -> Result<Vec<Write>> {
        let mut attributes = attributes(a, object);
        let began = self.clock.monotonic();
        let done = self.in_turn(&mut attributes, Phase::Validate).await;
        self.count(a.operation, (Phase::Validate, began), &done);
        done.map(|()| settle(a, attributes))
    }

    /// One plugin after another, up to the first refusal.
    async fn in_turn(&self, attributes: &mut Attributes<'_>, phase: Phase) -> Result<()> {
        let operation = attributes.operation;
        let mut began = self.clock.monotonic();
        for (place, plugin) in self.plugins.iter().enumerate() {
            if !plugin.handles(operation, attributes.kind, &attributes.target.subresource) {
                continue;
            }
            let answer = match phase {
                Phase::Admit => plugin.admit(&self.admission, attributes),
                Phase::Validate => plugin.validate(&self.admission, attributes),
            };
            let Some(done) = answer.done().await else { continue };
            let now = self.clock.monotonic();
            let step = Step { phase, operation, rejected: done.is_err() };
            self.admission.measures.plugins.observe((place, step), now.saturating_sub(began).as_secs_f64());
            began = now;
            done?;
            if let Some(namespace) = attributes.missing_namespace.take() {
                self.provide_namespace(attributes, &namespace).await?;
            }
        }
        Ok(())
    }

    /// Creates a namespace as the server itself, through all plugins, unless somebody was quicker.
    async fn provide_namespace(&self, attributes: &Attributes<'_>, name: &str) -> Result<()> {
        let served = self.catalog.served();
        let kind = served.find("", "v1", "namespaces").cloned().ok_or_else(|| attributes.forbidden("not served"))?;
        let target = Target {
            group: String::new(),
            version: "v1".to_owned(),
            resource: "namespaces".to_owned(),
            subresource: String::new(),
            namespace: String::new(),
            name: String::new(),
        };
        let call = Call::new(server_itself(), target, kind);
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        let input = Input { value: namespace, ..Input::default() };
        let options = WriteOptions { field_manager: "kube-apiserver".to_owned(), ..WriteOptions::default() };
        // A namespace is in none, so that this goes no further down.
        match Box::pin(self.create(&call, input, &options)).await {
            Err(status) if status.reason() == Reason::AlreadyExists => Ok(()),
            Err(status) if status.reason() == Reason::Forbidden => Err(status),
            Err(status) => Err(attributes.forbidden(status.message())),
            Ok(_) => Ok(()),
        }
    }

    fn count(&self, operation: Operation, (phase, began): (Phase, Duration), done: &Result<()>) {
        let took = self.clock.monotonic().saturating_sub(began);
        let step = Step { phase, operation, rejected: done.is_err() };
        self.admission.measures.phases.observe(step, took.as_secs_f64());
    }
}

fn attributes<'a>(a: Admission<'a>, object: Option<&'a mut Object>) -> Attributes<'a> {
    Attributes {
        operation: a.operation,
        user: &a.call.user,
        target: &a.call.target,
        kind: &a.call.kind,
        object,
        old: a.old,
        options: a.options,
        dry_run: a.dry_run,
        reinvocation: Reinvocation::default(),
        annotations: Vec::new(),
        warnings: Vec::new(),
        missing_namespace: None,
        companions: Vec::new(),
    }
}

fn settle(a: Admission<'_>, attributes: Attributes<'_>) -> Vec<Write> {
    for warning in attributes.warnings {
        a.call.warnings.add(warning);
    }
    for (key, value) in attributes.annotations {
        tracing::debug!(target: "audit", %key, %value, "a request is annotated");
    }
    attributes.companions
}
