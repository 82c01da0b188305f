//! Values of errors as Go prints them: the types of the meta group in the order of their fields, upstream's internal
//! types with the names of their Go fields and nothing left out.

use serde_json::{Map, Value};

use super::go_diff;
use crate::api::emptied::Emptied;
use crate::api::field::{FieldError, Path, Shown};
use crate::api::schema::{Field, Shape, Table, TypeId};

/// The definition name of label selectors.
pub(super) const LABEL_SELECTOR: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector";

/// Gives the errors about an object of a type, if they name types themselves, their text.
pub fn settle(errors: &mut [FieldError], (table, id): (&Table, TypeId), emptied: &Emptied) {
    let printer = Printer { table, emptied };
    for error in errors {
        let at = Path::new(place(&error.field));
        match &error.shown {
            Shown::As(name) => {
                if let Some(id) = table.find(name) {
                    error.shown = Shown::Text(printer.print(&error.value, &Shape::Struct(id), &at));
                }
            }
            Shown::Field => error.shown = printer.at_field(error, id),
            Shown::Difference(between) => {
                error.detail.push_str(&go_diff::unified(between, &printer, &at));
                error.shown = Shown::Nothing;
            }
            Shown::Tree if error.value.is_null() => {
                let listed = field_at(&error.field, table, id)
                    .is_some_and(|(field, indexed)| !indexed && matches!(field.shape, Shape::List(_) | Shape::Map(_)));
                if let Some(text) = emptied.at(&error.field).filter(|_| listed) {
                    error.shown = Shown::Text(text.to_owned());
                }
            }
            Shown::Tree | Shown::Nothing | Shown::Text(_) => {}
        }
    }
}

/// Where the value of an error stands, of the errors whose path is not that of a field.
fn place(path: &str) -> &str {
    match path {
        "nodeAffinity" => "spec.nodeAffinity",
        "spec.persistentvolumesource" => "spec",
        other => other,
    }
}

/// The field that a path leads to, and whether the path goes on to an item of it.
fn field_at<'t>(path: &str, table: &'t Table, id: TypeId) -> Option<(&'t Field, bool)> {
    let mut of = table.get(id);
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        let (name, indexed) = part.split_once('[').map_or((part, false), |(name, _)| (name, true));
        let field = of.field(name)?;
        if parts.peek().is_none() {
            return Some((field, indexed));
        }
        of = table.get(match &field.shape {
            Shape::List(list) if indexed => list.item.struct_inside()?,
            Shape::Struct(id) => *id,
            _ => return None,
        });
    }
    None
}

/// Prints values of a table's types; what the client said is empty is printed so.
pub(super) struct Printer<'a> {
    pub(super) table: &'a Table,
    pub(super) emptied: &'a Emptied,
}

