//! Creates that store nothing and need what only `auth` knows: reviews and ServiceAccount tokens.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::api::{GroupVersionKind, Object, Result, Status};
use crate::auth::authenticate::Authenticators;
use crate::auth::review::{self, Access};
use crate::auth::{Authorizer, Tokens};
use crate::base::Clock;
use crate::registry::{Action, Order, Row};
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
    fn payload(&self) -> Option<GroupVersionKind> {
        match self.question {
            Question::TokenRequest => Some(TOKEN_REQUEST),
            Question::Access(_) | Question::Rules | Question::Myself | Question::Token => None,
        }
    }

    fn keeps_system_fields(&self) -> bool {
        matches!(self.question, Question::TokenRequest)
    }

    fn default(&self, object: &mut Object) {
        if matches!(self.question, Question::TokenRequest) {
            Tokens::default_request(object);
        }
    }

    fn run<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Object>> {
        async move {
            match self.question {
                Question::TokenRequest => self.token(order).await,
                Question::Access(_) | Question::Rules | Question::Myself | Question::Token => self.answer(order).await,
            }
        }
        .boxed()
    }
}

impl Ask {
    async fn answer(&self, order: Order<'_>) -> Result<Object> {
        let reviews = &self.reviews;
        let authorizer = &*reviews.authorizer;
        let call = order.call;
        match self.question {
            Question::Access(access) => review::check_access((access, &call.target.namespace), &order.object)?,
            Question::Rules => review::check_rules(&order.object)?,
            Question::Token => review::check_token(&order.object)?,
            Question::Myself | Question::TokenRequest => {}
        }
        order.admit_finally().await?;
        let asked = order.object;
        Ok(match self.question {
            Question::Access(access) => review::access(access, authorizer, &call.user, asked).await,
            Question::Rules => review::rules(authorizer, &call.user, &asked),
            Question::Token => review::token(&reviews.authenticators, asked).await,
            Question::Myself | Question::TokenRequest => review::myself(&call.user, &asked, reviews.clock.now()),
        })
    }

    async fn token(&self, mut order: Order<'_>) -> Result<Object> {
        let call = order.call;
        let key = Key {
            collection: call.kind.collection.clone(),
            namespace: Arc::from(call.target.namespace.as_str()),
            name: Arc::from(call.target.name.as_str()),
        };
        let snapshot = order.registry.store().snapshot();
        let missing = || Status::not_found(&call.kind.group_resource(), &call.target.name);
        let account = snapshot.get(&key).ok_or_else(missing)?.clone();
        let now = self.reviews.clock.now();
        self.reviews.tokens.check(&account, &mut order.object, now)?;
        order.admit_finally().await?;
        let (answer, warnings) = self.reviews.tokens.issue((&snapshot, &account), order.object, now)?;
        for warning in warnings {
            call.warnings.add(warning);
        }
        Ok(answer)
    }
}
