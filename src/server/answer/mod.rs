//! Objects and lists as they are sent: in the agreed encoding and form. What is stored in the served version is sent
//! as the bytes that it is stored as.

mod list;
mod metadata;
mod pieces;
mod scale_table;
mod table;
mod watch;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

pub(super) use list::list;
pub(super) use watch::{Carrier, watch};

use super::Server;
use super::filters::Admitted;
use super::known;
use super::message::Response;
use super::negotiation::{Agreed, Encoding, Form, wrong_form};
use super::options::{self, IncludeObject};
use super::respond;
use super::wire::{self, Typed};
use crate::api::codec::json::Sieve;
use crate::api::{Object, Result, Status};
use crate::registry::{Answer, Call, Registry};
use crate::resources::{Kind, Moment};
use crate::storage::Stored;

/// What all answers to one request have in common.
#[derive(Clone)]
pub(super) struct Manner {
    pub server: Server,
    pub kind: Arc<Kind>,
    pub agreed: Agreed,
    pub include: IncludeObject,
    /// The client takes gzip.
    pub gzip: bool,
    /// Of a Table: which parts of stored objects its rows are made of.
    printed: Arc<Sieve>,
}

impl Manner {
    /// The manner of a request's answer.
    ///
    /// # Errors
    /// 400 for bad options of a Table.
    pub(super) fn of(server: &Server, admitted: &Admitted, call: &Call, agreed: Agreed) -> Result<Self> {
        let include = match agreed.form {
            Form::Table(_) => options::include_object(&admitted.query)?,
            Form::Plain | Form::PartialMetadata(_) | Form::PartialMetadataList(_) => IncludeObject::Metadata,
        };
        let gzip = respond::accepts_gzip(server.parts(), &admitted.request);
        let printed = match agreed.form {
            Form::Table(_) => Arc::new(table::printed(&call.kind)),
            Form::Plain | Form::PartialMetadata(_) | Form::PartialMetadataList(_) => Arc::default(),
        };
        Ok(Self { server: server.clone(), kind: call.kind.clone(), agreed, include, gzip, printed })
    }

    fn moment(&self) -> Moment {
        Moment { now: self.server.parts().clock.now() }
    }

    /// Whether stored bytes are what is served.
    fn as_stored(&self, stored: &Stored) -> bool {
        Registry::served_as_stored(&self.kind, stored)
    }

    fn object(&self, stored: &Stored) -> Result<Object> {
        self.server.parts().registry.serve(&self.kind, stored)
    }

    /// The JSON of a stored object in the served version.
    fn json(&self, stored: &Stored) -> Result<Bytes> {
        if self.as_stored(stored) {
            return Ok(stored.body.json.clone());
        }
        let object = self.object(stored)?;
        Ok(Typed::kind(&self.kind).json(&object.into_value()).into())
    }
}

/// One object, or the `Status` that stands for one.
pub(super) fn one(manner: &Manner, status: u16, answer: Answer) -> Result<Response> {
    let response = match answer {
        Answer::Stored(stored) => one_stored(manner, status, &stored)?,
        Answer::Object(object) => one_tree(manner, status, object)?,
    };
    Ok(respond::compressed(response, manner.gzip))
}

fn one_stored(manner: &Manner, status: u16, stored: &Stored) -> Result<Response> {
    let agreed = manner.agreed;
    let json = |bytes: &[u8]| Response::full(status, "application/json", respond::json_text(bytes, agreed.pretty));
    match (agreed.form, agreed.encoding) {
        (Form::Plain, Encoding::Json) => Ok(json(&manner.json(stored)?)),
        (Form::PartialMetadata(version), Encoding::Json) => Ok(json(&metadata::partial(&stored.body.json, version)?)),
        (Form::Plain | Form::PartialMetadata(_), Encoding::Protobuf) => {
            let body = sealed(manner, stored)?;
            Ok(Response::full(status, Encoding::Protobuf.media_type(), body))
        }
        (Form::Table(version), _) => {
            let json = table::whole_stored(manner, (version, table::Headers::With), stored)?;
            table::sent(manner, status, json)
        }
        (Form::Plain | Form::PartialMetadata(_) | Form::PartialMetadataList(_), _) => {
            one_tree(manner, status, manner.object(stored)?)
        }
    }
}

/// A stored object as protobuf in its envelope.
fn sealed(manner: &Manner, stored: &Stored) -> Result<Bytes> {
    match manner.agreed.form {
        Form::PartialMetadata(version) | Form::PartialMetadataList(version) => {
            let of = metadata::typed(&manner.server.parts().facts.types, version);
            of.sealed(&stored.body.json)
        }
        Form::Plain | Form::Table(_) => Typed::kind(&manner.kind).sealed(&manner.json(stored)?),
    }
}

fn one_tree(manner: &Manner, status: u16, object: Object) -> Result<Response> {
    let agreed = manner.agreed;
    let gvk = object.gvk();
    let types = &manner.server.parts().facts.types;
    // A Status stays what it is in every form.
    let form = if gvk == known::STATUS.gvk { Form::Plain } else { agreed.form };
    let (of, value) = match form {
        Form::Plain if gvk == manner.kind.gvk => (Typed::kind(&manner.kind), object.into_value()),
        Form::Plain => {
            let id = manner.server.parts().facts.type_of(&gvk);
            let id = id.or_else(|| (gvk == known::STATUS.gvk).then(|| Typed::known(types, &known::STATUS).id));
            let id = id.ok_or_else(|| Status::internal(format!("no kind {gvk} is known")))?;
            (Typed { gvk: &gvk, types, id, custom: false }, object.into_value())
        }
        Form::PartialMetadata(version) => {
            (metadata::typed(types, version), metadata::partial_value(object.into_value(), version))
        }
        Form::PartialMetadataList(_) => {
            let kind = &manner.kind.gvk.kind;
            let message = "you requested PartialObjectMetadataList, but the requested object is not a list";
            return Err(wrong_form(format!("{message} (*{}.{kind})", go_package(&manner.kind))));
        }
        Form::Table(version) => return table::one(manner, status, (version, &object)),
    };
    encoded(manner, status, of, &value)
}

/// A tree in the agreed encoding.
fn encoded(manner: &Manner, status: u16, of: Typed<'_>, value: &Value) -> Result<Response> {
    let body = wire::encode(manner.agreed.encoding, of, value)?;
    let json = manner.agreed.encoding == Encoding::Json;
    let body = if json { respond::json_text(&body, manner.agreed.pretty) } else { body };
    Ok(Response::full(status, manner.agreed.encoding.media_type(), body))
}

/// The package of upstream's internal Go type, as its messages print it.
fn go_package(kind: &Kind) -> &str {
    match kind.stored_as.group.split('.').next() {
        None | Some("") => "core",
        Some(first) => first,
    }
}
