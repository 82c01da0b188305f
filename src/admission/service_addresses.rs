//! Gives Services their cluster IPs and node ports (K `pkg/registry/core/service/storage/alloc.go`, `ipallocator`,
//! `portallocator`). Each address is a record that is written or removed in the transaction of its Service, so that
//! none is given twice and none is lost: an `IPAddress` object for an IP, an internal one for a port.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use rand::Rng;
use serde_json::{Value, json};

use super::companion::Companion;
use super::service_ports::Ports;
use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::codec::json::{self as codec, Layout};
use crate::api::field::{FieldError, Path};
use crate::api::{Object, Result, Status, Uid};
use crate::resources::{Kind, service_address_errors};
use crate::storage::{Body, Change, Expect, Facts, Key, Snapshot, Write};

const ADDRESSES: &str = "ipaddresses.networking.k8s.io";
/// Records of node ports; no served type has this name.
const PORTS: &str = "nodeports.coracle";

/// How often a random address is tried before the range is searched in order.
const RANDOM_TRIES: usize = 16;

/// The ranges from which Services are given addresses.
#[derive(Clone, Debug)]
pub struct ServiceAddresses {
    /// `--service-cluster-ip-range`: one per IP family, the first is the default family.
    pub ranges: Vec<IpNet>,
    /// `--service-node-port-range`.
    pub node_ports: RangeInclusive<u16>,
}

impl Plugin for ServiceAddresses {
    fn name(&self) -> &'static str {
        "ServiceAddresses"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        let written = matches!(operation, Operation::Create | Operation::Update | Operation::Delete);
        written && &*kind.collection == "services" && subresource.is_empty()
    }

    fn accompanies(&self, _: &Context, kind: &Kind, _: &str) -> bool {
        &*kind.collection == "services"
    }

    fn allocate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(self.settle(&ctx.store.snapshot(), ctx, attributes))
    }
}

/// The addresses that a write may take from.
struct Pool<'a> {
    taken: &'a dyn Fn(IpAddr) -> bool,
    dry_run: bool,
}

/// What a Service holds.
#[derive(Default, PartialEq, Debug)]
struct Held {
    addresses: BTreeSet<IpAddr>,
    ports: BTreeSet<u16>,
}

impl ServiceAddresses {
    fn settle(&self, snapshot: &Snapshot, ctx: &Context, attributes: &mut Attributes<'_>) -> Result<()> {
        let before = attributes.old.map(held).unwrap_or_default();
        let mut after = Held::default();
        let (old, dry_run) = (attributes.old, attributes.dry_run);
        if let Some(service) = attributes.object.as_deref_mut() {
            let taken = |address: IpAddr| !dry_run && snapshot.get(&address_key(address)).is_some();
            self.give_addresses(service, (old, &before), &Pool { taken: &taken, dry_run })?;
            let held_port = |port: u16| snapshot.get(&port_key(port)).is_some();
            let range = self.node_ports.clone();
            Ports { range, held: &held_port, dry_run, taken: Vec::new() }.give(service, old)?;
            after = held(service);
            let owner = Owner::of(service);
            let served = ctx.catalog.served();
            let now = ctx.clock.now();
            // Addresses are taken also where nobody is told of them.
            let kind = served.find("networking.k8s.io", "v1", "ipaddresses");
            let companion = kind.map(|kind| Companion { kind, subresource: "", now });
            for address in after.addresses.difference(&before.addresses) {
                attributes.companions.push(address_record((*address, now), &owner, companion.as_ref()));
            }
            for port in after.ports.difference(&before.ports) {
                attributes.companions.push(port_record(*port, &owner));
            }
        }
        let gone = before.addresses.difference(&after.addresses).map(|a| address_key(*a));
        let gone = gone.chain(before.ports.difference(&after.ports).map(|p| port_key(*p)));
        for key in gone {
            if let Some(record) = snapshot.get(&key) {
                let expect = Expect::At(record.revision);
                attributes.companions.push(Write { key, expect, change: Change::Delete });
            }
        }
        Ok(())
    }

