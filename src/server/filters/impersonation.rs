//! `Impersonate-*` headers: may the user act as somebody else in this request. The constrained modes are tried first
//! (apiserver `endpoints/filters/impersonation`), each for its kind of identity; last comes the verb `impersonate`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::api::field::{FieldError, Path};
use crate::api::request::User;
use crate::api::validation::names;
use crate::api::{Result, Status};
use crate::auth::authorize::refusal;
use crate::auth::{Attributes, Authorizer, Denied};
use crate::server::Server;
use crate::server::message::Request;
use crate::server::query::percent_decode;

const EXTRA_PREFIX: &str = "impersonate-extra-";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";
const ANONYMOUS: &str = "system:anonymous";
const NODES: &str = "system:nodes";
const MASTERS: &str = "system:masters";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
const NODE_KEYS: &str = "authentication.kubernetes.io/associated-node-keys";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// From so many groups or extra values on, one question about all of them is asked before those about each.
const MANY: usize = 4;

/// A way of impersonating, in the order in which they are tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// The node of the pod whose ServiceAccount asks.
    AssociatedNode,
    ArbitraryNode,
    ServiceAccount,
    UserInfo,
    /// With the bare verb `impersonate`, whatever the request is.
    Legacy,
}

const MODES: [Mode; 5] =
    [Mode::AssociatedNode, Mode::ArbitraryNode, Mode::ServiceAccount, Mode::UserInfo, Mode::Legacy];

/// Which way each user impersonated last: it is tried first the next time, which decides who `system:node:a` is when
/// two ways are open (v1.37).
#[derive(Default)]
pub(in crate::server) struct LastModes {
    /// Protects the modes by user; held for a look. When there are too many, all are forgotten.
    by_user: Mutex<HashMap<String, Mode>>,
}

/// How many users are remembered.
const USERS_MAX: usize = 10_000;

impl LastModes {
    fn of(&self, user: &str) -> Option<Mode> {
        self.by_user.lock().get(user).copied()
    }

    fn set(&self, user: &str, mode: Mode) {
        let mut modes = self.by_user.lock();
        if modes.get(user) == Some(&mode) {
            return;
        }
        if modes.len() >= USERS_MAX {
            modes.clear();
        }
        modes.insert(user.to_owned(), mode);
    }
}

/// The user that the request acts as. `asked` gives the request as authorization sees it, of the user who sent it.
///
/// # Errors
/// 400 for parts of an identity without a user, 403 for what the user may not impersonate.
pub(super) async fn impersonate(
    server: &Server,
    request: &Request,
    (user, asked): (Arc<User>, impl FnOnce(&Arc<User>) -> Attributes),
) -> Result<Arc<User>> {
    let wish = Wish::of(request);
    if wish.user.is_empty() {
        let nothing = wish.groups.is_empty() && wish.extra.is_empty() && wish.uid.is_empty();
        return if nothing { Ok(user) } else { Err(Status::bad_request(wish.without_user())) };
    }
    let asked = asked(&user);
    let authorizer = &*server.parts().authorizer;
    let mut first = None;
    let constrained = server.parts().registry.enabled("ConstrainedImpersonation");
    let last = server.last_modes().of(&user.name);
    let others = MODES.into_iter().filter(|mode| Some(*mode) != last);
    for mode in last.into_iter().chain(others).filter(|mode| constrained || *mode == Mode::Legacy) {
        if !mode.is_for(&wish, &asked.user) {
            continue;
        }
        match mode.check(&wish, &asked, authorizer).await {
            Ok(()) => {
                server.last_modes().set(&user.name, mode);
                let acting = wish.granted(mode);
                tracing::debug!(user = asked.user.name, acting_as = acting.name, ?mode, "impersonating");
                return Ok(Arc::new(acting));
            }
            Err(refused) => first = first.or(Some(refused)),
        }
    }
    Err(first.unwrap_or_else(|| Status::internal("all impersonation modes failed")))
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::AssociatedNode => "associated-node",
            Self::ArbitraryNode => "arbitrary-node",
            Self::ServiceAccount => "serviceaccount",
            Self::UserInfo => "user-info",
            Self::Legacy => "",
        }
    }

    fn verb(self) -> String {
        match self {
            Self::Legacy => "impersonate".to_owned(),
            constrained => format!("impersonate:{}", constrained.name()),
        }
    }

    fn is_for(self, wish: &Wish, requestor: &User) -> bool {
        let node = node(&wish.user);
        let bare = wish.groups.is_empty() && wish.extra.is_empty() && wish.uid.is_empty();
        match self {
            Self::AssociatedNode => bare && node.is_some() && node == node_of(requestor),
            Self::ArbitraryNode => bare && node.is_some(),
            Self::ServiceAccount => bare && service_account(&wish.user).is_some(),
            Self::UserInfo => node.is_none() && service_account(&wish.user).is_none(),
            Self::Legacy => true,
        }
    }

    async fn check(self, wish: &Wish, asked: &Attributes, authorizer: &dyn Authorizer) -> Result<()> {
        let mut user = Arc::clone(&asked.user);
        if self == Self::AssociatedNode {
            let keys = user.extra.iter().map(|(key, _)| key.clone()).collect();
            Arc::make_mut(&mut user).extra = vec![(NODE_KEYS.to_owned(), keys)];
        }
        if self != Self::Legacy {
            let verb = format!("impersonate-on:{}:{}", self.name(), asked.verb);
            allowed(authorizer, &Attributes { user: Arc::clone(&user), verb, ..asked.clone() }).await?;
        }
        let questions = Questions { mode: self, wish, user: &user };
        allowed(authorizer, &questions.user()).await?;
        if !wish.uid.is_empty() {
            allowed(authorizer, &questions.ask((AUTHENTICATION, "uids"), &wish.uid)).await?;
        }
        questions.groups(authorizer).await?;
        questions.extra(authorizer).await
    }
}

