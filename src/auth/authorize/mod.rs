//! May they: the authorizers, one after another in the order of `--authorization-mode` or of the file that
//! `--authorization-config` names, and the text of a refusal.
//! `system:masters` may everything, whatever the modes.

mod abac;
mod chain;
mod conditions;
mod configuration;
pub mod measures;
mod node;
pub mod rbac;
mod settings;
mod webhook;

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{Attributes, Authorizer, Decision, Rules};
use crate::api::cel::admission::aggregate;
use crate::api::field::go_quote;
use crate::api::request::User;
use crate::api::{GroupResource, Status};
use measures::Measures;

pub use chain::Chain;
pub use node::{NodeAuthorizer, identity as node_identity, references_secrets};
pub use rbac::Rbac;
pub use settings::Settings;

/// The group whose members may everything.
pub const SUPERUSERS: &str = "system:masters";

/// The kinds of authorizers, as `--authorization-mode` names them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mode {
    Node,
    Rbac,
    Abac,
    Webhook,
    AlwaysAllow,
    AlwaysDeny,
}

/// What `--authorization-mode` is where it is not given.
const DEFAULT_MODES: [Mode; 2] = [Mode::Node, Mode::Rbac];

impl Mode {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::AlwaysAllow, Self::AlwaysDeny, Self::Abac, Self::Webhook, Self::Rbac, Self::Node];

    /// As the flag and files name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Rbac => "RBAC",
            Self::Abac => "ABAC",
            Self::Webhook => "Webhook",
            Self::AlwaysAllow => "AlwaysAllow",
            Self::AlwaysDeny => "AlwaysDeny",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }

    /// What its authorizer is called where there can be only one of the kind.
    fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Rbac => "rbac",
            Self::Abac => "abac",
            Self::Webhook => "webhook",
            Self::AlwaysAllow => "alwaysallow",
            Self::AlwaysDeny => "alwaysdeny",
        }
    }
}

/// An authorizer that flags or a file name.
#[derive(Debug)]
struct Configured {
    mode: Mode,
    name: String,
    /// Of a webhook.
    webhook: Option<webhook::Settings>,
}

/// Asks authorizers in order until one has an opinion.
pub struct Union {
    members: Vec<(Mode, String, Arc<dyn Authorizer>)>,
    measures: Arc<Measures>,
}

impl Union {
    /// Members with their names in the order in which they are asked.
    fn new(members: Vec<(Mode, String, Arc<dyn Authorizer>)>, measures: Arc<Measures>) -> Self {
        Self { members, measures }
    }
}

impl Authorizer for Union {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        Box::pin(async move {
            if attributes.user.in_group(SUPERUSERS) {
                return Decision::Allow { reason: String::new() };
            }
            let (mut reasons, mut errors) = (Vec::new(), Vec::new());
            for (mode, name, member) in &self.members {
                let decision = member.authorize(attributes).await;
                self.measures.decided((*mode, name), &decision);
                let reason = match decision {
                    Decision::NoOpinion { reason } => reason,
                    // Somebody else may know better.
                    Decision::Failed { denied: false, reason, error } => {
                        errors.push(error);
                        reason
                    }
                    decided @ (Decision::Allow { .. } | Decision::Deny { .. } | Decision::Failed { .. }) => {
                        return decided;
                    }
                };
                if !reason.is_empty() {
                    // Upstream names who gives a reason from v1.37.
                    reasons.push(format!("{name}: {reason}"));
                }
            }
            let reason = reasons.join("\n");
            match errors.is_empty() {
                true => Decision::NoOpinion { reason },
                false => Decision::Failed { denied: false, reason, error: aggregate(&errors) },
            }
        })
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        let mut all = Rules::default();
        let mut errors = Vec::new();
        for part in self.members.iter().map(|(_, _, member)| member.rules(user, namespace)) {
            all.rules.extend(part.rules);
            all.incomplete |= part.incomplete;
            errors.extend((!part.error.is_empty()).then_some(part.error));
        }
        all.error = if errors.is_empty() { String::new() } else { aggregate(&errors) };
        all
    }
}

/// `AlwaysAllow` and `AlwaysDeny`.
struct Always(bool);

impl Authorizer for Always {
    fn authorize<'a>(&'a self, _: &'a Attributes) -> BoxFuture<'a, Decision> {
        let decision = match self.0 {
            true => Decision::Allow { reason: String::new() },
            false => Decision::NoOpinion { reason: "Everything is forbidden.".to_owned() },
        };
        Box::pin(std::future::ready(decision))
    }