    fn give_addresses(
        &self,
        service: &mut Object,
        (old, before): (Option<&Object>, &Held),
        pool: &Pool<'_>,
    ) -> Result<()> {
        if service.text_at(&["spec", "type"]) == "ExternalName" || old.is_some_and(|old| stays_dual(service, old)) {
            return Ok(());
        }
        let mut families = self.settle_families(service, old)?;
        let given = texts(service, &["spec", "clusterIPs"]);
        if given.first().is_some_and(|first| first == "None") {
            return Ok(());
        }
        for address in given.iter().filter_map(|text| text.parse::<IpAddr>().ok()) {
            families.retain(|family| *family != family_of(address));
            if !before.addresses.contains(&address) {
                self.check_address(service, address, pool)?;
            }
        }
        let mut all = given;
        for family in families {
            let Some(range) = self.ranges.iter().find(|r| family_of(r.addr()) == family) else { continue };
            let address = free_address(*range, pool.taken)
                .ok_or_else(|| Status::internal("failed to allocate a serviceIP: range is full"))?;
            all.push(address.to_string());
        }
        if let Some(first) = all.first().cloned() {
            service.set(&["spec", "clusterIP"], first);
            service.set(&["spec", "clusterIPs"], all);
        }
        Ok(())
    }

    /// Fills in the families that a Service is to have addresses of, and gives them. What addresses and families say of
    /// each other is judged first, and alone.
    fn settle_families(&self, service: &mut Object, old: Option<&Object>) -> Result<Vec<&'static str>> {
        let errors = service_address_errors(service, old);
        if !errors.is_empty() {
            return Err(invalid(service, &errors));
        }
        let served: Vec<&'static str> = self.ranges.iter().map(|r| family_of(r.addr())).collect();
        let policy = service.text_at(&["spec", "ipFamilyPolicy"]).to_owned();
        let (mut families, errors) = self.agreed_families(service, old, &policy);
        if !errors.is_empty() {
            return Err(invalid(service, &errors));
        }
        let headless = service.text_at(&["spec", "clusterIP"]) == "None";
        let selectorless = service.get(&["spec", "selector"]).and_then(Value::as_object).is_none_or(|s| s.is_empty());
        let free = headless && selectorless;
        if !free {
            let spec = Path::new("spec");
            let mut errors = Vec::new();
            if policy == "RequireDualStack" && served.len() < 2 {
                let why = "this cluster is not configured for dual-stack services";
                errors.push(FieldError::invalid(&spec.child("ipFamilyPolicy"), policy.as_str(), why));
            }
            let list = spec.child("ipFamilies");
            for (index, family) in families.iter().enumerate() {
                if !served.contains(&family.as_str()) {
                    let why = "not configured on this cluster";
                    errors.push(FieldError::invalid(&list.index(index), family.as_str(), why));
                }
            }
            if !errors.is_empty() {
                return Err(invalid(service, &errors));
            }
        }
        if families.is_empty()
            && let Some(first) = served.first()
        {
            families.push((*first).to_owned());
        }
        let dual = policy == "PreferDualStack" || policy == "RequireDualStack";
        if dual && families.len() == 1 && (free || served.len() > 1) {
            families.push(if families[0] == IPV4 { IPV6 } else { IPV4 }.to_owned());
        }
        service.set(&["spec", "ipFamilies"], families.clone());
        Ok(served.into_iter().filter(|family| families.iter().any(|f| f == family)).collect())
    }

    /// The families that a service says or that follow from its addresses, and how they disagree with its policy.
    fn agreed_families(
        &self,
        service: &mut Object,
        old: Option<&Object>,
        policy: &str,
    ) -> (Vec<String>, Vec<FieldError>) {
        let (addresses_at, families_at) = (["spec", "clusterIPs"], ["spec", "ipFamilies"]);
        let (mut addresses, mut families) = (texts(service, &addresses_at), texts(service, &families_at));
        let (mut errors, spec) = (Vec::new(), Path::new("spec"));
        let policy_path = spec.child("ipFamilyPolicy");
        let single = policy == "SingleStack";
        let mut refuse = |why: &str| errors.push(FieldError::invalid(&policy_path, policy, why));
        if let Some(old) = old {
            let (old_addresses, old_families) = (texts(old, &addresses_at), texts(old, &families_at));
            if single && addresses == old_addresses && addresses.len() > 1 {
                addresses.truncate(1);
                service.set(&addresses_at, addresses.clone());
            }
            if single && families == old_families {
                families.truncate(1);
            }
            let fewer = |new: &[String], old: &[String]| !new.is_empty() && new.len() < old.len();
            if !single && fewer(&addresses, &old_addresses) {
                refuse("must be 'SingleStack' to release the secondary cluster IP");
            }
            if !single && fewer(&families, &old_families) {
                refuse("must be 'SingleStack' to release the secondary IP family");
            }
        }
        if single && addresses.len() == 2 {
            refuse("must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified");
        }
        if single && families.len() == 2 {
            refuse("must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified");
        }
        let list = spec.child("clusterIPs");
        for (index, address) in addresses.iter().enumerate().skip(families.len()) {
            let Ok(family) = address.parse().map(family_of) else { break };
            if self.ranges.iter().any(|range| family_of(range.addr()) == family) {
                families.push(family.to_owned());
            } else {
                let why = format!("{family} is not configured on this cluster");
                errors.push(FieldError::invalid(&list.index(index), addresses.clone(), why));
            }
        }
        (families, errors)
    }

    /// A dry run asks the range of the family alone, and hears other words.
    fn out_of_range(&self, address: IpAddr, pool: &Pool<'_>) -> String {
        let range = self.ranges.iter().find(|range| family_of(range.addr()) == family_of(address));
        match range.filter(|_| pool.dry_run) {
            Some(range) => {
                let what = format!("the provided IP ({address}) is not in the valid range");
                format!("{what}. The range of valid IPs is {range}")
            }
            None => "the provided network does not match the current range".to_owned(),
        }
    }

    fn check_address(&self, service: &Object, address: IpAddr, pool: &Pool<'_>) -> Result<()> {
        let in_range = |range: &&IpNet| range.contains(&address) && usable(**range).contains(&number(address));
        let why = match self.ranges.iter().find(in_range) {
            None => self.out_of_range(address, pool),
            Some(_) if (pool.taken)(address) => "provided IP is already allocated".to_owned(),
            Some(_) => return Ok(()),
        };
        let spec = Path::new("spec");
        let all = texts(service, &["spec", "clusterIPs"]);
        let why = format!("failed to allocate IP {address}: {why}");
        Err(invalid(service, &[FieldError::invalid(&spec.child("clusterIPs"), all, why)]))
    }
}