async fn allowed(authorizer: &dyn Authorizer, attributes: &Attributes) -> Result<()> {
    let denied = |Denied { reason, error }| match error {
        None => refusal(attributes, &reason),
        Some(error) if reason.is_empty() => refusal(attributes, &error),
        Some(error) => refusal(attributes, &format!("{error}: {reason}")),
    };
    authorizer.authorize(attributes).await.allowed().map_err(denied)
}

/// What is asked about the parts of an identity.
struct Questions<'a> {
    mode: Mode,
    wish: &'a Wish,
    user: &'a Arc<User>,
}

impl Questions<'_> {
    fn ask(&self, (group, resource): (&str, &str), name: &str) -> Attributes {
        Attributes {
            user: Arc::clone(self.user),
            verb: self.mode.verb(),
            resource_request: true,
            group: group.to_owned(),
            version: "v1".to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            ..Attributes::default()
        }
    }

    /// The group in which users and groups are asked for.
    fn group(&self) -> &'static str {
        if self.mode == Mode::Legacy { "" } else { AUTHENTICATION }
    }

    fn user(&self) -> Attributes {
        let name = &self.wish.user;
        if let Some((namespace, name)) = service_account(name) {
            let question = self.ask((self.group(), "serviceaccounts"), name);
            return Attributes { namespace: namespace.to_owned(), ..question };
        }
        match node(name) {
            _ if self.mode == Mode::Legacy => self.ask((self.group(), "users"), name),
            // A node agent is asked for all nodes at once; which one it is on was seen before.
            Some(_) if self.mode == Mode::AssociatedNode => self.ask((self.group(), "nodes"), "*"),
            Some(node) => self.ask((self.group(), "nodes"), node),
            None => self.ask((self.group(), "users"), name),
        }
    }

    async fn groups(&self, authorizer: &dyn Authorizer) -> Result<()> {
        let groups = &self.wish.groups;
        let ask = |name: &str| self.ask((self.group(), "groups"), name);
        if self.mode != Mode::Legacy {
            if groups.iter().any(String::is_empty) {
                return Err(refusal(&ask(""), "impersonating the empty string group is not allowed"));
            }
            if groups.iter().any(|group| group == MASTERS) {
                return Err(refusal(&ask(MASTERS), "impersonating the system:masters group is not allowed"));
            }
            if groups.len() >= MANY && allowed(authorizer, &ask("*")).await.is_ok() {
                return Ok(());
            }
        }
        for group in groups {
            allowed(authorizer, &ask(group)).await?;
        }
        Ok(())
    }

    async fn extra(&self, authorizer: &dyn Authorizer) -> Result<()> {
        let extra = &self.wish.extra;
        let ask = |key: &str, value: &str| Attributes {
            subresource: key.to_owned(),
            ..self.ask((AUTHENTICATION, "userextras"), value)
        };
        if self.mode != Mode::Legacy {
            if let Some(fault) = extra.iter().find_map(|(key, values)| extra_fault(key, values)) {
                return Err(refusal(&ask("", ""), &fault));
            }
            let many = extra.len() >= MANY || extra.values().map(Vec::len).sum::<usize>() >= MANY;
            if many && allowed(authorizer, &ask("*", "*")).await.is_ok() {
                return Ok(());
            }
        }
        for (key, values) in extra {
            for value in values {
                allowed(authorizer, &ask(key, value)).await?;
            }
        }
        Ok(())
    }
}