impl Printer<'_> {
    /// The value of an error as the field that its path leads to, in a type.
    fn at_field(&self, error: &FieldError, id: TypeId) -> Shown {
        let at = Path::new(&error.field);
        match (field_at(&error.field, self.table, id), &error.value) {
            (Some((field, false)), Value::Null) => Shown::Text(self.absent(field, &at)),
            (Some((field, indexed)), value @ (Value::Object(_) | Value::Array(_))) => match &field.shape {
                Shape::List(list) if indexed => Shown::Text(self.print(value, &list.item, &at)),
                shape => Shown::Text(self.print(value, shape, &at)),
            },
            (_, _) => Shown::Tree,
        }
    }

    /// A value of a shape, or a list of such values, as Go's `json.Marshal` writes the internal form of it.
    pub(super) fn print(&self, value: &Value, shape: &Shape, at: &Path<'_>) -> String {
        match (shape, value) {
            (Shape::Struct(id), Value::Object(map)) => {
                if self.table.get(*id).name.contains("apimachinery.pkg.apis.meta") {
                    self.tagged(map, *id, at)
                } else {
                    self.fields((map, *id), at, |_| true)
                }
            }
            (Shape::Struct(_), Value::Array(items)) => self.list(items, shape, at),
            (Shape::List(list), Value::Array(items)) => self.list(items, &list.item, at),
            (Shape::Map(map), Value::Object(entries)) => {
                let entries = entries.iter().map(|(key, value)| {
                    format!("{}:{}", Value::from(key.as_str()), self.print(value, &map.value, &at.child(key)))
                });
                format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
            }
            (_, Value::Null) => self.emptied.at(&at.to_string()).unwrap_or("null").to_owned(),
            (_, value) => value.to_string(),
        }
    }

    fn list(&self, items: &[Value], item: &Shape, at: &Path<'_>) -> String {
        let items = items.iter().enumerate().map(|(index, value)| self.print(value, item, &at.index(index)));
        format!("[{}]", items.collect::<Vec<_>>().join(","))
    }

    /// With JSON's names and without what is empty.
    fn tagged(&self, map: &Map<String, Value>, id: TypeId, at: &Path<'_>) -> String {
        let fields = self.table.get(id).fields.iter().filter_map(|field| {
            let value = map.get(field.name.as_ref()).filter(|value| !value.is_null() || !field.omit_empty)?;
            Some(format!("\"{}\":{}", field.name, self.print(value, &field.shape, &at.child(&field.name))))
        });
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    }

    /// The struct that is embedded in a type: those of its fields that are in a message of their own on the wire.
    pub(super) fn print_embedded(&self, value: &Value, outer: &str, at: &Path<'_>) -> String {
        match (self.table.find(outer), value) {
            (Some(id), Value::Object(map)) => self.fields((map, id), at, |field| field.proto.via != 0),
            (_, value) => value.to_string(),
        }
    }

    fn fields(
        &self,
        (map, id): (&Map<String, Value>, TypeId),
        at: &Path<'_>,
        counts: impl Fn(&Field) -> bool,
    ) -> String {
        let of = self.table.get(id);
        let mut texts = Vec::new();
        // What an object in another one is said to be, the internal form does not keep.
        let typed = |field: &Field| of.field("metadata").is_some() && ["kind", "apiVersion"].contains(&&*field.name);
        for field in of.fields.iter().filter(|field| counts(field) && !typed(field)) {
            let value = map.get(field.name.as_ref()).filter(|value| !value.is_null());
            let place = at.child(&field.name);
            // The metadata is embedded: its fields stand among the others.
            if field.name == "metadata" {
                let inner = value.map(|value| self.print(value, &field.shape, &place)).unwrap_or_default();
                let inner = inner.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or_default();
                texts.extend((!inner.is_empty()).then(|| inner.to_owned()));
                continue;
            }
            let text = match value {
                Some(value) => self.print(value, &field.shape, &place),
                None => self.absent(field, &place),
            };
            texts.push(format!("\"{}\":{text}", go_name(&of.name, &field.name)));
        }
        format!("{{{}}}", texts.join(","))
    }

    fn absent(&self, field: &Field, at: &Path<'_>) -> String {
        match field.shape {
            Shape::List(_) | Shape::Map(_) => self.emptied.at(&at.to_string()).unwrap_or("null").to_owned(),
            _ => self.zero(field, at),
        }
    }

    /// What Go writes of a field that was not set.
    fn zero(&self, field: &Field, at: &Path<'_>) -> String {
        if field.pointer {
            return "null".to_owned();
        }
        match &field.shape {
            Shape::String => "\"\"".to_owned(),
            Shape::Bool => "false".to_owned(),
            Shape::Int32 | Shape::Int64 | Shape::Float64 | Shape::IntOrString => "0".to_owned(),
            Shape::Quantity => "\"0\"".to_owned(),
            Shape::Duration => "\"0s\"".to_owned(),
            Shape::Struct(_) => self.print(&Value::Object(Map::new()), &field.shape, at),
            Shape::Bytes
            | Shape::Time
            | Shape::MicroTime
            | Shape::Json
            | Shape::FieldsV1
            | Shape::List(_)
            | Shape::Map(_)
            | Shape::SchemaOrArray(_)
            | Shape::SchemaOrBool(_)
            | Shape::SchemaOrStrings(_) => "null".to_owned(),
        }
    }
}

