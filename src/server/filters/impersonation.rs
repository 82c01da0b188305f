//! `Impersonate-*` headers: every part of the wished identity is asked for separately (verb `impersonate`).

use std::collections::BTreeMap;

use crate::api::request::User;
use crate::api::{Result, Status};
use crate::auth::authorize::refusal;
use crate::auth::{Attributes, Decision};
use crate::server::Server;
use crate::server::message::Request;
use crate::server::query::percent_decode;

const EXTRA_PREFIX: &str = "impersonate-extra-";
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";

/// What the headers ask for.
#[derive(Debug, Default)]
struct Wish {
    user: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// The user that the request acts as.
///
/// # Errors
/// 400 for parts of an identity without a user, 403 for what the user may not impersonate.
pub(super) async fn impersonate(server: &Server, request: &Request, user: User) -> Result<User> {
    let wish = Wish::of(request);
    if wish.user.is_empty() {
        let nothing = wish.groups.is_empty() && wish.extra.is_empty() && wish.uid.is_empty();
        return if nothing { Ok(user) } else { Err(Status::bad_request(wish.without_user())) };
    }
    for attributes in wish.questions(&user) {
        match server.parts().authorizer.authorize(&attributes).await {
            Decision::Allow { .. } => {}
            Decision::Deny { reason } | Decision::NoOpinion { reason } => return Err(refusal(&attributes, &reason)),
        }
    }
    let acting = wish.granted();
    tracing::debug!(user = user.name, acting_as = acting.name, "impersonating");
    Ok(acting)
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

    fn questions(&self, user: &User) -> Vec<Attributes> {
        let ask = |resource: &str, name: &str| Attributes {
            user: user.clone(),
            verb: "impersonate".to_owned(),
            resource_request: true,
            resource: resource.to_owned(),
            name: name.to_owned(),
            ..Attributes::default()
        };
        let authentication = |question: Attributes| Attributes {
            group: "authentication.k8s.io".to_owned(),
            version: "v1".to_owned(),
            ..question
        };
        let mut questions = vec![match service_account(&self.user) {
            Some((namespace, name)) => Attributes { namespace: namespace.to_owned(), ..ask("serviceaccounts", name) },
            None => ask("users", &self.user),
        }];
        questions.extend(self.groups.iter().map(|group| ask("groups", group)));
        for (key, values) in &self.extra {
            let question = |value: &String| Attributes { subresource: key.clone(), ..ask("userextras", value) };
            questions.extend(values.iter().map(|value| authentication(question(value))));
        }
        if !self.uid.is_empty() {
            questions.push(authentication(ask("uids", &self.uid)));
        }
        questions
    }

    fn granted(self) -> User {
        let mut groups = self.groups;
        if groups.is_empty()
            && let Some((namespace, name)) = service_account(&self.user)
        {
            groups = User::service_account(namespace, name).groups;
        }
        let has = |groups: &[String], group: &str| groups.iter().any(|g| g == group);
        if self.user == "system:anonymous" {
            if !has(&groups, UNAUTHENTICATED) {
                groups.push(UNAUTHENTICATED.to_owned());
            }
        } else if !has(&groups, AUTHENTICATED) && !has(&groups, UNAUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        User { name: self.user, uid: self.uid, groups, extra: self.extra.into_iter().collect() }
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

    #[test]
    fn each_part_of_an_identity_is_asked_for() {
        let request = request()
            .with_header("impersonate-user", "system:serviceaccount:a:b")
            .with_header("impersonate-group", "g")
            .with_header("impersonate-extra-scopes%2fx", "v");
        let wish = Wish::of(&request);
        let questions = wish.questions(&User::default());
        let asked: Vec<_> = questions.iter().map(|q| (q.resource.as_str(), q.subresource.as_str(), &*q.name)).collect();
        assert_eq!(asked, [("serviceaccounts", "", "b"), ("groups", "", "g"), ("userextras", "scopes/x", "v")]);
        assert_eq!(wish.granted().groups, ["g", AUTHENTICATED]);
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
