//! A running cluster: everything wired together. It is a value; many can live in one process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use anyhow::Context as _;

use super::actions::{self, Reviews};
use super::bootstrap;
use super::config::{Config, Data};
use super::in_process::InProcess;
use super::kubelets;
use super::port;
use crate::admission::{self, Plugin, ServiceAddresses};
use crate::api::Object;
use crate::auth::authenticate::{Accept, Authenticators};
use crate::auth::authorize::Chain;
use crate::auth::kubeconfig::Entry;
use crate::auth::openid::OpenId;
use crate::auth::{self, Authorizer, Identity, Pki, PkiConfig, Tokens};
use crate::base::{Clock, Shutdown, SystemClock, Tasks};
use crate::client::Transport;
use crate::controllers;
use crate::node;
use crate::registry::{self, Actions, Definitions, Expiry, Extensions, Registry};
use crate::remote::{ClientIdentity, Remote};
use crate::resources::facts::{self, Facts};
use crate::resources::{Catalog, Gates, Group, RuntimeConfig, Served, built_in};
use crate::scheduler;
use crate::server::health::{Flag, Scope};
use crate::server::transport::{Listen, Listening};
use crate::server::{Health, Issuer, Parts, Server, transport};
use crate::storage::{self, Index, Place, Retention, Store};

/// The name under which a cluster stands in kubeconfigs.
pub const CONTEXT: &str = "coracle";

/// The file in the data folder that everything is in.
pub(super) const DATABASE: &str = "coracle.db";

/// A running cluster. Dropping it leaves its tasks running; `stop` ends them.
pub struct Cluster {
    server: Server,
    listening: Listening,
    pki: Arc<Pki>,
    store: Arc<dyn Store>,
    tasks: Tasks,
    clock: Arc<dyn Clock>,
}

