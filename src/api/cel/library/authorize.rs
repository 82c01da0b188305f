//! Checks against the authorizer.

use std::sync::Arc;

use super::super::authorizer::{Check, Step};
use super::super::error::Error;
use super::super::value::Value;
use crate::api::validation::names;

pub(super) const NAMES: &[&str] = &[
    "path",
    "group",
    "serviceAccount",
    "resource",
    "subresource",
    "namespace",
    "name",
    "check",
    "errored",
    "error",
    "allowed",
    "reason",
    "fieldSelector",
    "labelSelector",
];

pub(super) fn run<'a>(name: &str, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [Value::Authorization(check), rest @ ..] = args else { return Err(Error::refused()) };
    let of = |step: Step, change: &dyn Fn(&mut Check<'a>)| {
        let mut next = (**check).clone();
        next.step = step;
        change(&mut next);
        Ok(Value::Authorization(Arc::new(next)))
    };
    match (name, check.step, rest) {
        ("path", Step::Authorizer, [Value::String(path)]) if path.trim().is_empty() => {
            Err(Error::new("path must not be empty"))
        }
        ("path", Step::Authorizer, [Value::String(path)]) => {
            of(Step::Path, &|next| next.request.path = Some(path.to_string()))
        }
        ("group", Step::Authorizer, [Value::String(group)]) => {
            of(Step::Group, &|next| next.request.group = group.to_string())
        }
        ("serviceAccount", Step::Authorizer, [Value::String(namespace), Value::String(name)]) => {
            if !names::subdomain_name(name, false).is_empty() {
                return Err(Error::new("Invalid service account name"));
            }
            if !names::label_name(namespace, false).is_empty() {
                return Err(Error::new("Invalid service account namespace"));
            }
            let account = (namespace.to_string(), name.to_string());
            of(Step::Authorizer, &|next| next.request.service_account = Some(account.clone()))
        }
        ("resource", Step::Group, [Value::String(resource)]) if resource.trim().is_empty() => {
            Err(Error::new("resource must not be empty"))
        }
        ("resource", Step::Group, [Value::String(resource)]) => {
            of(Step::Resource, &|next| next.request.resource = resource.to_string())
        }
        (_, Step::Resource, [Value::String(text)]) if name != "check" => of(Step::Resource, &|next| {
            let text = text.to_string();
            match name {
                "subresource" => next.request.subresource = text,
                "namespace" => next.request.namespace = text,
                "name" => next.request.name = text,
                "fieldSelector" => next.request.field_selector = text,
                _ => next.request.label_selector = text,
            }
        }),
        ("check", Step::Path | Step::Resource, [Value::String(verb)]) => {
            Ok(Value::Authorization(Arc::new(check.decide(verb))))
        }
        ("errored", Step::Decision, []) => Ok(Value::Bool(check.decision.error.is_some())),
        ("error", Step::Decision, []) => Ok(Value::text(check.decision.error.clone().unwrap_or_default())),
        ("allowed", Step::Decision, []) => Ok(Value::Bool(check.decision.allowed)),
        ("reason", Step::Decision, []) => Ok(Value::text(check.decision.reason.as_str())),
        _ => Err(Error::refused()),
    }
}
