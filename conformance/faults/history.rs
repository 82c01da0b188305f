//! What clients asked of a server and what they were told, with times: the whole input of the checker.

use std::collections::BTreeMap;

/// Microseconds since the run began.
pub(super) type Moment = u64;

/// A resourceVersion.
pub(super) type Revision = u64;

/// The field of an object's data that each write sets to a text of its own: it names the write.
pub(super) const MARK: &str = "mark";

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Key {
    pub namespace: String,
    pub name: String,
}

/// What a client sets of an object.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Content {
    /// The value of the label that selectors ask for.
    pub tier: Option<String>,
    pub data: BTreeMap<String, String>,
}

impl Content {
    /// The name of the write that made it.
    pub(super) fn mark(&self) -> &str {
        self.data.get(MARK).map_or("", String::as_str)
    }
}

/// An object as an answer, a list or a watch shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct State {
    pub uid: String,
    pub revision: Revision,
    pub content: Content,
}

/// What was asked of one object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Op {
    Create(Content),
    Replace {
        content: Content,
        expect: Option<Revision>,
    },
    /// A merge patch, JSON or strategic. `None` takes a field away.
    Merge {
        tier: Option<Option<String>>,
        data: BTreeMap<String, Option<String>>,
        expect: Option<Revision>,
    },
    /// A JSON patch that tests the mark and replaces it.
    Swap {
        old: String,
        new: String,
    },
    Delete {
        uid: Option<String>,
        expect: Option<Revision>,
    },
    Get {
        /// Any state of the past will do.
        stale: bool,
    },
}

impl Op {
    /// The name of the write, if it sets one.
    pub(super) fn mark(&self) -> Option<&str> {
        match self {
            Self::Create(content) | Self::Replace { content, .. } => Some(content.mark()),
            Self::Merge { data, .. } => data.get(MARK)?.as_deref(),
            Self::Swap { new, .. } => Some(new),
            Self::Delete { .. } | Self::Get { .. } => None,
        }
    }

    /// What becomes of an object, or why nothing does.
    pub(super) fn apply(&self, present: Option<&State>) -> Result<Option<Content>, Refusal> {
        let expected = |expect: &Option<Revision>, state: &State| expect.is_none_or(|e| e == state.revision);
        match (self, present) {
            (Self::Create(content), None) => Ok(Some(content.clone())),
            (Self::Create(_), Some(_)) => Err(Refusal::AlreadyExists),
            (_, None) => Err(Refusal::NotFound),
            (Self::Replace { content, expect }, Some(state)) if expected(expect, state) => Ok(Some(content.clone())),
            (Self::Merge { tier, data, expect }, Some(state)) if expected(expect, state) => {
                let mut content = state.content.clone();
                if let Some(tier) = tier {
                    content.tier.clone_from(tier);
                }
                for (name, value) in data {
                    match value {
                        Some(value) => content.data.insert(name.clone(), value.clone()),
                        None => content.data.remove(name),
                    };
                }
                Ok(Some(content))
            }
            (Self::Swap { old, new }, Some(state)) => {
                if state.content.mark() != old {
                    return Err(Refusal::TestFailed);
                }
                let mut content = state.content.clone();
                content.data.insert(MARK.to_owned(), new.clone());
                Ok(Some(content))
            }
            (Self::Delete { uid, expect }, Some(state))
                if expected(expect, state) && uid.as_ref().is_none_or(|uid| *uid == state.uid) =>
            {
                Ok(None)
            }
            (Self::Replace { .. } | Self::Merge { .. } | Self::Delete { .. }, Some(_)) => Err(Refusal::Conflict),
            (Self::Get { .. }, Some(state)) => Ok(Some(state.content.clone())),
        }
    }
}

/// Why nothing was done, for certain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    Conflict,
    NotFound,
    AlreadyExists,
    TestFailed,
    /// The disk refused, or there was too much to do: may come at any time.
    NotNow,
}

/// What a client was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// The object as it is after the call.
    Object(State),
    /// The object with this uid was deleted.
    Deleted {
        uid: String,
    },
    Refused(Refusal),
    /// Nothing that tells whether it was done.
    Lost,
    /// What no server may say.
    Strange(String),
}

/// One question about one object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Call {
    pub key: Key,
    pub op: Op,
    pub began: Moment,
    pub ended: Moment,
    pub answer: Answer,
}

/// The part of the objects that a list or a watch is about.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Scope {
    pub namespace: Option<String>,
    pub tier: Option<String>,
}

impl Scope {
    pub(super) fn has(&self, key: &Key, content: &Content) -> bool {
        self.has_key(key) && self.tier.as_ref().is_none_or(|tier| content.tier.as_ref() == Some(tier))
    }

    pub(super) fn has_key(&self, key: &Key) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
    }
}

/// Of when a list is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum At {
    Latest,
    Any,
    NotOlderThan(Revision),
    Exact(Revision),
}

/// One answer of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Page {
    pub revision: Revision,
    pub items: Vec<(Key, State)>,
}

/// A list that was read to its end, page by page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Listing {
    pub scope: Scope,
    pub at: At,
    pub began: Moment,
    /// When the first page was there.
    pub ended: Moment,
    pub pages: Vec<Page>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Added,
    Modified,
    Deleted,
}

/// One event of a watch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Told {
    Change { change: Change, key: Key, state: State },
    Bookmark { revision: Revision, initial_events_end: bool },
}

impl Told {
    pub(super) fn revision(&self) -> Revision {
        match self {
            Self::Change { state, .. } => state.revision,
            Self::Bookmark { revision, .. } => *revision,
        }
    }
}

/// Where a watch begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum From {
    After(Revision),
    /// With the present state.
    Initial,
}

/// How a watch ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The server, the connection or the client ended it.
    Cut,
    /// 410.
    Expired,
    /// What no server may say.
    Strange(String),
}

/// One watch over one connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Watch {
    /// Which watcher it is; a watcher goes on after its connections.
    pub watcher: usize,
    pub scope: Scope,
    pub from: From,
    pub began: Moment,
    pub told: Vec<(Moment, Told)>,
    pub end: End,
}

/// Everything that clients saw of objects which did not exist before it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct History {
    pub calls: Vec<Call>,
    pub lists: Vec<Listing>,
    /// Those of a watcher in their order.
    pub watches: Vec<Watch>,
    /// History before this was forgotten: only there a watch may expire.
    pub compacted: Revision,
    /// How far which watcher has been given the time to come.
    pub goals: Vec<(usize, Revision)>,
}
