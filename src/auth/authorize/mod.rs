//! May they: the authorizers, one after another in the order of `--authorization-mode`, and the text of a refusal.
//! `system:masters` may everything, whatever the modes.

mod node;
pub mod rbac;

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{Attributes, Authorizer, Decision, Rules};
use crate::api::field::go_quote;
use crate::api::request::User;
use crate::api::{GroupResource, Status};
use crate::storage::Store;

pub use node::{NodeAuthorizer, identity as node_identity, references_secrets};
pub use rbac::Rbac;

/// The group whose members may everything.
pub const SUPERUSERS: &str = "system:masters";

/// The kinds of authorizers, as `--authorization-mode` names them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Node,
    Rbac,
    AlwaysAllow,
    AlwaysDeny,
}

/// The default of `--authorization-mode`.
pub const DEFAULT_MODES: [Mode; 2] = [Mode::Node, Mode::Rbac];

impl Mode {
    /// Reads a list of modes.
    ///
    /// # Errors
    /// Upstream's text for an empty list, an unknown mode and one that is there twice.
    pub fn parse_all(names: &[String]) -> Result<Vec<Self>, String> {
        if names.iter().all(String::is_empty) {
            return Err("at least one authorization-mode must be passed".to_owned());
        }
        let mut modes = Vec::new();
        for name in names {
            let mode = match name.as_str() {
                "Node" => Self::Node,
                "RBAC" => Self::Rbac,
                "AlwaysAllow" => Self::AlwaysAllow,
                "AlwaysDeny" => Self::AlwaysDeny,
                "ABAC" | "Webhook" => {
                    let there = "Node, RBAC, AlwaysAllow, AlwaysDeny";
                    return Err(format!("authorization-mode {name} is not supported: choose among {there}"));
                }
                _ => return Err(format!("authorization-mode {} is not a valid mode", go_quote(name))),
            };
            if modes.contains(&mode) {
                let all: Vec<_> = names.iter().map(|name| go_quote(name)).collect();
                return Err(format!("authorization-mode [{}] has mode specified more than once", all.join(" ")));
            }
            modes.push(mode);
        }
        Ok(modes)
    }

    /// Before the reasons that its authorizer gives, when none had an opinion (upstream from v1.37).
    fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Rbac => "rbac",
            Self::AlwaysAllow => "alwaysallow",
            Self::AlwaysDeny => "alwaysdeny",
        }
    }
}

/// Asks authorizers in order until one has an opinion.
pub struct Union {
    members: Vec<(Mode, Arc<dyn Authorizer>)>,
}

/// The authorizer for a list of modes.
pub fn authorizer(modes: &[Mode], store: &Arc<dyn Store>) -> Arc<dyn Authorizer> {
    let member = |mode: &Mode| -> (Mode, Arc<dyn Authorizer>) {
        let authorizer: Arc<dyn Authorizer> = match mode {
            Mode::Node => Arc::new(NodeAuthorizer::new(store.clone())),
            Mode::Rbac => Arc::new(Rbac::new(store.clone())),
            Mode::AlwaysAllow => Arc::new(Always(true)),
            Mode::AlwaysDeny => Arc::new(Always(false)),
        };
        (*mode, authorizer)
    };
    Arc::new(Union::new(modes.iter().map(member).collect()))
}

impl Union {
    /// Members in the order in which they are asked.
    pub fn new(members: Vec<(Mode, Arc<dyn Authorizer>)>) -> Self {
        Self { members }
    }
}

impl Authorizer for Union {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        Box::pin(async move {
            if attributes.user.in_group(SUPERUSERS) {
                return Decision::Allow { reason: String::new() };
            }
            let mut reasons = Vec::new();
            for (mode, member) in &self.members {
                match member.authorize(attributes).await {
                    Decision::NoOpinion { reason } if reason.is_empty() => {}
                    Decision::NoOpinion { reason } => reasons.push(format!("{}: {reason}", mode.name())),
                    decided @ (Decision::Allow { .. } | Decision::Deny { .. }) => return decided,
                }
            }
            Decision::NoOpinion { reason: reasons.join("\n") }
        })
    }

    fn rules(&self, user: &User, namespace: &str) -> Rules {
        let mut all = Rules::default();
        let mut errors = Vec::new();
        for part in self.members.iter().map(|(_, member)| member.rules(user, namespace)) {
            all.rules.extend(part.rules);
            all.incomplete |= part.incomplete;
            errors.extend((!part.error.is_empty()).then_some(part.error));
        }
        all.error = if errors.len() > 1 { format!("[{}]", errors.join(", ")) } else { errors.concat() };
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

    #[test]
    fn masters_may_everything_even_where_everything_is_denied() {
        let deny = Union::new(vec![(Mode::AlwaysDeny, Arc::new(Always(false)))]);
        let master = User { groups: vec![SUPERUSERS.to_owned()], ..User::default() };
        assert_eq!(decide(&deny, &master), Decision::Allow { reason: String::new() });
        let reason = "alwaysdeny: Everything is forbidden.".to_owned();
        assert_eq!(decide(&deny, &User::default()), Decision::NoOpinion { reason });
    }

    #[test]
    fn the_first_opinion_counts() {
        let members: [(Mode, Arc<dyn Authorizer>); 2] =
            [(Mode::AlwaysDeny, Arc::new(Always(false))), (Mode::AlwaysAllow, Arc::new(Always(true)))];
        let union = Union::new(members.into());
        assert_eq!(decide(&union, &User::default()), Decision::Allow { reason: String::new() });
    }

    #[test]
    fn unknown_and_repeated_modes_are_refused_in_upstreams_words() {
        let parse = |text: &str| Mode::parse_all(&text.split(',').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(parse("Node,RBAC"), Ok(DEFAULT_MODES.to_vec()));
        assert_eq!(parse("rbac"), Err(r#"authorization-mode "rbac" is not a valid mode"#.to_owned()));
        assert_eq!(parse(""), Err("at least one authorization-mode must be passed".to_owned()));
        let absent = "authorization-mode Webhook is not supported: choose among Node, RBAC, AlwaysAllow, AlwaysDeny";
        assert_eq!(parse("Node,Webhook"), Err(absent.to_owned()));
        let twice = r#"authorization-mode ["RBAC" "RBAC"] has mode specified more than once"#;
        assert_eq!(parse("RBAC,RBAC"), Err(twice.to_owned()));
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