impl Cluster {
    /// Starts everything that the configuration asks for; resolves when the server is ready.
    ///
    /// # Errors
    /// With what to do about it: the port is taken, the data cannot be used, a file cannot be read.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        Self::start_at(config, SystemClock::shared()).await
    }

    /// As `start`, with a clock of the caller's, by which everything in the cluster lives.
    ///
    /// # Errors
    /// As `start`.
    pub async fn start_at(config: Config, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let tasks = Tasks::new(Shutdown::default());
        let started = Self::start_in(&config, clock, &tasks).await;
        if started.is_err() {
            tasks.shutdown().begin();
        }
        started
    }

    async fn start_in(config: &Config, clock: Arc<dyn Clock>, tasks: &Tasks) -> anyhow::Result<Self> {
        config.check()?;
        let listener = port::bind(config.bind_address, config.secure_port)?;
        let address = listener.local_addr()?;
        let Opened { facts, runtime, served, pki, store } = opened(config, (&clock, tasks)).await?;
        let chain = Arc::new(Chain::open(&config.authorization, &store, &clock).map_err(anyhow::Error::msg)?);
        let current = chain.clone();
        tasks.spawn("authorizers", async move { current.keep_current().await });
        let authorizer: Arc<dyn Authorizer> = chain;
        let authenticators = Arc::new(authenticators(config, &pki, (&store, &clock))?);
        let gates = |name: &str| runtime.gates.enabled(name);
        let plugins = admission::plugins(&admission_settings(config, &gates)).map_err(anyhow::Error::msg)?;
        let reviews = Reviews {
            authorizer: authorizer.clone(),
            authenticators: authenticators.clone(),
            tokens: tokens(config, &pki, &runtime.gates),
            clock: clock.clone(),
        };
        let catalog = Arc::new(Catalog::new(served));
        let registry = Registry::new(registry::Parts {
            catalog: catalog.clone(),
            plugins: [plugins, vec![service_addresses(config)]].concat(),
            admission: admission_context((&store, &clock), &authorizer, catalog),
            actions: Actions::new(actions::rows(reviews)),
            facts: facts.clone(),
            gates: runtime.gates,
        });
        let registry = Arc::new(registry.with_components(components(config)));
        let definitions = Definitions::load(registry.clone());
        tasks.spawn("custom resource definitions", definitions.run());
        tasks.spawn("event expiry", Expiry::new(store.clone(), clock.clone(), config.event_ttl).run());
        let extensions = Arc::new(extensions(&registry, &pki, (&store, &clock)));
        tasks.spawn("extension servers", extensions.clone().run());
        let health = Arc::new(Health::default());
        let hooks = health_checks(&health, tasks.shutdown());
        let advertised = SocketAddr::new(config.advertised(), address.port()).to_string();
        let server = Server::new(Parts {
            registry: registry.clone(),
            extensions,
            connections: Arc::new(kubelets::connections(config, &registry, &pki, (&store, &clock))?),
            facts,
            authenticator: authenticators,
            authorizer,
            clock: clock.clone(),
            shutdown: tasks.shutdown().child(),
            tasks: tasks.clone(),
            health,
            limits: config.limits,
            anonymous: config.anonymous()?,
            issuer: issuer(config, &pki, &advertised),
            advertised,
            queues: Arc::default(),
            flags: config.flags(),
        });
        let listen = Listen { listener, tls: pki.server_config()?, bounds: config.bounds };
        let listening = transport::serve(server.clone(), listen, tasks).context("cannot serve")?;
        let renewed = pki.clone();
        let renewal_clock = clock.clone();
        tasks.spawn("certificate renewal", async move { renewed.keep_renewed(renewal_clock).await });
        let cluster = Self { server, listening, pki, store, tasks: tasks.clone(), clock };
        cluster.furnish(config, registry).await?;
        hooks.iter().for_each(Flag::pass);
        cluster.start_controllers(config)?;
        Ok(cluster)
    }

    /// What must be there before the cluster is ready, and what keeps it so.
    async fn furnish(&self, config: &Config, registry: Arc<Registry>) -> anyhow::Result<()> {
        let objects = self.first_objects(config, &registry)?;
        let kept = bootstrap::kept(&objects);
        bootstrap::write(&registry, objects).await?;
        let keeping = self.clock.clone();
        self.tasks.spawn("kept objects", async move { bootstrap::keep(&registry, kept, keeping).await });
        controllers::apiserver::start(self.transport(), self.clock.clone(), &self.tasks).await;
        Ok(())
    }

    fn first_objects(&self, config: &Config, registry: &Registry) -> anyhow::Result<Vec<Object>> {
        let first = config.service_cluster_ip_ranges.first().context("no --service-cluster-ip-range is given")?;
        let address = endpoint_address(config.advertised());
        if address.is_ipv4() != first.addr().is_ipv4() {
            anyhow::bail!("service IP family \"{first}\" must match public address family \"{address}\"");
        }
        let service_address = first.hosts().next().with_context(|| format!("{first} has no addresses"))?;
        let server = auth::bootstrap::Server {
            host: std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
            address,
            port: self.address().port(),
            group_versions: group_versions(&registry.catalog().served()),
            service_ranges: config.service_cluster_ip_ranges.iter().map(ToString::to_string).collect(),
            service_address,
            client_authorities: self.pki.client_authorities().to_owned(),
            front_proxy_authorities: self.front_proxies(config)?,
            front_proxy: config.authentication.front_proxy.clone(),
            now: self.clock.now(),
        };
        let mut policy = facts::bootstrap_rbac(|gate| registry.enabled(gate));
        policy.extend(facts::bootstrap_flow_control());
        if config.controllers.nodes > 0 {
            policy.extend(node::policy());
        }
        let mut objects = auth::bootstrap::objects(&server, policy);
        if server.address.is_loopback() {
            // Endpoints may not point to a loopback address; a machine without a network has no other.
            objects.retain(|object| !matches!(&*object.gvk().kind, "Endpoints" | "EndpointSlice"));
        }
        Ok(objects)
    }

    /// The authorities of proxies: our own first.
    fn front_proxies(&self, config: &Config) -> anyhow::Result<String> {
        let others = config.authentication.front_proxy.authorities()?.unwrap_or_default();
        Ok(format!("{}{others}", self.pki.front_proxy_authority()))
    }

    /// What a client needs to reach the cluster as its administrator.
    pub fn kubeconfig_entry<'a>(&'a self, url: &'a str, client: &'a Identity) -> Entry<'a> {
        Entry { name: CONTEXT, server: url, authority: self.pki.authority(), client }
    }

    fn start_controllers(&self, config: &Config) -> anyhow::Result<()> {
        if !config.controllers.selection.is_empty() {
            let settings = controllers::Settings {
                selection: config.controllers.selection.clone(),
                root_ca: self.pki.authority().to_owned(),
                queues: Arc::clone(self.server.queues()),
                signer: Some(self.pki.certificate_signer()),
            };
            controllers::start(self.transport(), self.clock.clone(), &self.tasks, settings)?;
        }
        if config.controllers.scheduler {
            scheduler::start(self.transport(), self.clock.clone(), &self.tasks);
        }
        let count = usize::try_from(config.controllers.nodes)?;
        let settings = node::Settings { count, ..node::Settings::default() };
        node::start(self.transport(), self.clock.clone(), &self.tasks, &settings);
        Ok(())
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.listening.address
    }

    /// The server, to be asked without a socket.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The way to the server for clients in this process.
    pub fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(InProcess(self.server.clone()))
    }

    /// The certificates of the cluster.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// Forgets every state before the present one, as happens by itself when history is old enough.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn forget_history(&self) -> anyhow::Result<()> {
        Ok(self.store.compact_before(self.store.revision()).await?)
    }

    /// Ends everything: controllers and watches first, then connections, then the store. What was acknowledged is
    /// kept.
    pub async fn stop(self) {
        self.server.end();
        self.listening.stop().await;
        self.tasks.shutdown().begin();
        self.store.close().await;
        self.tasks.ended().await;
    }
}