/// What the constrained modes do not allow in `Impersonate-Extra-*`.
fn extra_fault(key: &str, values: &[String]) -> Option<String> {
    if key.is_empty() {
        return Some("impersonating the empty string key in extra is not allowed".to_owned());
    }
    let root = Path::new("extra");
    let path = root.child("key");
    let faults =
        names::domain_prefixed_path(key).into_iter().map(|(value, why)| FieldError::invalid(&path, value, why));
    let faults: Vec<_> = faults.collect();
    if !faults.is_empty() {
        let faults = crate::api::labels::aggregate(&faults);
        return Some(format!("impersonating an invalid key in extra is not allowed: {faults}"));
    }
    if values.iter().any(String::is_empty) {
        return Some("impersonating the empty string value in extra is not allowed".to_owned());
    }
    None
}

/// What the headers ask for.
#[derive(Debug, Default)]
struct Wish {
    user: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Wish {
    fn of(request: &Request) -> Self {
        let headers = &request.headers;
        let mut wish = Self {
            user: headers.text("impersonate-user").to_owned(),
            uid: headers.text("impersonate-uid").to_owned(),
            groups: headers.all("impersonate-group").map(str::to_owned).collect(),
            extra: BTreeMap::new(),
        };
        for (name, value) in headers.iter() {
            if let Some(key) = name.strip_prefix(EXTRA_PREFIX) {
                wish.extra.entry(percent_decode(key, false)).or_default().push(value.to_owned());
            }
        }
        wish
    }

    /// Upstream prints the Go value of the incomplete user (v1.37).
    fn without_user(&self) -> String {
        let quote = crate::api::field::go_quote;
        let list = |texts: &[String]| texts.iter().map(|text| quote(text)).collect::<Vec<_>>().join(", ");
        let groups = match self.groups.as_slice() {
            [] => "[]string(nil)".to_owned(),
            groups => format!("[]string{{{}}}", list(groups)),
        };
        let extra = if self.extra.is_empty() {
            "map[string][]string(nil)".to_owned()
        } else {
            let entry = |(k, v): (&String, &Vec<String>)| format!("{}:[]string{{{}}}", quote(k), list(v));
            let entries: Vec<String> = self.extra.iter().map(entry).collect();
            format!("map[string][]string{{{}}}", entries.join(", "))
        };
        let uid = quote(&self.uid);
        format!(
            "requested &user.DefaultInfo{{Name:\"\", UID:{uid}, Groups:{groups}, Extra:{extra}}} without \
             impersonating a user name"
        )
    }

    fn granted(self, mode: Mode) -> User {
        let mut groups = self.groups;
        if mode != Mode::Legacy && node(&self.user).is_some() {
            groups = vec![NODES.to_owned()];
        }
        if groups.is_empty()
            && let Some((namespace, _)) = service_account(&self.user)
        {
            groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        }
        let has = |groups: &[String], group: &str| groups.iter().any(|g| g == group);
        let wanted = if self.user == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
        if !has(&groups, wanted) && !has(&groups, UNAUTHENTICATED) {
            groups.push(wanted.to_owned());
        }
        User { name: self.user, uid: self.uid, groups, extra: self.extra.into_iter().collect() }
    }
}

/// The node that a user name stands for.
fn node(user: &str) -> Option<&str> {
    user.strip_prefix("system:node:").filter(|name| names::dns1123_subdomain(name).is_empty())
}

/// The node of the pod whose ServiceAccount a user is.
fn node_of(user: &User) -> Option<&str> {
    service_account(&user.name)?;
    match user.extra.iter().find(|(key, _)| key == NODE_NAME)?.1.as_slice() {
        [one] => Some(one),
        _ => None,
    }
}

fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::message::{Method, Peer};

    fn request() -> Request {
        Request::new(Method::Get, "/", Peer::default())
    }

