//! Creates that store nothing and need what only `auth` knows: reviews and ServiceAccount tokens.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::api::request::WriteOptions;
use crate::api::{GroupVersionKind, Object, Result, Status};
use crate::auth::authenticate::Authenticators;
use crate::auth::review::{self, Access};
use crate::auth::{Authorizer, Tokens};
use crate::base::Clock;
use crate::registry::{Action, Answer, Call, Input, Registry, Row, Written};
use crate::storage::Key;

const AUTHORIZATION: &str = "authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
const TOKEN_REQUEST: GroupVersionKind = GroupVersionKind::of(AUTHENTICATION, "v1", "TokenRequest");

/// What the actions share.
pub(super) struct Reviews {
    pub authorizer: Arc<dyn Authorizer>,
    pub authenticators: Arc<Authenticators>,
    pub tokens: Tokens,
    pub clock: Arc<dyn Clock>,
}

/// Which of them a row is.
#[derive(Clone, Copy)]
enum Question {
    Access(Access),
    Rules,
    Myself,
    Token,
    TokenRequest,
}

struct Ask {
    question: Question,
    reviews: Arc<Reviews>,
}

/// The rows for the registry's table.
pub(super) fn rows(reviews: Reviews) -> Vec<Row> {
    let reviews = Arc::new(reviews);
    let row = |group, resource, question| Row {
        group,
        resource,
        subresource: "",
        action: Arc::new(Ask { question, reviews: reviews.clone() }),
    };
    vec![
        row(AUTHORIZATION, "subjectaccessreviews", Question::Access(Access::Subject)),
        row(AUTHORIZATION, "selfsubjectaccessreviews", Question::Access(Access::Myself)),
        row(AUTHORIZATION, "localsubjectaccessreviews", Question::Access(Access::Local)),
        row(AUTHORIZATION, "selfsubjectrulesreviews", Question::Rules),
        row(AUTHENTICATION, "selfsubjectreviews", Question::Myself),
        row(AUTHENTICATION, "tokenreviews", Question::Token),
        Row { subresource: "token", ..row("", "serviceaccounts", Question::TokenRequest) },
    ]
}

impl Action for Ask {
    fn run<'a>(
        &'a self,
        registry: &'a Registry,
        call: &'a Call,
        input: Input,
        options: &'a WriteOptions,
    ) -> BoxFuture<'a, Result<Written>> {
        async move {
            let gvk = match self.question {
                Question::TokenRequest => &TOKEN_REQUEST,
                Question::Access(_) | Question::Rules | Question::Myself | Question::Token => &call.kind.gvk,
            };
            let asked = registry.decode_as(call, gvk, input, options.field_validation)?;
            let answer = self.answer(registry, call, asked).await?;
            Ok(Written { answer: Answer::Object(answer), created: true })
        }
        .boxed()
    }
}

impl Ask {
    async fn answer(&self, registry: &Registry, call: &Call, asked: Object) -> Result<Object> {
        let reviews = &self.reviews;
        let authorizer = &*reviews.authorizer;
        match self.question {
            Question::Access(access) => {
                review::access((access, &call.target.namespace), authorizer, &call.user, asked).await
            }
            Question::Rules => review::rules(authorizer, &call.user, &asked),
            Question::Myself => Ok(review::myself(&call.user, &asked, reviews.clock.now())),
            Question::Token => review::token(&reviews.authenticators, asked),
            Question::TokenRequest => self.token(registry, call, asked),
        }
    }

    fn token(&self, registry: &Registry, call: &Call, asked: Object) -> Result<Object> {
        let key = Key {
            collection: call.kind.collection.clone(),
            namespace: Arc::from(call.target.namespace.as_str()),
            name: Arc::from(call.target.name.as_str()),
        };
        let snapshot = registry.store().snapshot();
        let missing = || Status::not_found(&call.kind.group_resource(), &call.target.name);
        let account = snapshot.get(&key).ok_or_else(missing)?;
        let now = self.reviews.clock.now();
        let (answer, warnings) = self.reviews.tokens.request((&snapshot, account), asked, now)?;
        for warning in warnings {
            call.warnings.add(warning);
        }
        Ok(answer)
    }
}