/// What `kubectl get componentstatuses` tells of beside the store.
fn components(config: &Config) -> Vec<registry::Component> {
    vec![
        registry::Component { name: "scheduler", here: config.controllers.scheduler },
        registry::Component { name: "controller-manager", here: !config.controllers.selection.is_empty() },
    ]
}

/// The way to extension servers, which are shown the front proxy's certificate.
fn extensions(registry: &Arc<Registry>, pki: &Pki, (store, clock): (&Arc<dyn Store>, &Arc<dyn Clock>)) -> Extensions {
    let Identity { certificate, key } = pki.front_proxy_client().clone();
    let remote = Remote::new(store.clone(), clock.clone()).with_identity(ClientIdentity { certificate, key });
    Extensions::new(registry.clone(), remote)
}

/// Each group with each of its versions.
fn group_versions(served: &Served) -> Vec<(String, String)> {
    let versions = |group: Group| group.versions.into_iter().map(move |version| (group.name.clone(), version));
    served.groups().flat_map(versions).collect()
}

/// What gives Services their addresses and node ports; not a plugin of upstream's, so it cannot be switched off.
fn service_addresses(config: &Config) -> Arc<dyn Plugin> {
    let (ranges, node_ports) = (config.service_cluster_ip_ranges.clone(), config.node_ports.clone());
    Arc::new(ServiceAddresses { ranges, node_ports })
}

/// The address that stands in the endpoints of the service `kubernetes`: as upstream, of a server on a loopback
/// interface that of the interface which leads outside.
fn endpoint_address(advertised: IpAddr) -> IpAddr {
    if !advertised.is_loopback() {
        return advertised;
    }
    // Connecting a datagram socket sends nothing; it only asks the system for the route.
    let route = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        Ok::<_, std::io::Error>(socket.local_addr()?.ip())
    };
    route().unwrap_or(advertised)
}

