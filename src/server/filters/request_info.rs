//! What a request is about, read off its method and path (upstream's `RequestInfoFactory`). Read by authorization,
//! by the limits on requests in flight and by the routes.

use crate::api::request::{Target, Verb};
use crate::server::message::{Method, Request};
use crate::server::query::Query;

/// A request in the words of authorization.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct RequestInfo {
    pub path: String,
    /// The verb of the API, `proxy`, `""` for unknown methods; the method in lower case for paths.
    pub verb: String,
    /// Whether the path names a resource; the fields below are empty otherwise.
    pub resource_request: bool,
    pub group: String,
    pub version: String,
    pub namespace: String,
    pub resource: String,
    pub subresource: String,
    /// From the path, or of lists and watches from a field selector that allows one name only.
    pub name: String,
    /// The path from the resource on: resource, name, subresource, rest.
    pub parts: Vec<String>,
    /// Of lists, watches and deletecollections, as sent; not below the deprecated prefix.
    pub field_selector: String,
    pub label_selector: String,
    /// The path has the deprecated `/watch/` prefix.
    pub watch_prefix: bool,
}

/// A path that starts like a resource and is none: `unable to determine kind and namespace from url, …`.
#[derive(thiserror::Error, PartialEq, Eq, Debug)]
#[error("unable to determine kind and namespace from url, {0}")]
pub(crate) struct Undetermined(String);

const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

impl RequestInfo {
    /// Reads a request.
    ///
    /// # Errors
    /// When a special verb in the path is followed by nothing.
    pub(crate) fn of(request: &Request, query: &Query) -> Result<Self, Undetermined> {
        let plain = || Self {
            path: request.path.clone(),
            verb: request.method.as_str().to_ascii_lowercase(),
            ..Self::default()
        };
        let parts: Vec<&str> = match request.path.trim_matches('/') {
            "" => Vec::new(),
            path => path.split('/').collect(),
        };
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
            _ => return Ok(plain()),
        };
        let mut info = Self {
            path: request.path.clone(),
            resource_request: true,
            group: group.to_owned(),
            version: version.to_owned(),
            ..Self::default()
        };
        let rest = match rest {
            [special @ ("proxy" | "watch")] => {
                let _ = special;
                return Err(Undetermined(request.path.clone()));
            }
            [special @ ("proxy" | "watch"), rest @ ..] => {
                (*special).clone_into(&mut info.verb);
                info.watch_prefix = *special == "watch";
                rest
            }
            rest => {
                verb_of(&request.method).clone_into(&mut info.verb);
                rest
            }
        };
        info.read_parts(rest);
        info.refine_verb(query);
        if !info.watch_prefix && matches!(info.verb.as_str(), "list" | "watch" | "deletecollection") {
            query.text("fieldSelector").clone_into(&mut info.field_selector);
            query.text("labelSelector").clone_into(&mut info.label_selector);
        }
        Ok(info)
    }

    fn read_parts(&mut self, rest: &[&str]) {
        let parts = match rest {
            ["namespaces", namespace, inner @ ..] => {
                (*namespace).clone_into(&mut self.namespace);
                let own = inner.first().is_none_or(|first| NAMESPACE_SUBRESOURCES.contains(first));
                if own { rest } else { inner }
            }
            rest => rest,
        };
        let text = |i: usize| parts.get(i).map_or_else(String::new, |part| (*part).to_owned());
        self.resource = text(0);
        self.name = text(1);
        if self.verb != "proxy" {
            self.subresource = text(2);
        }
        self.parts = parts.iter().map(|part| (*part).to_owned()).collect();
    }

    /// A get without a name is a list or a watch, a delete without one a deletecollection.
    fn refine_verb(&mut self, query: &Query) {
        if !self.name.is_empty() {
            return;
        }
        match self.verb.as_str() {
            "get" => {
                let watch = query.flag("watch").unwrap_or(false);
                self.verb = if watch { "watch" } else { "list" }.to_owned();
                if let Some(name) = exact_name(query.text("fieldSelector")) {
                    self.name = name;
                }
            }
            "delete" => "deletecollection".clone_into(&mut self.verb),
            _ => {}
        }
    }

    /// The verb, where it is one of the API.
    pub(crate) fn api_verb(&self) -> Option<Verb> {
        const VERBS: [Verb; 8] = [
            Verb::Get,
            Verb::List,
            Verb::Watch,
            Verb::Create,
            Verb::Update,
            Verb::Patch,
            Verb::Delete,
            Verb::DeleteCollection,
        ];
        VERBS.into_iter().find(|verb| verb.as_str() == self.verb)
    }

    /// Whether the request may take as long as it likes: watches and the streaming subresources of kube-apiserver.
    pub(crate) fn long_running(&self) -> bool {
        let streams = ["attach", "exec", "proxy", "log", "portforward"];
        matches!(self.verb.as_str(), "watch" | "proxy")
            || (self.resource_request && streams.contains(&self.subresource.as_str()))
    }

    /// The resource as the registry takes it. The name is the one in the path only.
    pub(crate) fn target(&self) -> Target {
        Target {
            group: self.group.clone(),
            version: self.version.clone(),
            resource: self.resource.clone(),
            subresource: self.subresource.clone(),
            namespace: if self.resource == "namespaces" { String::new() } else { self.namespace.clone() },
            name: self.parts.get(1).cloned().unwrap_or_default(),
        }
    }
}