const IPV4: &str = "IPv4";
const IPV6: &str = "IPv6";

fn family_of(address: IpAddr) -> &'static str {
    if address.is_ipv4() { IPV4 } else { IPV6 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

/// The addresses of a range that can be given: not the network's own, not the broadcast address of IPv4.
fn usable(range: IpNet) -> RangeInclusive<u128> {
    let (first, last) = (number(range.network()), number(range.broadcast()));
    let last = if range.addr().is_ipv4() { last.saturating_sub(1) } else { last };
    first + 1..=last
}

/// A free address: at random in the upper part of the range, which static choices should leave alone (upstream's
/// bands), then in order through all of it.
fn free_address(range: IpNet, taken: &dyn Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let all = usable(range);
    let address = |n: u128| match range {
        IpNet::V4(_) => u32::try_from(n).ok().map(|n| IpAddr::from(n.to_be_bytes())),
        IpNet::V6(_) => Some(IpAddr::from(n.to_be_bytes())),
    };
    let free = |n: &u128| address(*n).is_some_and(|a| !taken(a));
    let size = all.end() - all.start() + 1;
    let band = if size <= 16 { 0 } else { (size / 16).clamp(16, 256) };
    let upper = all.start() + band..=*all.end();
    let mut rng = rand::rng();
    let random = (0..RANDOM_TRIES).map(|_| rng.random_range(upper.clone())).find(|n| free(n));
    random.or_else(|| upper.clone().find(|n| free(n))).or_else(|| all.into_iter().find(|n| free(n))).and_then(address)
}

fn texts(object: &Object, path: &[&str]) -> Vec<String> {
    let list = object.get(path).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn node_ports(service: &Object) -> Vec<(usize, u16)> {
    let list = service.get(&["spec", "ports"]).and_then(Value::as_array);
    let number = |port: &Value| port.get("nodePort").and_then(Value::as_u64).unwrap_or(0);
    let ports = list.into_iter().flatten().enumerate();
    ports.map(|(index, port)| (index, u16::try_from(number(port)).unwrap_or(0))).collect()
}

/// Whether an update of a service with PreferDualStack leaves its addresses and families alone; then it keeps them,
/// whatever the cluster has come to serve.
fn stays_dual(service: &Object, old: &Object) -> bool {
    let at = |object: &Object, key: &str| object.text_at(&["spec", key]).to_owned();
    let same_list = |key: &str| texts(service, &["spec", key]) == texts(old, &["spec", key]);
    let before = at(old, "ipFamilyPolicy");
    at(service, "type") == at(old, "type")
        && at(service, "ipFamilyPolicy") == "PreferDualStack"
        && (before.is_empty() || before == "PreferDualStack")
        && same_list("clusterIPs")
        && same_list("ipFamilies")
}

fn held(service: &Object) -> Held {
    if service.text_at(&["spec", "type"]) == "ExternalName" {
        return Held::default();
    }
    let addresses = texts(service, &["spec", "clusterIPs"]).iter().filter_map(|text| text.parse().ok()).collect();
    let health = service.int_at(&["spec", "healthCheckNodePort"]).and_then(|p| u16::try_from(p).ok());
    let ports = node_ports(service).into_iter().map(|(_, port)| port).chain(health).filter(|port| *port != 0);
    Held { addresses, ports: ports.collect() }
}

fn invalid(service: &Object, errors: &[FieldError]) -> Status {
    let kind = crate::api::GroupKind { group: "".into(), kind: "Service".into() };
    Status::invalid(&kind, service.name(), errors)
}

struct Owner {
    namespace: String,
    name: String,
}

impl Owner {
    fn of(service: &Object) -> Self {
        Self { namespace: service.namespace().to_owned(), name: service.name().to_owned() }
    }
}

fn address_key(address: IpAddr) -> Key {
    Key { collection: Arc::from(ADDRESSES), namespace: Arc::from(""), name: Arc::from(address.to_string()) }
}

fn port_key(port: u16) -> Key {
    Key { collection: Arc::from(PORTS), namespace: Arc::from(""), name: Arc::from(port.to_string()) }
}

fn address_record(
    (address, now): (IpAddr, jiff::Timestamp),
    owner: &Owner,
    companion: Option<&Companion<'_>>,
) -> Write {
    let labels = [
        ("ipaddress.kubernetes.io/ip-family", family_of(address)),
        ("ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io"),
    ];
    let uid = uuid::Uuid::new_v4().to_string();
    let mut object = Object::default();
    object.set(
        &["metadata"],
        json!({
            "name": address.to_string(), "uid": uid,
            "creationTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "labels": labels.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
        }),
    );
    let parent = json!({ "resource": "services", "namespace": owner.namespace, "name": owner.name });
    object.set(&["spec", "parentRef"], parent);
    let labels = labels.iter().map(|(k, v)| (Arc::from(*k), Arc::from(*v))).collect();
    let facts = Facts { uid: Uid::from(uid.as_str()), labels, ..Facts::default() };
    let body = match companion {
        Some(companion) => companion.body(None, object),
        None => body(object.into_value()),
    };
    Write { key: address_key(address), expect: Expect::Absent, change: Change::Put { body, facts } }
}

fn port_record(port: u16, owner: &Owner) -> Write {
    let object = json!({ "metadata": { "name": port.to_string(), "resourceVersion": "" },
        "service": { "namespace": owner.namespace, "name": owner.name } });
    let change = Change::Put { body: body(object), facts: Facts::default() };
    Write { key: port_key(port), expect: Expect::Absent, change }
}

fn body(object: Value) -> Body {
    let Value::Object(root) = object else { unreachable!("records are objects by construction") };
    let (json, revision_at) = codec::encode_stored(&root, Layout::Sorted);
    Body { json: json.into(), revision_at }
}