/// What upstream (v1.37) does behind its start, in its order. Here all of it is done when the first objects are there.
const HOOKS: [&str; 30] = [
    "poststarthook/start-apiserver-admission-initializer",
    "poststarthook/generic-apiserver-start-informers",
    "poststarthook/priority-and-fairness-config-consumer",
    "poststarthook/priority-and-fairness-filter",
    "poststarthook/storage-object-count-tracker-hook",
    "poststarthook/start-apiextensions-informers",
    "poststarthook/start-apiextensions-controllers",
    "poststarthook/crd-informer-synced",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/peer-endpoint-reconciler-controller",
    "poststarthook/start-cluster-authentication-info-controller",
    "poststarthook/start-kube-apiserver-identity-lease-controller",
    "poststarthook/start-kube-apiserver-identity-lease-garbage-collector",
    "poststarthook/storage-readiness",
    "poststarthook/start-legacy-token-tracking-controller",
    "poststarthook/start-service-ip-repair-controllers",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/priority-and-fairness-config-producer",
    "poststarthook/bootstrap-controller",
    "poststarthook/start-kubernetes-service-cidr-controller",
    "poststarthook/start-kube-aggregator-informers",
    "poststarthook/apiservice-status-local-available-controller",
    "poststarthook/apiservice-status-remote-available-controller",
    "poststarthook/apiservice-registration-controller",
    "poststarthook/apiservice-discovery-controller",
    "poststarthook/kube-apiserver-autoregistration",
    "autoregister-completion",
    "poststarthook/apiservice-openapi-controller",
    "poststarthook/apiservice-openapiv3-controller",
];

/// The checks that pass by themselves, and those that wait for the first objects to be there.
fn health_checks(health: &Health, shutdown: &Shutdown) -> Vec<Flag> {
    for name in ["ping", "log"] {
        health.add_passing(name, Scope::All);
    }
    health.add_passing("loopback-serving-certificate", Scope::Live);
    health.add_passing("etcd", Scope::All);
    health.add_passing("etcd-readiness", Scope::Ready);
    let mut flags = vec![health.add("informer-sync", Scope::Ready)];
    flags.extend(HOOKS.map(|name| health.add(name, Scope::All)));
    health.add_until("shutdown", Scope::Ready, shutdown.clone());
    flags
}

/// What admission plugins may use.
fn admission_settings<'a>(config: &'a Config, gates: &'a dyn Fn(&str) -> bool) -> admission::Settings<'a> {
    admission::Settings {
        enable: &config.enable_admission_plugins,
        disable: &config.disable_admission_plugins,
        file: config.admission_control_config_file.as_deref(),
        tolerations: config.tolerations,
        gates,
    }
}

fn admission_context(
    (store, clock): (&Arc<dyn Store>, &Arc<dyn Clock>),
    authorizer: &Arc<dyn Authorizer>,
    catalog: Arc<Catalog>,
) -> admission::Context {
    let remote = Arc::new(Remote::new(store.clone(), clock.clone()));
    let (store, clock, authorizer) = (store.clone(), clock.clone(), authorizer.clone());
    admission::Context { store, clock, authorizer, catalog, remote, measures: Arc::default() }
}

fn tokens(config: &Config, pki: &Pki, gates: &Gates) -> Tokens {
    let audiences =
        if config.api_audiences.is_empty() { &config.service_account_issuers } else { &config.api_audiences };
    Tokens {
        issuer: config.service_account_issuers.first().cloned().unwrap_or_default(),
        audiences: audiences.clone(),
        key: pki.signing_key(),
        expiration_max_seconds: config.authentication.token_expiration_max.map(|max| max.as_secs().cast_signed()),
        extend: config.authentication.extends_tokens,
        checks_uid: gates.enabled("TokenRequestServiceAccountUIDValidation"),
    }
}

/// What is read, or made, before anything runs.
struct Opened {
    facts: Arc<Facts>,
    runtime: RuntimeConfig,
    served: Served,
    pki: Arc<Pki>,
    store: Arc<dyn Store>,
}