/// Names of Go fields that are not the JSON name with a capital: of one type, or of all.
const NAMES: &[(&str, &str)] = &[
    ("apiVersion", "APIVersion"),
    ("apiGroup", "APIGroup"),
    ("apiGroups", "APIGroups"),
    ("awsElasticBlockStore", "AWSElasticBlockStore"),
    ("cel", "CEL"),
    ("cephfs", "CephFS"),
    ("chapAuthDiscovery", "DiscoveryCHAPAuth"),
    ("chapAuthSession", "SessionCHAPAuth"),
    ("cidr", "CIDR"),
    ("cidrs", "CIDRs"),
    ("csi", "CSI"),
    ("dnsConfig", "DNSConfig"),
    ("dnsPolicy", "DNSPolicy"),
    ("fc", "FC"),
    ("fsGroup", "FSGroup"),
    ("fsGroupChangePolicy", "FSGroupChangePolicy"),
    ("fsGroupPolicy", "FSGroupPolicy"),
    ("fsType", "FSType"),
    ("gcePersistentDisk", "GCEPersistentDisk"),
    ("gid", "GID"),
    ("gmsaCredentialSpec", "GMSACredentialSpec"),
    ("gmsaCredentialSpecName", "GMSACredentialSpecName"),
    ("grpc", "GRPC"),
    ("http", "HTTP"),
    ("httpGet", "HTTPGet"),
    ("httpHeaders", "HTTPHeaders"),
    ("ip", "IP"),
    ("ipBlock", "IPBlock"),
    ("ipFamilies", "IPFamilies"),
    ("ipFamilyPolicy", "IPFamilyPolicy"),
    ("ipMode", "IPMode"),
    ("iqn", "IQN"),
    ("iscsi", "ISCSI"),
    ("iscsiInterface", "ISCSIInterface"),
    ("lastState", "LastTerminationState"),
    ("nfs", "NFS"),
    ("os", "OS"),
    ("osImage", "OSImage"),
    ("pdName", "PDName"),
    ("pkixPublicKey", "PKIXPublicKey"),
    ("qosClass", "QOSClass"),
    ("rbd", "RBD"),
    ("seLinuxChangePolicy", "SELinuxChangePolicy"),
    ("seLinuxMount", "SELinuxMount"),
    ("seLinuxOptions", "SELinuxOptions"),
    ("serviceAccount", "DeprecatedServiceAccount"),
    ("sslEnabled", "SSLEnabled"),
    ("storageos", "StorageOS"),
    ("tcpSocket", "TCPSocket"),
    ("tls", "TLS"),
    ("ttlSecondsAfterFinished", "TTLSecondsAfterFinished"),
    ("tty", "TTY"),
    ("uid", "UID"),
    ("uri", "URI"),
    ("url", "URL"),
    ("wwids", "WWIDs"),
];
const OF_TYPES: &[(&str, &str, &str)] = &[
    (".RBDVolumeSource", "monitors", "CephMonitors"),
    (".RBDVolumeSource", "image", "RBDImage"),
    (".RBDVolumeSource", "pool", "RBDPool"),
    (".RBDVolumeSource", "user", "RadosUser"),
    (".RBDPersistentVolumeSource", "monitors", "CephMonitors"),
    (".RBDPersistentVolumeSource", "image", "RBDImage"),
    (".RBDPersistentVolumeSource", "pool", "RBDPool"),
    (".RBDPersistentVolumeSource", "user", "RadosUser"),
    (".GlusterfsVolumeSource", "endpoints", "EndpointsName"),
    (".GlusterfsPersistentVolumeSource", "endpoints", "EndpointsName"),
    (".AzureDiskVolumeSource", "diskURI", "DataDiskURI"),
    (".flowcontrol.v1.Subject", "serviceAccount", "ServiceAccount"),
    (".DeviceAttribute", "int", "IntValue"),
    (".DeviceAttribute", "bool", "BoolValue"),
    (".DeviceAttribute", "string", "StringValue"),
    (".DeviceAttribute", "version", "VersionValue"),
];

/// The name of the Go field that JSON calls so.
fn go_name(of: &str, name: &str) -> String {
    let special = OF_TYPES.iter().find(|(kind, json, _)| *json == name && of.ends_with(kind)).map(|(_, _, go)| *go);
    let special = special.or_else(|| NAMES.iter().find(|(json, _)| *json == name).map(|(_, go)| *go));
    let mut letters = name.chars();
    special.map(str::to_owned).unwrap_or_else(|| {
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::facts;

    #[track_caller]
    fn check(name: &'static str, value: Value, expected: &str) {
        let error = FieldError::invalid(&Path::new("a"), value, "").shown(Shown::As(name));
        let mut errors = [error];
        let types = facts::types();
        let pod = types.find("io.k8s.api.core.v1.Pod").unwrap();
        settle(&mut errors, (&types, pod), &Emptied::default());
        assert_eq!(errors[0].shown, Shown::Text(expected.to_owned()));
    }

    #[test]
    fn selectors_print_in_the_order_of_their_fields() {
        let value =
            json!({"matchExpressions": [{"values": ["x"], "operator": "In", "key": "k"}], "matchLabels": {"a": "b"}});
        let expected = r#"{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"k","operator":"In","values":["x"]}]}"#;
        check(LABEL_SELECTOR, value, expected);
    }

    #[test]
    fn internal_types_print_with_the_names_of_go() {
        let expected = r#"{"Key":"a","Value":"","Effect":"NoSchedule","TimeAdded":null}"#;
        check("io.k8s.api.core.v1.Taint", json!({"key": "a", "effect": "NoSchedule"}), expected);
    }
}
