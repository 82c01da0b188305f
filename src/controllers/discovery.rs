//! Which resources a server serves, as the controllers that care for objects of every type must know.

use std::collections::HashSet;
use std::future::Future;
use std::time::Duration;

use serde::Deserialize;

use super::context::{Context, Shared};
use crate::client::{Cached, Client, Error, Meta, Outcome, Queue, Resource, Selection, work};

/// How long after a change of a definition the server is asked, so that discovery has followed.
const ASK_AFTER: Duration = Duration::from_millis(500);
const RETRY_AFTER: Duration = Duration::from_secs(5);

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
            let mut known = HashSet::new();
            for version in group.versions {
                let fresh = version.resources.into_iter().filter(|entry| known.insert(entry.resource.clone()));
                found.extend(fresh.map(|entry| Served {
                    resource: Resource {
                        group: group.metadata.name.clone().into(),
                        version: version.version.clone().into(),
                        plural: entry.resource.into(),
                        kind: entry.response_kind.kind.into(),
                        namespaced: entry.scope == "Namespaced",
                    },
                    verbs: entry.verbs,
                }));
            }
        }
    }
    Ok(found)
}

/// All resources, asked for until the server tells.
pub(super) async fn served_at_last(ctx: &Context) -> Vec<Served> {
    loop {
        match served(&ctx.client).await {
            Ok(served) => return served,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the server does not tell what it serves");
                ctx.clock.sleep(RETRY_AFTER).await;
            }
        }
    }
}

/// Tells what is served after every change of it, until dropped.
pub(super) async fn each_change<F, Fut>(ctx: &Context, tell: F)
where
    F: Fn(Vec<Served>) -> Fut,
    Fut: Future<Output = ()>,
{
    let definitions = ctx.cache::<Definition>().await;
    let queue = Queue::<()>::new(ctx.clock.clone());
    let changed = queue.clone();
    definitions.subscribe(move |_| changed.add_after((), ASK_AFTER));
    let tell = &tell;
    work(queue, 1, "served resources", |()| async move {
        tell(served(&ctx.client).await?).await;
        Ok::<_, Error>(Outcome::Done)
    })
    .await;
}

/// A definition of custom resources; its changes change what is served.
#[derive(Deserialize, Debug)]
struct Definition {
    metadata: Meta,
}

impl Cached for Definition {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Shared for Definition {
    const RESOURCE: &'static Resource = Resource::CUSTOM_RESOURCE_DEFINITIONS;

    fn selection() -> Selection {
        Selection { metadata_only: true, ..Selection::default() }
    }
}