async fn opened(config: &Config, (clock, tasks): (&Arc<dyn Clock>, &Tasks)) -> anyhow::Result<Opened> {
    let (place, retention) = place(config)?;
    // From here on the folder is this process's alone. Those that wait for the disk do so at the same time.
    let claim = storage::claim(&place)?;
    let (certificates, now) = (certificates(config), clock.now());
    let (pki, prepared, facts) =
        futures::join!(tasks.beside(move || Pki::open(certificates, now)), claim.prepare(&**clock), async {
            Arc::new(Facts::load())
        },);
    prepared?;
    let pki = Arc::new(pki?);
    let runtime = config.runtime(&facts)?;
    let served = built_in(&facts, &runtime);
    let indexes = indexes(&served);
    let options = storage::Options { place, indexes, retention, clock: clock.clone(), tasks: tasks.clone() };
    let store = storage::open_claimed(claim, options).await?;
    Ok(Opened { facts, runtime, served, pki, store })
}

/// Where the store is, and how much history it keeps. Makes the folder.
fn place(config: &Config) -> anyhow::Result<(Place, Retention)> {
    let (place, retention) = match &config.data {
        Data::Ephemeral => (Place::Memory, Retention::MEMORY),
        Data::Folder(folder) => {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}: choose another with --data-dir", folder.display()))?;
            (Place::File(folder.join(DATABASE)), Retention::FILE)
        }
    };
    Ok((place, Retention { age_max: config.history, ..retention }))
}

/// The fields by which objects are looked up.
fn indexes(served: &Served) -> Vec<Index> {
    let indexed = |kind: &Arc<crate::resources::Kind>| {
        let collection = kind.collection.clone();
        let fields = kind.behaviour.fields().iter().filter(|field| field.indexed);
        fields.map(move |field| Index { collection: collection.clone(), field: Arc::from(field.name) })
    };
    let mut indexes: Vec<Index> = served.kinds().flat_map(indexed).collect();
    indexes.sort_by(|a, b| (&a.collection, &a.field).cmp(&(&b.collection, &b.field)));
    indexes.dedup();
    indexes
}

fn certificates(config: &Config) -> PkiConfig {
    // Whoever listens at every address is reached at the one that leads outside, too.
    let mut addresses = vec![config.advertised()];
    if config.bind_address.is_unspecified() {
        addresses.push(endpoint_address(config.advertised()));
    }
    addresses.extend(config.service_cluster_ip_ranges.iter().filter_map(|range| range.hosts().next()));
    PkiConfig {
        directory: config.certificates(),
        names: Vec::new(),
        addresses,
        client_ca_file: config.client_ca_file.clone(),
        signing_key_file: config.service_account_signing_key_file.clone(),
        key_files: config.service_account_key_files.clone(),
    }
}

fn authenticators(
    config: &Config,
    pki: &Pki,
    (store, clock): (&Arc<dyn Store>, &Arc<dyn Clock>),
) -> anyhow::Result<Authenticators> {
    let accept = Accept {
        client_authorities: pki.client_authorities().to_owned(),
        token_file: config.token_auth_file.clone(),
        issuers: config.service_account_issuers.clone(),
        audiences: config.api_audiences.clone(),
        verifying_keys: pki.verifying_keys().to_vec(),
        looks_up: config.authentication.looks_up_tokens,
        // The server itself knows for which paths that is so.
        anonymous: false,
        front_proxy: config.authentication.front_proxy.clone(),
        token_webhook: config.authentication.token_webhook.clone(),
    };
    Ok(Authenticators::new(accept, store.clone(), clock.clone())?)
}

fn issuer(config: &Config, pki: &Pki, advertised: &str) -> Option<Issuer> {
    let first = config.service_account_issuers.first()?;
    let keys = config.authentication.jwks_uri.clone().unwrap_or_else(|| OpenId::keys_uri(advertised));
    let documents = OpenId::new(first, &keys, pki.verifying_keys())?;
    Some(Issuer { configuration: documents.configuration, keys: documents.keys })
}