    /// Allows what a rule says, and nothing else.
    struct Rule(&'static [&'static str]);

    impl Authorizer for Rule {
        fn authorize<'a>(&'a self, a: &'a Attributes) -> futures::future::BoxFuture<'a, crate::auth::Decision> {
            let asked = format!("{} {}/{}/{}/{}", a.verb, a.group, a.resource, a.subresource, a.name);
            let reason = String::new();
            let decision = match self.0.contains(&&*asked) {
                true => crate::auth::Decision::Allow { reason },
                false => crate::auth::Decision::NoOpinion { reason },
            };
            Box::pin(std::future::ready(decision))
        }
    }

    fn listing(user: User) -> Attributes {
        let user = Arc::new(user);
        let resource = "pods".to_owned();
        Attributes { user, verb: "list".to_owned(), resource_request: true, resource, ..Attributes::default() }
    }

    fn check(mode: Mode, request: &Request, rules: &'static [&'static str]) -> Result<()> {
        let (wish, asked) = (Wish::of(request), listing(User::default()));
        futures::FutureExt::now_or_never(mode.check(&wish, &asked, &Rule(rules))).unwrap()
    }

    #[test]
    fn each_part_of_an_identity_is_asked_for() {
        let request = request()
            .with_header("impersonate-user", "system:serviceaccount:a:b")
            .with_header("impersonate-group", "g")
            .with_header("impersonate-extra-scopes%2fx", "v");
        const ALL: &[&str] = &[
            "impersonate /serviceaccounts//b",
            "impersonate /groups//g",
            "impersonate authentication.k8s.io/userextras/scopes/x/v",
        ];
        assert!(check(Mode::Legacy, &request, ALL).is_ok());
        assert!(check(Mode::Legacy, &request, &ALL[..2]).is_err());
        assert!(check(Mode::Legacy, &request, &ALL[1..]).is_err());
        assert_eq!(Wish::of(&request).granted(Mode::Legacy).groups, ["g", AUTHENTICATED]);
    }

    #[test]
    fn a_constrained_mode_needs_the_right_to_the_user_and_to_the_request() {
        let request = request().with_header("impersonate-user", "bob");
        const ALL: &[&str] =
            &["impersonate-on:user-info:list /pods//", "impersonate:user-info authentication.k8s.io/users//bob"];
        assert!(check(Mode::UserInfo, &request, ALL).is_ok());
        let refused = check(Mode::UserInfo, &request, &ALL[1..]).unwrap_err();
        assert!(refused.message().contains("cannot impersonate-on:user-info:list resource \"pods\""));
        assert!(check(Mode::UserInfo, &request, &ALL[..1]).is_err());
    }

    #[test]
    fn a_constrained_mode_makes_no_superusers() {
        let request =
            request().with_header("impersonate-user", "bob").with_header("impersonate-group", "system:masters");
        const ALL: &[&str] = &[
            "impersonate-on:user-info:list /pods//",
            "impersonate:user-info authentication.k8s.io/users//bob",
            "impersonate:user-info authentication.k8s.io/groups//system:masters",
        ];
        let refused = check(Mode::UserInfo, &request, ALL).unwrap_err();
        assert!(refused.message().ends_with("impersonating the system:masters group is not allowed"));
    }

    #[test]
    fn a_service_account_on_a_node_is_associated_with_that_node_alone() {
        let mut agent = User::service_account("kube-system", "agent");
        agent.extra = vec![(NODE_NAME.to_owned(), vec!["a".to_owned()])];
        let wish = |user: &str| Wish::of(&request().with_header("impersonate-user", user));
        assert!(Mode::AssociatedNode.is_for(&wish("system:node:a"), &agent));
        assert!(!Mode::AssociatedNode.is_for(&wish("system:node:b"), &agent));
        assert!(!Mode::AssociatedNode.is_for(&wish("system:node:a"), &User::default()));
        assert!(Mode::ArbitraryNode.is_for(&wish("system:node:b"), &agent));
        assert_eq!(wish("system:node:a").granted(Mode::AssociatedNode).groups, [NODES, AUTHENTICATED]);
    }

    #[test]
    fn groups_without_a_user_are_refused_in_the_words_of_upstream() {
        let wish = Wish::of(&request().with_header("impersonate-group", "bob"));
        assert_eq!(
            wish.without_user(),
            "requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"bob\"}, \
             Extra:map[string][]string(nil)} without impersonating a user name"
        );
    }
}
