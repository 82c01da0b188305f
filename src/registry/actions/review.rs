//! The reviews of authentication and authorization: decoded and admitted like any create, answered by `auth`, never
//! stored.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{Action, Row};
use crate::admission::Operation;
use crate::api::request::WriteOptions;
use crate::api::{Object, Result};
use crate::auth::authenticate::Authenticators;
use crate::auth::review::{self, Access};
use crate::registry::admit::Admission;
use crate::registry::{Answer, Call, Input, Registry, Written};

/// What is asked.
enum Question {
    Access(Access),
    Rules,
    Myself,
    Token(Arc<Authenticators>),
}

/// The rows of all reviews. Token reviews ask the same authenticators as requests do.
pub fn reviews(authenticators: &Arc<Authenticators>) -> Vec<Row> {
    let row = |group, resource, question| Row { group, resource, subresource: "", action: Arc::new(Review(question)) };
    let authorization = |resource, question| row("authorization.k8s.io", resource, question);
    let authentication = |resource, question| row("authentication.k8s.io", resource, question);
    vec![
        authorization("subjectaccessreviews", Question::Access(Access::Subject)),
        authorization("selfsubjectaccessreviews", Question::Access(Access::Myself)),
        authorization("localsubjectaccessreviews", Question::Access(Access::Local)),
        authorization("selfsubjectrulesreviews", Question::Rules),
        authentication("selfsubjectreviews", Question::Myself),
        authentication("tokenreviews", Question::Token(authenticators.clone())),
    ]
}

struct Review(Question);

impl Action for Review {
    fn run<'a>(
        &'a self,
        registry: &'a Registry,
        call: &'a Call,
        input: Input,
        options: &'a WriteOptions,
    ) -> BoxFuture<'a, Result<Written>> {
        Box::pin(async move {
            let mut object = registry.decode_as(call, &call.kind.gvk, input, options.field_validation)?;
            let admission = Admission { operation: Operation::Create, call, old: None, dry_run: options.dry_run };
            registry.admit(admission, Some(&mut object)).await?;
            registry.admit_finally(admission, Some(&mut object)).await?;
            let answer = self.answer(registry, call, object).await?;
            Ok(Written { answer: Answer::Object(answer), created: true })
        })
    }
}

impl Review {
    async fn answer(&self, registry: &Registry, call: &Call, object: Object) -> Result<Object> {
        let authorizer = &*registry.admission.authorizer;
        match &self.0 {
            Question::Access(access) => {
                review::access((*access, &call.target.namespace), authorizer, &call.user, object).await
            }
            Question::Rules => review::rules(authorizer, &call.user, &object),
            Question::Myself => Ok(review::myself(&call.user, &object, registry.moment().now)),
            Question::Token(authenticators) => review::token(authenticators, object),
        }
    }
}
