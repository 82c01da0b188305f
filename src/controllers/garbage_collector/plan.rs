//! What becomes of an object, decided from itself, its owners and its dependents.

use crate::client::{Meta, OwnerReference};

/// The finalizer of an owner that goes after its dependents.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an owner whose dependents stay.
pub(super) const ORPHAN: &str = "orphan";

/// How an owner is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    Present,
    /// It is being deleted and waits for its dependents.
    Waiting,
    Absent,
    /// Its kind is not served, so nobody can tell.
    Unknown,
}

impl Owner {
    pub(super) fn of(meta: &Meta) -> Self {
        if waits_for_dependents(meta) { Self::Waiting } else { Self::Present }
    }
}

/// What is to be done with an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Action {
    Nothing,
    /// Its dependents are gone; it may go.
    Unfinalize(&'static str),
    /// Its dependents are to be looked at; it waits for them.
    Await,
    /// Its dependents are to be freed.
    Orphan,
    /// These owners are gone or going, others are not.
    DropOwners(Vec<String>),
    Delete {
        policy: &'static str,
        /// It must no longer hold its owners up.
        unblock: bool,
    },
}

/// Whether an object is being deleted and waits for its dependents.
pub(super) fn waits_for_dependents(meta: &Meta) -> bool {
    meta.deleting() && meta.finalizers.iter().any(|finalizer| finalizer == FOREGROUND)
}

/// Works out what is to be done.
pub(super) fn plan(meta: &Meta, owners: &[(OwnerReference, Owner)], dependents: &[&Meta]) -> Action {
    if meta.deleting() && meta.finalizers.iter().any(|finalizer| finalizer == ORPHAN) {
        return Action::Orphan;
    }
    if waits_for_dependents(meta) {
        let blocks = |dependent: &&Meta| {
            let owner = dependent.owner_references.iter().find(|owner| owner.uid == meta.uid);
            owner.is_some_and(|owner| owner.block_owner_deletion == Some(true))
        };
        return if dependents.iter().any(blocks) { Action::Await } else { Action::Unfinalize(FOREGROUND) };
    }
    if meta.deleting() || owners.is_empty() {
        return Action::Nothing;
    }
    let is = |state: Owner| owners.iter().filter(move |(_, owner)| *owner == state);
    let solid = is(Owner::Present).chain(is(Owner::Unknown)).next().is_some();
    if solid {
        let gone: Vec<_> = is(Owner::Absent).chain(is(Owner::Waiting)).map(|(owner, _)| owner.uid.clone()).collect();
        return if gone.is_empty() { Action::Nothing } else { Action::DropOwners(gone) };
    }
    let awaited = is(Owner::Waiting).next().is_some();
    if awaited && !dependents.is_empty() {
        let circle = dependents.iter().any(|dependent| waits_for_dependents(dependent));
        return Action::Delete { policy: "Foreground", unblock: circle };
    }
    Action::Delete { policy: super::policy_of(meta), unblock: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(uid: &str, finalizers: &[&str], deleting: bool) -> Meta {
        let mut meta = json!({"name": uid, "uid": uid, "finalizers": finalizers});
        if deleting {
            meta["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        serde_json::from_value(meta).unwrap()
    }

    fn owner(uid: &str, blocks: bool) -> OwnerReference {
        OwnerReference { uid: uid.to_owned(), block_owner_deletion: Some(blocks), ..OwnerReference::default() }
    }

    fn background() -> Action {
        Action::Delete { policy: "Background", unblock: false }
    }

    #[test]
    fn an_object_goes_when_all_its_owners_are_gone() {
        let object = object("x", &[], false);
        let one = |state| [(owner("o", true), state)];
        assert_eq!(plan(&object, &one(Owner::Absent), &[]), background());
        assert_eq!(plan(&object, &one(Owner::Waiting), &[]), background());
        assert_eq!(plan(&object, &one(Owner::Present), &[]), Action::Nothing);
        assert_eq!(plan(&object, &one(Owner::Unknown), &[]), Action::Nothing);
        assert_eq!(plan(&object, &[], &[]), Action::Nothing);
    }

    #[test]
    fn an_object_with_another_owner_stays_and_forgets_the_one_that_is_gone() {
        let owners = [(owner("o", true), Owner::Absent), (owner("p", true), Owner::Present)];
        assert_eq!(plan(&object("x", &[], false), &owners, &[]), Action::DropOwners(vec!["o".to_owned()]));
    }

    #[test]
    fn an_owner_in_the_foreground_waits_for_the_dependents_that_block_it() {
        let waiting = object("o", &[FOREGROUND], true);
        let mut dependent = object("x", &[], false);
        dependent.owner_references = vec![owner("o", true)];
        assert_eq!(plan(&waiting, &[], &[&dependent]), Action::Await);
        dependent.owner_references = vec![owner("o", false)];
        assert_eq!(plan(&waiting, &[], &[&dependent]), Action::Unfinalize(FOREGROUND));
    }

    #[test]
    fn a_dependent_with_dependents_of_its_own_goes_in_the_foreground() {
        let middle = object("m", &[], false);
        let leaf = object("x", &[], false);
        let owners = [(owner("o", true), Owner::Waiting)];
        assert_eq!(plan(&middle, &owners, &[&leaf]), Action::Delete { policy: "Foreground", unblock: false });
        let circle = object("y", &[FOREGROUND], true);
        assert_eq!(plan(&middle, &owners, &[&circle]), Action::Delete { policy: "Foreground", unblock: true });
    }

    #[test]
    fn dependents_of_an_orphaning_owner_are_freed() {
        assert_eq!(plan(&object("o", &[ORPHAN], true), &[], &[]), Action::Orphan);
    }
}
