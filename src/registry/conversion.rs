//! Custom resources whose versions a webhook converts (apiextensions-apiserver `pkg/apiserver/conversion`): what is
//! read is brought to the version of the request before anyone looks at it, what is written to that of the store. Many
//! objects go in one call.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Registry, persist};
use crate::api::status::{Cause, Details};
use crate::api::{GroupVersionKind, Object, Reason, Result, Status};
use crate::remote::{Remote, convert};
use crate::resources::Kind;
use crate::storage::{Body, Stored};

/// Objects and bytes in one call; longer lists take several.
const OBJECTS_MAX: usize = 200;
const BYTES_MAX: usize = 8 << 20;

impl Registry {
    /// Stored objects in the version of a kind, as `Converter::converted`.
    pub(super) async fn converted(
        &self,
        kind: &Kind,
        stored: Vec<Arc<Stored>>,
        reading: Reading,
    ) -> Result<Vec<Arc<Stored>>> {
        Converter(&self.admission.remote).converted(kind, stored, reading).await
    }

    /// What storing an object and reading it again would make of it.
    pub(super) async fn there_and_back(&self, kind: &Kind, object: Object) -> Result<Object> {
        let Some(webhook) = kind.custom.as_ref().and_then(|version| version.conversion()) else { return Ok(object) };
        let shelved = match Converter(&self.admission.remote).shelved(kind, &object).await? {
            Cow::Borrowed(_) => return Ok(object),
            Cow::Owned(shelved) => shelved,
        };
        let back = convert(&self.admission.remote, webhook, vec![shelved], &kind.gvk).await?;
        Ok(back.into_iter().next().unwrap_or(object))
    }

    /// The same for one object.
    pub(super) async fn one_converted(
        &self,
        kind: &Kind,
        stored: &Arc<Stored>,
        reading: Reading,
    ) -> Result<Arc<Stored>> {
        let all = self.converted(kind, vec![stored.clone()], reading).await?;
        all.into_iter().next().ok_or_else(|| Status::internal("an object was lost in conversion"))
    }

    /// An object as it is to be stored, where a webhook must bring it to the version of the store.
    pub(super) async fn shelved<'a>(&self, kind: &Kind, object: &'a Object) -> Result<Cow<'a, Object>> {
        Converter(&self.admission.remote).shelved(kind, object).await
    }
}

/// What an object is read for, which decides how its loss is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reading {
    One,
    Many,
    /// To change it.
    Changing,
}

/// Upstream's storage takes what cannot be converted for what cannot be decoded.
fn unreadable(kind: &Kind, stored: &Stored, (reading, why): (Reading, &str)) -> Status {
    let place = [&*kind.gvk.group, &*kind.resource, &*stored.key.namespace, &*stored.key.name];
    let place: Vec<&str> = place.into_iter().filter(|part| !part.is_empty()).collect();
    let undecodable = format!("object not decodable revision={}: {why}", stored.revision);
    let corrupt = |key: &str| {
        format!(
            "StorageError: corrupt object, Code: 7, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {undecodable}"
        )
    };
    let key = format!("/{}", place.join("/"));
    match reading {
        Reading::Changing => failure(undecodable),
        Reading::One => Status::internal(corrupt(&key)),
        Reading::Many => {
            let key = format!("/registry{key}");
            let (resource, told) = (kind.group_resource(), corrupt(&key));
            let message = format!("failed to read one or more {resource} from the storage: {told}");
            let cause = Cause { reason: "UnexpectedServerResponse".to_owned(), message: told, field: key };
            Status::new(500, Reason::StoreReadError, message).with_details(Details {
                group: kind.gvk.group.to_string(),
                kind: kind.resource.to_string(),
                name: "list".to_owned(),
                causes: vec![cause],
                ..Details::default()
            })
        }
    }
}

/// Calls the webhooks that convert.
pub(super) struct Converter<'a>(pub &'a Remote);

impl Converter<'_> {
    /// Stored objects in the version of a kind, where a webhook must bring them there; all others as they are.
    ///
    /// # Errors
    /// 500 in upstream's words for a webhook that cannot be reached, lies or changes what it may not.
    pub(super) async fn converted(
        &self,
        kind: &Kind,
        mut stored: Vec<Arc<Stored>>,
        reading: Reading,
    ) -> Result<Vec<Arc<Stored>>> {
        let Some(webhook) = kind.custom.as_ref().and_then(|version| version.conversion()) else { return Ok(stored) };
        let other = |stored: &Arc<Stored>| !in_version(stored, &kind.gvk);
        let mut places: Vec<usize> = (0..stored.len()).filter(|at| other(&stored[*at])).collect();
        while !places.is_empty() {
            let mut bytes = 0;
            let fits = |at: &&usize| {
                bytes += stored[**at].body.json.len();
                bytes <= BYTES_MAX
            };
            let count = places.iter().take(OBJECTS_MAX).take_while(fits).count().max(1);
            let chunk: Vec<usize> = places.drain(..count).collect();
            let objects = chunk.iter().map(|at| parse(&stored[*at])).collect::<Result<Vec<_>>>()?;
            let first = stored[chunk[0]].clone();
            let converted = convert(self.0, webhook, objects, &kind.gvk).await;
            let converted = converted.map_err(|status| unreadable(kind, &first, (reading, status.message())))?;
            for (at, object) in chunk.into_iter().zip(converted) {
                stored[at] = Arc::new(with_object(kind, &stored[at], &object)?);
            }
        }
        Ok(stored)
    }

    async fn shelved<'a>(&self, kind: &Kind, object: &'a Object) -> Result<Cow<'a, Object>> {
        let version = kind.custom.as_ref();
        let Some(webhook) = version.and_then(|version| version.conversion()) else { return Ok(Cow::Borrowed(object)) };
        let storage = version.map_or(&kind.gvk.version, |version| version.storage_version());
        let wanted = GroupVersionKind { version: storage.clone(), ..kind.gvk.clone() };
        if object.gvk() == wanted {
            return Ok(Cow::Borrowed(object));
        }
        let converted = convert(self.0, webhook, vec![object.clone()], &wanted).await?;
        Ok(converted.into_iter().next().map_or(Cow::Borrowed(object), Cow::Owned))
    }
}

/// 500 without a reason: to upstream this is an error like any other.
fn failure(message: String) -> Status {
    Status::new(500, Reason::Unknown, message)
}

/// Whether a stored object is in a version, by the beginning of its text, which is `apiVersion`.
fn in_version(stored: &Stored, gvk: &GroupVersionKind) -> bool {
    stored.body.json.starts_with(format!("{{\"apiVersion\":\"{}\",", gvk.api_version()).as_bytes())
}

fn parse(stored: &Arc<Stored>) -> Result<Object> {
    Object::from_json(&stored.body.json)
        .map_err(|error| Status::internal(format!("stored object {} does not decode: {error}", stored.key.name)))
}

/// The same stored object with another text.
fn with_object(kind: &Kind, stored: &Stored, object: &Object) -> Result<Stored> {
    let Body { json, revision_at } = persist::encode(kind, object)?;
    let body = Body { json, revision_at };
    Ok(Stored { key: stored.key.clone(), revision: stored.revision, body, facts: stored.facts.clone(), note: 0.into() })
}
