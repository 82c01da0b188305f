//! Which resources a server serves, as the controllers that care for objects of every type must know.

use serde::Deserialize;

use crate::client::{Client, Error, Resource};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A served resource, in the version that the server prefers, with its verbs.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub resource: Resource,
    verbs: Vec<String>,
}

impl Served {
    /// Whether all these verbs are served.
    pub(super) fn allows(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.iter().any(|served| served == verb))
    }
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default = "Vec::new")]
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: Named,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    resource: String,
    #[serde(default)]
    response_kind: Kind,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Kind {
    kind: String,
}

/// All resources, each once.
///
/// # Errors
/// When the server does not tell.
pub(super) async fn served(client: &Client) -> Result<Vec<Served>, Error> {
    let mut found: Vec<Served> = Vec::new();
    for path in ["/api", "/apis"] {
        let groups: Groups = client.get_path(path.to_owned(), AGGREGATED).await?;
        for group in groups.items {
            for version in group.versions {
                for entry in version.resources {
                    let known = found.iter().any(|served| {
                        served.resource.group == group.metadata.name && served.resource.plural == entry.resource
                    });
                    if !known {
                        found.push(Served {
                            resource: Resource {
                                group: group.metadata.name.clone().into(),
                                version: version.version.clone().into(),
                                plural: entry.resource.into(),
                                kind: entry.response_kind.kind.into(),
                                namespaced: entry.scope == "Namespaced",
                            },
                            verbs: entry.verbs,
                        });
                    }
                }
            }
        }
    }
    Ok(found)
}