fn verb_of(method: &Method) -> &'static str {
    match method {
        Method::Post => "create",
        Method::Get | Method::Head => "get",
        Method::Put => "update",
        Method::Patch => "patch",
        Method::Delete => "delete",
        Method::Other(_) => "",
    }
}

/// The name that a field selector requires, if it requires exactly one and it may stand in a path.
fn exact_name(selector: &str) -> Option<String> {
    let term = |term: &str| {
        let (field, value) = term.split_once('=')?;
        if field.ends_with('!') {
            return None;
        }
        let value = value.strip_prefix('=').unwrap_or(value);
        (field == "metadata.name").then(|| value.to_owned())
    };
    let name = selector.split(',').find_map(term)?;
    let path_segment = !matches!(name.as_str(), "" | "." | "..") && !name.contains(['/', '%', '\\']);
    path_segment.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::message::Peer;

    fn info(method: &str, target: &str) -> RequestInfo {
        let request = Request::new(Method::parse(method), target, Peer::default());
        RequestInfo::of(&request, &Query::parse(&request.query)).unwrap()
    }

    /// verb group version namespace resource subresource name
    #[track_caller]
    fn check_resource(method: &str, target: &str, expected: [&str; 7]) {
        let i = info(method, target);
        assert!(i.resource_request, "{target}");
        let got = [&i.verb, &i.group, &i.version, &i.namespace, &i.resource, &i.subresource, &i.name];
        assert_eq!(got.map(String::as_str), expected, "{method} {target}");
    }

    #[test]
    fn resource_paths_are_read_as_upstream_reads_them() {
        check_resource("GET", "/api/v1/namespaces", ["list", "", "v1", "", "namespaces", "", ""]);
        check_resource("GET", "/api/v1/namespaces/a", ["get", "", "v1", "a", "namespaces", "", "a"]);
        check_resource("PUT", "/api/v1/namespaces/a/status", ["update", "", "v1", "a", "namespaces", "status", "a"]);
        check_resource("GET", "/api/v1/namespaces/a/pods", ["list", "", "v1", "a", "pods", "", ""]);
        check_resource("POST", "/api/v1/namespaces/a/pods", ["create", "", "v1", "a", "pods", "", ""]);
        check_resource("DELETE", "/api/v1/namespaces/a/pods", ["deletecollection", "", "v1", "a", "pods", "", ""]);
        check_resource("HEAD", "/api/v1/namespaces/a/pods/p/log", ["get", "", "v1", "a", "pods", "log", "p"]);
        check_resource("GET", "/api/v1/pods?watch=1", ["watch", "", "v1", "", "pods", "", ""]);
        check_resource("GET", "/api/v1/pods?watch=false", ["list", "", "v1", "", "pods", "", ""]);
        check_resource("GET", "/apis/apps/v1/deployments/", ["list", "apps", "v1", "", "deployments", "", ""]);
        check_resource(
            "PATCH",
            "/apis/apps/v1/namespaces/a/deployments/d",
            ["patch", "apps", "v1", "a", "deployments", "", "d"],
        );
        check_resource("GET", "/api/v1/watch/namespaces/a/pods", ["watch", "", "v1", "a", "pods", "", ""]);
        check_resource("GET", "/api/v1/watch/namespaces/a/pods/p", ["watch", "", "v1", "a", "pods", "", "p"]);
        check_resource("OPTIONS", "/api/v1/pods", ["", "", "v1", "", "pods", "", ""]);
    }

    #[test]
    fn a_selector_for_one_name_names_the_object() {
        let name = |selector: &str| info("GET", &format!("/api/v1/pods?fieldSelector={selector}")).name;
        assert_eq!(name("metadata.name%3Dp"), "p");
        assert_eq!(name("a%3Db,metadata.name==p"), "p");
        assert_eq!(name("metadata.name!%3Dp"), "");
    }

    #[test]
    fn other_paths_are_no_resources() {
        for path in ["/", "/api", "/api/v1", "/apis/apps", "/apis/apps/v1", "/healthz", "/openapi/v3/api/v1"] {
            let i = info("GET", path);
            assert!(!i.resource_request, "{path}");
            assert_eq!(i.verb, "get");
        }
        let bare = Request::new(Method::Get, "/api/v1/watch", Peer::default());
        assert!(RequestInfo::of(&bare, &Query::default()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_target_is_read(target in "/(api|apis|watch|proxy|v1|namespaces|[a-z%/.?&=]{0,6}|/){0,10}|.{0,30}") {
            let request = Request::new(Method::Get, &target, Peer::default());
            if let Ok(info) = RequestInfo::of(&request, &Query::parse(&request.query)) {
                let _ = (info.target(), info.api_verb(), info.long_running());
            }
        }
    }
}