    fn rules(&self, _: &User, _: &str) -> Rules {
        let rules = if self.0 { rbac::full_authority().to_vec() } else { Vec::new() };
        Rules { rules, ..Rules::default() }
    }
}

/// The 403 for a request that no authorizer allowed.
pub fn refusal(attributes: &Attributes, reason: &str) -> Status {
    let (user, verb) = (go_quote(&attributes.user.name), &attributes.verb);
    let mut message = if attributes.resource_request {
        let resource = match attributes.subresource.as_str() {
            "" => attributes.resource.clone(),
            sub => format!("{}/{sub}", attributes.resource),
        };
        let scope = match attributes.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {}", go_quote(namespace)),
        };
        let (resource, group) = (go_quote(&resource), go_quote(&attributes.group));
        format!("User {user} cannot {verb} resource {resource} in API group {group} {scope}")
    } else {
        format!("User {user} cannot {verb} path {}", go_quote(&attributes.path))
    };
    // Upstream keeps refusals from looking like HTML.
    message = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    if !reason.is_empty() {
        message.push_str(": ");
        message.push_str(reason);
    }
    let resource =
        GroupResource { group: attributes.group.clone().into(), resource: attributes.resource.clone().into() };
    Status::forbidden(&resource, &attributes.name, &message)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn decide(authorizer: &dyn Authorizer, user: &User) -> Decision {
        let attributes = Attributes { user: user.clone().into(), verb: "get".to_owned(), ..Attributes::default() };
        authorizer.authorize(&attributes).now_or_never().unwrap()
    }

    fn union(members: [(Mode, Arc<dyn Authorizer>); 2]) -> Union {
        let named = |(mode, member): (Mode, _)| (mode, mode.name().to_owned(), member);
        Union::new(members.into_iter().map(named).collect(), Arc::default())
    }

    #[test]
    fn masters_may_everything_even_where_everything_is_denied() {
        let deny: Arc<dyn Authorizer> = Arc::new(Always(false));
        let deny = union([(Mode::AlwaysDeny, deny.clone()), (Mode::AlwaysDeny, deny)]);
        let master = User { groups: vec![SUPERUSERS.to_owned()], ..User::default() };
        assert_eq!(decide(&deny, &master), Decision::Allow { reason: String::new() });
        let reason = "alwaysdeny: Everything is forbidden.".to_owned();
        assert_eq!(decide(&deny, &User::default()), Decision::NoOpinion { reason: format!("{reason}\n{reason}") });
    }

    #[test]
    fn the_first_opinion_counts() {
        let union = union([(Mode::AlwaysDeny, Arc::new(Always(false))), (Mode::AlwaysAllow, Arc::new(Always(true)))]);
        assert_eq!(decide(&union, &User::default()), Decision::Allow { reason: String::new() });
    }

    /// Cannot find out.
    struct Broken;

    impl Authorizer for Broken {
        fn authorize<'a>(&'a self, _: &'a Attributes) -> BoxFuture<'a, Decision> {
            let (reason, error) = (String::new(), "broken".to_owned());
            Box::pin(std::future::ready(Decision::Failed { denied: false, reason, error }))
        }
    }

    #[test]
    fn a_failure_counts_when_nobody_else_knows() {
        let members = |last: bool| -> [(Mode, Arc<dyn Authorizer>); 2] {
            [(Mode::Webhook, Arc::new(Broken)), (Mode::AlwaysAllow, Arc::new(Always(last)))]
        };
        let allowed = decide(&union(members(true)), &User::default());
        assert_eq!(allowed, Decision::Allow { reason: String::new() });
        let failed = decide(&union(members(false)), &User::default());
        let reason = "alwaysallow: Everything is forbidden.".to_owned();
        assert_eq!(failed, Decision::Failed { denied: false, reason, error: "broken".to_owned() });
    }

    #[test]
    fn a_refusal_says_who_cannot_what_and_where() {
        let mut attributes = Attributes {
            user: User { name: "bob".to_owned(), ..User::default() }.into(),
            verb: "list".to_owned(),
            resource_request: true,
            resource: "pods".to_owned(),
            subresource: "log".to_owned(),
            namespace: "web".to_owned(),
            ..Attributes::default()
        };
        let message = r#"pods is forbidden: User "bob" cannot list resource "pods/log" in API group "" in the namespace "web": no"#;
        assert_eq!(refusal(&attributes, "no").message(), message);
        attributes.resource_request = false;
        attributes.resource.clear();
        attributes.path = "/metrics".to_owned();
        assert_eq!(refusal(&attributes, "").message(), r#"forbidden: User "bob" cannot list path "/metrics""#);
    }
}
