//! A running cluster: everything wired together. It is a value; many can live in one process.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;

use super::config::{Config, Data};
use super::in_process::InProcess;
use super::port;
use crate::admission;
use crate::auth::authenticate::{Accept, Authenticators};
use crate::auth::authorize::{self, Mode};
use crate::auth::openid::OpenId;
use crate::auth::{Authorizer, Pki, PkiConfig};
use crate::base::{Clock, Shutdown, SystemClock, Tasks};
use crate::client::Transport;
use crate::controllers;
use crate::node;
use crate::registry::{self, Actions, Registry};
use crate::resources::facts::Facts;
use crate::resources::{Catalog, Served, built_in};
use crate::scheduler;
use crate::server::health::Scope;
use crate::server::transport::{Listen, Listening};
use crate::server::{Health, Issuer, Parts, Server, transport};
use crate::storage::{self, Index, Place, Retention, Store};

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
        let tasks = Tasks::new(Shutdown::default());
        let started = Self::start_in(&config, &tasks).await;
        if started.is_err() {
            tasks.shutdown().begin();
        }
        started
    }

    async fn start_in(config: &Config, tasks: &Tasks) -> anyhow::Result<Self> {
        let clock = SystemClock::shared();
        let listener = port::bind(config.bind_address, config.secure_port)?;
        let address = listener.local_addr()?;
        let facts = Arc::new(Facts::load());
        let served = built_in(&facts, &config.runtime);
        let store = open_store(config, &served, (&clock, tasks)).await?;
        let pki = Arc::new(open_pki(config, &*clock)?);
        let modes = Mode::parse_all(&config.authorization_modes).map_err(anyhow::Error::msg)?;
        let authorizer = authorize::authorizer(&modes, &store);
        let authenticator = authenticators(config, &pki, (&store, &clock))?;
        let registry = Arc::new(Registry::new(registry::Parts {
            catalog: Arc::new(Catalog::new(served)),
            plugins: Vec::new(),
            admission: admission::Context {
                store: store.clone(),
                clock: clock.clone(),
                authorizer: authorizer.clone(),
            },
            actions: Actions::new(Vec::new()),
            facts: facts.clone(),
        }));
        let health = Arc::new(Health::default());
        for name in ["ping", "log", "etcd"] {
            health.add_passing(name, Scope::All);
        }
        let advertised = SocketAddr::new(config.advertised(), address.port()).to_string();
        let server = Server::new(Parts {
            registry,
            facts,
            authenticator: Arc::new(authenticator),
            authorizer: authorizer as Arc<dyn Authorizer>,
            clock: clock.clone(),
            shutdown: tasks.shutdown().child(),
            health,
            limits: config.limits,
            anonymous: config.anonymous_auth,
            issuer: issuer(config, &pki, &advertised),
            advertised,
        });
        let listen = Listen { listener, tls: pki.server_config()?, bounds: config.bounds };
        let listening = transport::serve(server.clone(), listen, tasks).context("cannot serve")?;
        let renewed = pki.clone();
        let renewal_clock = clock.clone();
        tasks.spawn("certificate renewal", async move { renewed.keep_renewed(renewal_clock).await });
        let cluster = Self { server, listening, pki, store, tasks: tasks.clone(), clock };
        cluster.start_controllers(config)?;
        Ok(cluster)
    }

    fn start_controllers(&self, config: &Config) -> anyhow::Result<()> {
        if !config.controllers.selection.is_empty() {
            let settings = controllers::Settings {
                selection: config.controllers.selection.clone(),
                root_ca: self.pki.authority().to_owned(),
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

async fn open_store(
    config: &Config,
    served: &Served,
    (clock, tasks): (&Arc<dyn Clock>, &Tasks),
) -> anyhow::Result<Arc<dyn Store>> {
    let (place, retention) = match &config.data {
        Data::Ephemeral => (Place::Memory, Retention::SHORT),
        Data::Folder(folder) => {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}: choose another with --data-dir", folder.display()))?;
            (Place::File(folder.join("coracle.db")), Retention::default())
        }
    };
    let indexed = |kind: &Arc<crate::resources::Kind>| {
        let collection = kind.collection.clone();
        let fields = kind.behaviour.fields().iter().filter(|field| field.indexed);
        fields.map(move |field| Index { collection: collection.clone(), field: Arc::from(field.name) })
    };
    let mut indexes: Vec<Index> = served.kinds.iter().flat_map(indexed).collect();
    indexes.sort_by(|a, b| (&a.collection, &a.field).cmp(&(&b.collection, &b.field)));
    indexes.dedup();
    let options = storage::Options { place, indexes, retention, clock: clock.clone(), tasks: tasks.clone() };
    Ok(storage::open(options).await?)
}

fn open_pki(config: &Config, clock: &dyn Clock) -> anyhow::Result<Pki> {
    let mut addresses = vec![config.advertised()];
    addresses.extend(config.service_cluster_ip_ranges.iter().filter_map(|range| range.hosts().next()));
    let pki = PkiConfig {
        directory: config.certificates(),
        names: Vec::new(),
        addresses,
        client_ca_file: config.client_ca_file.clone(),
        signing_key_file: config.service_account_signing_key_file.clone(),
        key_files: config.service_account_key_files.clone(),
    };
    Ok(Pki::open(pki, clock.now())?)
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
        anonymous: config.anonymous_auth,
    };
    Ok(Authenticators::new(accept, store.clone(), clock.clone())?)
}

fn issuer(config: &Config, pki: &Pki, advertised: &str) -> Option<Issuer> {
    let first = config.service_account_issuers.first()?;
    let documents = OpenId::new(first, advertised, pki.verifying_keys())?;
    Some(Issuer { configuration: documents.configuration, keys: documents.keys })
}
