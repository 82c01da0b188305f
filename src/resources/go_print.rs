//! Values of errors as Go prints them: the types of the meta group in the order of their fields, upstream's internal
//! types with the names of their Go fields and nothing left out.

use serde_json::{Map, Value};

use super::go_diff;
use crate::api::field::{FieldError, Shown};
use crate::api::schema::{Field, Shape, Table, TypeId};

/// The definition name of label selectors.
pub(super) const LABEL_SELECTOR: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector";

/// Gives the errors that name a type their text.
pub fn settle(errors: &mut [FieldError], table: &Table) {
    for error in errors {
        match &error.shown {
            Shown::As(name) => {
                if let Some(id) = table.find(name) {
                    error.shown = Shown::Text(print(&error.value, &Shape::Struct(id), table));
                }
            }
            Shown::Difference(between) => {
                error.detail.push_str(&go_diff::unified(between, table));
                error.shown = Shown::Nothing;
            }
            Shown::Tree | Shown::Nothing | Shown::Text(_) => {}
        }
    }
}

/// A value of a shape as Go's `json.Marshal` writes the internal form of it.
pub(super) fn print(value: &Value, shape: &Shape, table: &Table) -> String {
    match (shape, value) {
        (Shape::Struct(id), Value::Object(map)) => {
            let name = &table.get(*id).name;
            if name.contains("apimachinery.pkg.apis.meta") {
                tagged(map, *id, table)
            } else {
                internal(map, *id, table)
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            let items: Vec<String> = items.iter().map(|item| print(item, &list.item, table)).collect();
            format!("[{}]", items.join(","))
        }
        (Shape::Map(map), Value::Object(entries)) => {
            let entries = entries
                .iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), print(value, &map.value, table)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        (_, value) => value.to_string(),
    }
}

/// With JSON's names and without what is empty.
fn tagged(map: &Map<String, Value>, id: TypeId, table: &Table) -> String {
    let fields = table.get(id).fields.iter().filter_map(|field| {
        let value = map.get(field.name.as_ref()).filter(|value| !value.is_null() || !field.omit_empty)?;
        Some(format!("\"{}\":{}", field.name, print(value, &field.shape, table)))
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn internal(map: &Map<String, Value>, id: TypeId, table: &Table) -> String {
    fields(map, id, table, |_| true)
}

/// The struct that is embedded in a type: those of its fields that are in a message of their own on the wire.
pub(super) fn print_embedded(value: &Value, outer: &str, table: &Table) -> String {
    match (table.find(outer), value) {
        (Some(id), Value::Object(map)) => fields(map, id, table, |field| field.proto.via != 0),
        (_, value) => value.to_string(),
    }
}

fn fields(map: &Map<String, Value>, id: TypeId, table: &Table, counts: impl Fn(&Field) -> bool) -> String {
    let of = table.get(id);
    let mut texts = Vec::new();
    for field in of.fields.iter().filter(|field| counts(field)) {
        let value = map.get(field.name.as_ref()).filter(|value| !value.is_null());
        // The metadata is embedded: its fields stand among the others.
        if field.name == "metadata" {
            let inner = value.map(|value| print(value, &field.shape, table)).unwrap_or_default();
            let inner = inner.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or_default();
            texts.extend((!inner.is_empty()).then(|| inner.to_owned()));
            continue;
        }
        let text = value.map_or_else(|| zero(field, table), |value| print(value, &field.shape, table));
        texts.push(format!("\"{}\":{text}", go_name(&of.name, &field.name)));
    }
    format!("{{{}}}", texts.join(","))
}

/// What Go writes of a field that was not set.
fn zero(field: &Field, table: &Table) -> String {
    if field.pointer {
        return "null".to_owned();
    }
    match &field.shape {
        Shape::String => "\"\"".to_owned(),
        Shape::Bool => "false".to_owned(),
        Shape::Int32 | Shape::Int64 | Shape::Float64 | Shape::IntOrString => "0".to_owned(),
        Shape::Quantity => "\"0\"".to_owned(),
        Shape::Duration => "\"0s\"".to_owned(),
        Shape::Struct(_) => print(&Value::Object(Map::new()), &field.shape, table),
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
    use crate::api::field::Path;
    use crate::resources::facts;

    #[track_caller]
    fn check(name: &'static str, value: Value, expected: &str) {
        let error = FieldError::invalid(&Path::new("a"), value, "").shown(Shown::As(name));
        let mut errors = [error];
        settle(&mut errors, &facts::types());
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
