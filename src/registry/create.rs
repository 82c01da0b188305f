//! Create: the path of a write for an object that is not there yet (apiserver `handlers/create.go`,
//! `registry/generic/registry/store.go` Create and `registry/rest/create.go` BeforeCreate).

use super::admit::Admission;
use super::conversion::Reading;
use super::ownership::Owner;
use super::persist::Committed;
use super::replace::Ownership;
use super::{ATTEMPTS_MAX, Answer, Call, Input, Registry, Written, metadata, persist};
use crate::admission::Operation;
use crate::api::request::{Options, WriteOptions};
use crate::api::validation::{Scope, metadata as metadata_rules};
use crate::api::{Object, Result, Status};
use crate::resources::{Kind, is_given};
use crate::storage::Expect;

/// How often a generated name that is taken is made anew.
const NAMES_MAX: usize = 8;

/// What one attempt came to.
enum Attempt {
    Done(Written),
    /// A companion lost a race, or a generated name was taken.
    Again {
        name_taken: bool,
    },
}

impl Registry {
    /// Creates an object, or runs the action of a subresource or a type that is not stored.
    ///
    /// # Errors
    /// Whatever the API says: 400 for bodies, 403 by admission, 409, 422.
    pub async fn create(&self, call: &Call, input: Input, options: &WriteOptions) -> Result<Written> {
        if let Some(action) = self.actions.find(call) {
            return self.run_action(&*action, call, (input, options)).await;
        }
        if !call.target.subresource.is_empty() {
            return Err(Status::method_not_allowed());
        }
        let mut object = self.decode(call, input, options.field_validation)?;
        metadata::wipe_system_fields(&mut object);
        metadata::settle_namespace(call, &mut object)?;
        metadata::dedup_owners(&mut object, &call.warnings, false);
        self.create_decoded(call, object, options, Ownership::ByChange).await
    }

    /// Creates from a decoded and defaulted object in the stored version; also the way of an apply or update that
    /// creates.
    pub(super) async fn create_decoded(
        &self,
        call: &Call,
        object: Object,
        options: &WriteOptions,
        ownership: Ownership,
    ) -> Result<Written> {
        let mut names = 0;
        let name = object.name().to_owned();
        let mut next = Some(object);
        for _ in 0..ATTEMPTS_MAX {
            let Some(object) = next.take() else { break };
            next = self.may_begin_again(call, &object).then(|| object.clone());
            match self.create_once(call, object, (options, ownership)).await? {
                Attempt::Done(written) => return Ok(written),
                Attempt::Again { name_taken } => {
                    names += usize::from(name_taken);
                    if names == NAMES_MAX {
                        let resource = call.kind.group_resource();
                        let prefix = next.as_ref().map_or("", |object| object.text_at(&["metadata", "generateName"]));
                        return Err(generate_name_conflict(&resource, prefix));
                    }
                }
            }
        }
        Err(Status::conflict(&call.kind.group_resource(), &name, "too many writers at once"))
    }

    /// Whether a create may lose a race that it can win the next time: for a name that is made, or with companions. The
    /// others need no copy of the object.
    fn may_begin_again(&self, call: &Call, object: &Object) -> bool {
        let namespace = &call.target.namespace;
        let accompanied = || self.plugins.iter().any(|p| p.accompanies(&self.admission, &call.kind, namespace));
        object.name().is_empty() || accompanied()
    }

