//! Objects that the server itself writes along with a request: it is their manager, and they stand in the store as any
//! object of their type.

use jiff::Timestamp;

use crate::api::Object;
use crate::api::apply::{self, OneVersion, Owns, Scope, Writer};
use crate::api::codec::json;
use crate::resources::Kind;
use crate::storage::Body;

/// Who the server is among the managers of an object.
const MANAGER: &str = "kube-apiserver";

/// The type of a companion, which part of it is written, and when.
pub(super) struct Companion<'a> {
    pub kind: &'a Kind,
    /// Empty for the whole object.
    pub subresource: &'static str,
    pub now: Timestamp,
}

impl Companion<'_> {
    /// What is stored of an object, with what the server owns of it. `old` is the stored one, `None` on create.
    pub(super) fn body(&self, old: Option<&Object>, mut new: Object) -> Body {
        let kind = self.kind;
        let scope = Scope {
            root: kind.root(),
            api_version: &kind.gvk.api_version(),
            kind: &kind.gvk.kind,
            subresource: self.subresource,
            owns: Owns::All,
            versions: &OneVersion,
        };
        apply::update(&scope, old, &mut new, &Writer { manager: MANAGER, now: self.now });
        new.set_gvk(&kind.gvk);
        let (json, revision_at) = json::encode_stored(new.root(), kind.layout());
        Body { json: json.into(), revision_at }
    }
}
