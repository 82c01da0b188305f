//! `serviceaccounts/token`: a token for a ServiceAccount (K `pkg/registry/core/serviceaccount/storage/token.go`).

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{Action, Row};
use crate::admission::Operation;
use crate::api::request::WriteOptions;
use crate::api::{GroupVersionKind, Result};
use crate::auth::Tokens;
use crate::registry::admit::Admission;
use crate::registry::{Answer, Call, Input, Registry, Written};

const TOKEN_REQUEST: GroupVersionKind = GroupVersionKind::of("authentication.k8s.io", "v1", "TokenRequest");

/// The row of `serviceaccounts/token`.
pub fn token(tokens: Tokens) -> Row {
    Row { group: "", resource: "serviceaccounts", subresource: "token", action: Arc::new(Token(tokens)) }
}

struct Token(Tokens);

impl Action for Token {
    fn run<'a>(
        &'a self,
        registry: &'a Registry,
        call: &'a Call,
        input: Input,
        options: &'a WriteOptions,
    ) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            let mut request = registry.decode_as(call, &TOKEN_REQUEST, input, options.field_validation)?;
            let account = registry.find(call)?;
            let admission = Admission { operation: Operation::Create, call, old: None, dry_run: options.dry_run };
            registry.admit(admission, Some(&mut request)).await?;
            registry.admit_finally(admission, Some(&mut request)).await?;
            let snapshot = registry.store().snapshot();
            let (answer, warnings) = self.0.request((&snapshot, &account), request, registry.moment().now)?;
            warnings.into_iter().for_each(|warning| call.warnings.add(warning));
            Ok(Written { answer: Answer::Object(answer), created: true })
        })
    }
}
