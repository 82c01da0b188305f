//! The documents of what is not a resource: the lists of groups and versions, the version, the issuer of tokens.

use serde_json::{Map, Value, json};

use super::schemas::reference;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const MEDIA_TYPES: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// One document: its one path, and the type of the answer; absent for a text.
struct Page {
    path: String,
    tag: String,
    description: &'static str,
    operation: String,
    media_types: &'static [&'static str],
    answer: Option<String>,
}

/// The paths of a document below `/openapi/v3/`; `None` where there is none.
pub(super) fn page(path: &str) -> Option<Map<String, Value>> {
    let meta = |name: &str| Some(format!("{META}.{name}"));
    let page = |tag: &str, description, operation: &str| Page {
        path: format!("/{path}/"),
        tag: tag.to_owned(),
        description,
        operation: operation.to_owned(),
        media_types: MEDIA_TYPES,
        answer: None,
    };
    let page = match path {
        "api" => {
            Page { answer: meta("APIVersions"), ..page("core", "get available API versions", "getCoreAPIVersions") }
        }
        "apis" => Page { answer: meta("APIGroupList"), ..page("apis", "get available API versions", "getAPIVersions") },
        "version" => Page {
            media_types: &["application/json"],
            answer: Some("io.k8s.apimachinery.pkg.version.Info".to_owned()),
            ..page("version", "get the version information for this server", "getCodeVersion")
        },
        ".well-known/openid-configuration" => Page {
            media_types: &["application/json"],
            ..page(
                "WellKnown",
                "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
                "getServiceAccountIssuerOpenIDConfiguration",
            )
        },
        "openid/v1/jwks" => Page {
            media_types: &["application/jwk-set+json"],
            ..page(
                "openid",
                "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
                "getServiceAccountIssuerOpenIDKeyset",
            )
        },
        other => {
            let group = other.strip_prefix("apis/").filter(|group| !group.contains('/'))?;
            let tag = tag(group);
            let operation = format!("get{}{}APIGroup", tag[..1].to_uppercase(), &tag[1..]);
            Page { answer: meta("APIGroup"), ..page(&tag, "get information of a group", &operation) }
        }
    };
    Some(page.paths())
}

/// `rbacAuthorization` for `rbac.authorization.k8s.io`: what no identifier may have goes, and the next letter is large.
pub(super) fn tag(group: &str) -> String {
    let mut tag = String::new();
    let mut large = false;
    for letter in group.strip_suffix(".k8s.io").unwrap_or(group).chars() {
        match letter {
            'a'..='z' if large => tag.push(letter.to_ascii_uppercase()),
            'a'..='z' | 'A'..='Z' | '_' => tag.push(letter),
            '0'..='9' if !tag.is_empty() => tag.push(letter),
            _ => {
                large = true;
                continue;
            }
        }
        large = false;
    }
    tag
}

impl Page {
    fn paths(self) -> Map<String, Value> {
        let schema = self.answer.as_deref().map_or_else(|| json!({ "type": "string" }), reference);
        let content = self.media_types.iter().map(|kind| ((*kind).to_owned(), json!({ "schema": schema })));
        let operation = json!({
            "tags": [self.tag],
            "description": self.description,
            "operationId": self.operation,
            "responses": {
                "200": { "description": "OK", "content": content.collect::<Map<_, _>>() },
                "401": { "description": "Unauthorized" },
            },
        });
        Map::from_iter([(self.path, json!({ "get": operation }))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_as_in_upstreams_documents() {
        assert_eq!(tag("apps"), "apps");
        assert_eq!(tag("rbac.authorization.k8s.io"), "rbacAuthorization");
        assert_eq!(tag("flowcontrol.apiserver.k8s.io"), "flowcontrolApiserver");
        assert_eq!(tag("acme.cert-manager.io"), "acmeCertManagerIo");
        assert_eq!(tag("2a.b3.com"), "AB3Com");
    }
}