    async fn create_once(&self, call: &Call, mut object: Object, how: (&WriteOptions, Ownership)) -> Result<Attempt> {
        let (options, ownership) = how;
        let kind = &call.kind;
        if let Some(why) = kind.behaviour.create_refusal() {
            return Err(Status::forbidden(&kind.group_resource(), object.name(), why));
        }
        let moment = self.moment();
        let served = self.catalog.served();
        if ownership == Ownership::ByChange {
            Owner { call, options, moment, served: &served }.own(None, &mut object);
        }
        let asked = Options::Create(options);
        let dry_run = options.dry_run;
        let admission = Admission { operation: Operation::Create, call, old: None, options: asked, dry_run };
        let mut companions = self.admit(admission, Some(&mut object)).await?;
        metadata::dedup_owners(&mut object, &call.warnings, true);
        metadata::fill_system_fields(&mut object, moment.now);
        let generated = generate(&mut object);
        metadata::settle_namespace(call, &mut object)?;
        if metadata::has_status(kind) && !kind.behaviour.keeps_status_on_create() {
            object.root_mut().remove("status");
        }
        if kind.counts_generations() {
            object.set(&["metadata", "generation"], 1);
        }
        self.drop_disabled(kind, &mut object, None);
        kind.behaviour.stamp_requester(&mut object, &call.user);
        kind.behaviour.warnings_as_sent(&object).into_iter().for_each(|warning| call.warnings.add(warning));
        kind.behaviour.prepare_create(kind, &mut object, &moment);
        companions.extend(self.allocate(admission, Some(&mut object)).await?);
        self.complete(kind, &mut object);
        self.validate_new(call, &object)?;
        let warnings = kind.behaviour.warnings(&object, None).into_iter();
        warnings.filter(|text| is_given(&kind.gates, text, true)).for_each(|text| call.warnings.add(text));
        companions.extend(self.admit_finally(admission, Some(&mut object)).await?);
        // A dry run does not come to the store, which is who refuses it.
        if !options.dry_run && is_version(object.resource_version()) {
            let message = "resourceVersion should not be set on objects to be created";
            return Err(Status::new(500, crate::api::Reason::Unknown, message));
        }
        persist::settle_empty(kind, &mut object);
        let key = self.key(call, object.name());
        if options.dry_run {
            let object = self.there_and_back(kind, object).await?;
            return self.dry_create(call, &key, object).map(Attempt::Done);
        }
        let shelved = self.shelved(kind, &object).await?;
        let write = persist::put(kind, key.clone(), Expect::Absent, &shelved)?;
        let alone = companions.is_empty() && !generated;
        match self.commit(call, write, companions).await? {
            Committed::Done(stored) => {
                let answer = Answer::Stored(self.one_converted(kind, &stored, Reading::One).await?);
                Ok(Attempt::Done(Written { answer, created: true }))
            }
            Committed::Raced => match self.store.snapshot().get(&key) {
                Some(_) if generated => Ok(Attempt::Again { name_taken: true }),
                Some(present) => Err(already_exists(kind, &object, present.facts.deleting)),
                // It was there when it mattered.
                None if alone => Err(already_exists(kind, &object, false)),
                None => Ok(Attempt::Again { name_taken: false }),
            },
        }
    }

    fn validate_new(&self, call: &Call, object: &Object) -> Result<()> {
        let kind = &*call.kind;
        let scope = if kind.namespaced { Scope::Namespaced } else { Scope::Cluster };
        let names = |name: &str, prefix: bool| kind.behaviour.name_errors(name, prefix);
        let mut errors = metadata_rules::validate_create(object, scope, &names);
        errors.extend(metadata::finalizer_errors(kind, object));
        errors.extend(self.admin_access_error(call, object, None));
        errors.extend(kind.behaviour.validate(kind, object));
        if errors.is_empty() {
            errors.extend(metadata::path_errors(object));
        }
        let errors = self.with_declared(call, errors, object, None);
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Status::invalid(&kind.stored_as.group_kind(), object.name(), &errors))
        }
    }

    fn dry_create(&self, call: &Call, key: &crate::storage::Key, object: Object) -> Result<Written> {
        if let Some(present) = self.store.snapshot().get(key) {
            return Err(already_exists(&call.kind, &object, present.facts.deleting));
        }
        Ok(Written { answer: self.spelled_out(&call.kind, object), created: true })
    }
}

/// Whether it is the version of a stored object. What is no number is no version, and not looked at by upstream either.
fn is_version(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u64>().is_ok_and(|version| version != 0)
}

fn already_exists(kind: &Kind, object: &Object, deleting: bool) -> Status {
    let status = Status::already_exists(&kind.group_resource(), object.name());
    if deleting { status.with_message_prefix("object is being deleted: ") } else { status }
}

fn generate_name_conflict(resource: &crate::api::GroupResource, prefix: &str) -> Status {
    let details = crate::api::status::Details {
        group: resource.group.clone().into_owned(),
        kind: resource.resource.clone().into_owned(),
        name: prefix.to_owned(),
        retry_after_seconds: 1,
        ..Default::default()
    };
    let message = format!(
        "{resource} \"{prefix}\" already exists, the server was not able to generate a unique name for the object"
    );
    Status::new(409, crate::api::Reason::AlreadyExists, message).with_details(details)
}

/// Makes the name where only a prefix is given; whether it did.
fn generate(object: &mut Object) -> bool {
    let prefix = object.text_at(&["metadata", "generateName"]);
    if prefix.is_empty() || !object.name().is_empty() {
        return false;
    }
    let name = metadata::generate_name(prefix);
    object.set(&["metadata", "name"], name);
    true
}
