//! The options of operations out of query parameters and bodies, checked as upstream checks them (apimachinery
//! `pkg/apis/meta/{v1,internalversion}/validation`).

use serde_json::Value;

use super::known;
use super::message::Request;
use super::query::Query;
use super::wire::{self, Typed};
use crate::api::field::{ErrorKind, Errors, FieldError, Path};
use crate::api::request::{
    DeleteOptions, FieldValidation, ListOptions, Preconditions, Propagation, Said, VersionMatch, WriteOptions,
};
use crate::api::schema::Table;
use crate::api::{GroupKind, Reason, Result, Revision, Status, codec, schema};
use crate::registry::PatchKind;

const FIELD_MANAGER_BYTES_MAX: usize = 128;
const META_GROUP: &str = "meta.k8s.io";

/// Whether list options are for a list or a watch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Listing {
    List,
    Watch,
    /// With the gate `WatchList` off.
    WatchWithoutInitialEvents,
}

/// The options of lists, watches and deletecollections.
///
/// # Errors
/// 400 for what is no number or selector revision, 422 for what contradicts itself.
pub(super) fn list_options(query: &Query, listing: Listing) -> Result<ListOptions> {
    let version = query.text("resourceVersion");
    let mut raw_match = query.text("resourceVersionMatch");
    let mut send_initial_events = query.flag("sendInitialEvents");
    // Since WatchList a watch from nowhere or from 0 asks for the initial events by itself.
    let legacy = send_initial_events.is_none() && raw_match.is_empty() && matches!(version, "" | "0");
    let asked_initial_events = send_initial_events;
    if listing == Listing::Watch && legacy {
        send_initial_events = Some(true);
        raw_match = "NotOlderThan";
    }
    let limit = query.int("limit")?.unwrap_or(0);
    let timeout_seconds = query.int("timeoutSeconds")?;
    let continue_token = query.text("continue").to_owned();
    let errors = match listing {
        Listing::List => list_errors(version, raw_match, &continue_token, send_initial_events),
        Listing::Watch | Listing::WatchWithoutInitialEvents => {
            watch_errors(raw_match, &continue_token, (send_initial_events, listing))
        }
    };
    refuse("ListOptions", &errors)?;
    Ok(ListOptions {
        label_selector: query.text("labelSelector").to_owned(),
        field_selector: query.text("fieldSelector").to_owned(),
        resource_version: match listing {
            // Of a continuation it is looked at only to be refused.
            Listing::List if !continue_token.is_empty() => revision(version).unwrap_or(Some(Revision(u64::MAX))),
            Listing::List => revision(version)?,
            Listing::Watch | Listing::WatchWithoutInitialEvents => cached_revision(version)?,
        },
        version_match: version_match(if legacy { "" } else { raw_match }),
        limit: u64::try_from(limit).unwrap_or(0),
        continue_token,
        timeout_seconds: timeout_seconds.and_then(|s| u64::try_from(s).ok()),
        allow_bookmarks: query.flag("allowWatchBookmarks").unwrap_or(false),
        send_initial_events: if listing == Listing::Watch { send_initial_events } else { asked_initial_events },
    })
}

/// A `resourceVersion` parameter.
///
/// # Errors
/// 400 as upstream's storage answers for what is no number.
pub(super) fn revision(text: &str) -> Result<Option<Revision>> {
    if text.is_empty() {
        return Ok(None);
    }
    let invalid = || {
        let why = format!("strconv.ParseUint: parsing {}: invalid syntax", crate::api::field::go_quote(text));
        let error = FieldError::invalid(&Path::new("resourceVersion"), text, why);
        Status::bad_request(format!("invalid resource version: {error}"))
    };
    Revision::parse(text).map(Some).ok_or_else(invalid)
}

/// A `resourceVersion` parameter of a get or a watch, of which upstream's watch cache answers as of its own fault.
///
/// # Errors
/// 500 for what is no number.
pub(super) fn cached_revision(text: &str) -> Result<Option<Revision>> {
    let failed = |status: Status| {
        let message = status.message().trim_start_matches("invalid resource version: ");
        Status::new(500, Reason::Unknown, message)
    };
    revision(text).map_err(failed)
}

fn version_match(text: &str) -> Option<VersionMatch> {
    match text {
        "Exact" => Some(VersionMatch::Exact),
        "NotOlderThan" => Some(VersionMatch::NotOlderThan),
        _ => None,
    }
}

fn list_errors(version: &str, version_match: &str, token: &str, initial: Option<bool>) -> Errors {
    let path = Path::new("resourceVersionMatch");
    let mut errors = Errors::new();
    if !version_match.is_empty() {
        if version.is_empty() {
            let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            errors.push(FieldError::forbidden(&path, why));
        }
        if !token.is_empty() {
            errors.push(FieldError::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
        }
        if !matches!(version_match, "Exact" | "NotOlderThan") {
            errors.push(FieldError::not_supported(&path, version_match, &["Exact", "NotOlderThan", ""]));
        }
        if version_match == "Exact" && version == "0" {
            let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            errors.push(FieldError::forbidden(&path, why));
        }
    }
    if initial.is_some() {
        let path = Path::new("sendInitialEvents");
        errors.push(FieldError::forbidden(&path, "sendInitialEvents is forbidden for list"));
    }
    errors
}

fn watch_errors(version_match: &str, token: &str, (initial, listing): (Option<bool>, Listing)) -> Errors {
    let path = Path::new("resourceVersionMatch");
    let mut errors = Errors::new();
    if initial.is_some() && version_match != "NotOlderThan" {
        let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        errors.push(FieldError::forbidden(&path, why));
    }
    if initial.is_some() && listing == Listing::WatchWithoutInitialEvents {
        let why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
        errors.push(FieldError::forbidden(&Path::new("sendInitialEvents"), why));
    }
    if !version_match.is_empty() {
        if initial.is_none() {
            let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            errors.push(FieldError::forbidden(&path, why));
        }
        if version_match != "NotOlderThan" {
            errors.push(FieldError::not_supported(&path, version_match, &["NotOlderThan"]));
        }
        if !token.is_empty() {
            errors.push(FieldError::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
        }
    }
    errors
}

/// The options of create and update. `kind` is `CreateOptions` or `UpdateOptions`.
///
/// # Errors
/// 422 for values out of range.
pub(super) fn write_options(request: &Request, query: &Query, kind: &'static str) -> Result<WriteOptions> {
    refuse(kind, &write_errors(query))?;
    Ok(checked_write_options(request, query))
}

/// The options of patch and apply.
///
/// # Errors
/// 422 for values out of range or not for this kind of patch.
pub(super) fn patch_options(request: &Request, query: &Query, patch: PatchKind) -> Result<WriteOptions> {
    let mut errors = Errors::new();
    let force = query.flag("force");
    if patch == PatchKind::Apply {
        if query.text("fieldManager").is_empty() {
            errors.push(FieldError::required(&Path::new("fieldManager"), "is required for apply patch"));
        }
    } else if force.is_some() {
        errors.push(FieldError::forbidden(&Path::new("force"), "may not be specified for non-apply patch"));
    }
    errors.extend(write_errors(query));
    refuse("PatchOptions", &errors)?;
    Ok(WriteOptions { force: force.unwrap_or(false), ..checked_write_options(request, query) })
}

fn checked_write_options(request: &Request, query: &Query) -> WriteOptions {
    let field_manager = match query.text("fieldManager") {
        "" => manager_of_agent(request.headers.text("user-agent")),
        given => given.to_owned(),
    };
    let field_validation = match query.text("fieldValidation") {
        "Ignore" => FieldValidation::Ignore,
        "Strict" => FieldValidation::Strict,
        _ => FieldValidation::Warn,
    };
    let said = Said {
        field_manager: query.text("fieldManager").to_owned(),
        field_validation: query.text("fieldValidation").to_owned(),
    };
    WriteOptions { dry_run: query.get("dryRun").is_some(), field_manager, field_validation, force: false, said }
}

fn write_errors(query: &Query) -> Errors {
    let mut errors = manager_errors(query.text("fieldManager"));
    errors.extend(dry_run_errors(&query.all("dryRun").collect::<Vec<_>>()));
    let validation = query.text("fieldValidation");
    if !matches!(validation, "" | "Ignore" | "Warn" | "Strict") {
        let path = Path::new("fieldValidation");
        errors.push(FieldError::not_supported(&path, validation, &["", "Ignore", "Strict", "Warn"]));
    }
    errors
}

fn manager_errors(manager: &str) -> Errors {
    let path = Path::new("fieldManager");
    let mut errors = Errors::new();
    if manager.len() > FIELD_MANAGER_BYTES_MAX {
        errors.push(FieldError::too_long(&path, FIELD_MANAGER_BYTES_MAX));
    }
    for (at, c) in manager.char_indices().filter(|(_, c)| !printable(*c)) {
        let why = format!("invalid character U+{:04X} (at position {at})", c as u32);
        errors.push(FieldError::invalid(&path, manager, why));
    }
    errors
}

fn dry_run_errors(values: &[&str]) -> Errors {
    if values.iter().all(|value| *value == "All") {
        return Errors::new();
    }
    vec![FieldError::not_supported(&Path::new("dryRun"), values.to_vec(), &["All"])]
}

/// What Go's `unicode.IsPrint` says, near enough: no control characters and no space but U+0020.
fn printable(c: char) -> bool {
    c == ' ' || !(c.is_control() || c.is_whitespace())
}

/// The field manager of clients that name none: the user agent up to the first slash.
fn manager_of_agent(agent: &str) -> String {
    let mut out = String::new();
    let name = agent.split('/').next().unwrap_or("");
    for c in name.chars().filter(|c| printable(*c)) {
        if out.len() + c.len_utf8() > FIELD_MANAGER_BYTES_MAX {
            break;
        }
        out.push(c);
    }
    out
}

/// The options of deletes: from the body where there is one, else from the query.
///
/// # Errors
/// 400 for a body that cannot be read, 413, 415, 422 for contradictions.
pub(super) fn delete_options(request: &Request, query: &Query, types: &Table) -> Result<DeleteOptions> {
    if request.body.is_empty() {
        return delete_options_of_query(query);
    }
    delete_options_of_value(wire::decode_delete_options(request, types)?, types)
}

fn delete_options_of_query(query: &Query) -> Result<DeleteOptions> {
    let policy = query.get("propagationPolicy");
    let dry_run: Vec<&str> = query.all("dryRun").collect();
    let orphan_dependents = query.flag("orphanDependents");
    let text = |key: &str| query.get(key).filter(|value| !value.is_empty()).map(str::to_owned);
    refuse("DeleteOptions", &delete_errors(policy, orphan_dependents, &dry_run))?;
    checked(DeleteOptions {
        grace_period_seconds: query.int("gracePeriodSeconds")?,
        preconditions: Preconditions { uid: text("uid"), resource_version: text("resourceVersion") },
        propagation: policy.and_then(propagation),
        orphan_dependents,
        dry_run: !dry_run.is_empty(),
        unread: query.flag(UNREAD).unwrap_or(false),
    })
}

const UNREAD: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";

/// What cannot be read has no dependents, no period of grace and nothing to compare.
fn checked(options: DeleteOptions) -> Result<DeleteOptions> {
    let conditions = options.preconditions.uid.is_some() || options.preconditions.resource_version.is_some();
    let others = [
        (options.propagation.is_some(), "propagationPolicy"),
        (options.orphan_dependents.is_some(), "orphanDependents"),
        (options.grace_period_seconds.is_some(), "gracePeriodSeconds"),
        (conditions, "preconditions"),
    ];
    let set = others.into_iter().filter(|(set, _)| *set && options.unread);
    let error =
        |(_, name)| FieldError::invalid(&Path::new(UNREAD), true, format!("cannot be set together with .{name}"));
    let errors: Errors = set.map(error).collect();
    refuse("DeleteOptions", &errors)?;
    Ok(options)
}

/// What the deletion of a whole collection does not have.
///
/// # Errors
/// 422.
pub(super) fn check_delete_many(options: &DeleteOptions) -> Result<()> {
    let why = "is not allowed with DELETECOLLECTION, try again after removing the option";
    let error = options.unread.then(|| FieldError::invalid(&Path::new(UNREAD), true, why));
    refuse("DeleteOptions", &error.into_iter().collect())
}

fn delete_options_of_value(mut value: Value, types: &Table) -> Result<DeleteOptions> {
    let (api_version, kind) = codec::interpret(&value).map_err(|error| Status::bad_request(error.to_string()))?;
    if !matches!(kind, "DeleteOptions" | "") {
        return Err(Status::bad_request(codec::not_registered(api_version, kind)));
    }
    let of = Typed::known(types, &known::DELETE_OPTIONS);
    schema::decode::normalise(&mut value, of.types, of.id).map_err(|error| Status::bad_request(error.to_string()))?;
    let text = |at: &str| value.pointer(at).and_then(Value::as_str).map(str::to_owned);
    let policy = text("/propagationPolicy");
    let orphan_dependents = value.get("orphanDependents").and_then(Value::as_bool);
    let dry_run = value.get("dryRun").and_then(Value::as_array);
    let dry_run: Vec<&str> = dry_run.into_iter().flatten().filter_map(Value::as_str).collect();
    refuse("DeleteOptions", &delete_errors(policy.as_deref(), orphan_dependents, &dry_run))?;
    checked(DeleteOptions {
        grace_period_seconds: value.get("gracePeriodSeconds").and_then(Value::as_i64),
        preconditions: Preconditions {
            uid: text("/preconditions/uid"),
            resource_version: text("/preconditions/resourceVersion"),
        },
        propagation: policy.as_deref().and_then(propagation),
        orphan_dependents,
        dry_run: !dry_run.is_empty(),
        unread: value.get(UNREAD).and_then(Value::as_bool).unwrap_or(false),
    })
}

fn propagation(text: &str) -> Option<Propagation> {
    match text {
        "Orphan" => Some(Propagation::Orphan),
        "Background" => Some(Propagation::Background),
        "Foreground" => Some(Propagation::Foreground),
        _ => None,
    }
}

fn delete_errors(policy: Option<&str>, orphan: Option<bool>, dry_run: &[&str]) -> Errors {
    let path = Path::new("propagationPolicy");
    let mut errors = Errors::new();
    if let Some(policy) = policy {
        if orphan.is_some() {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(FieldError::invalid(&path, policy, why));
        }
        if propagation(policy).is_none() {
            let known = ["Foreground", "Background", "Orphan", "nil"];
            errors.push(FieldError::not_supported(&path, policy, &known));
        }
    }
    errors.extend(dry_run_errors(dry_run));
    errors
}

/// `includeObject` of a Table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum IncludeObject {
    Metadata,
    Object,
    None,
}

/// The options of a Table.
///
/// # Errors
/// 400 for an unknown `includeObject`.
pub(super) fn include_object(query: &Query) -> Result<IncludeObject> {
    match query.text("includeObject") {
        "" | "Metadata" => Ok(IncludeObject::Metadata),
        "Object" => Ok(IncludeObject::Object),
        "None" => Ok(IncludeObject::None),
        other => {
            let why = "must be 'Metadata', 'Object', 'None', or empty";
            let error = FieldError::new(ErrorKind::Invalid, &Path::new("includeObject"), other, why);
            Err(Status::bad_request(format!("Unable to convert to Table as requested: {error}")))
        }
    }
}

fn refuse(kind: &'static str, errors: &Errors) -> Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&GroupKind { group: META_GROUP.into(), kind: kind.into() }, "", errors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::message::{Method, Peer};

    #[track_caller]
    fn check_refused(query: &str, listing: Listing, message: &str) {
        let error = list_options(&Query::parse(query), listing).unwrap_err();
        assert_eq!(error.message(), message, "{query}");
    }

    #[test]
    fn contradictions_in_list_options_are_told() {
        check_refused(
            "resourceVersionMatch=Exact",
            Listing::List,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is \
             forbidden unless resourceVersion is provided",
        );
        check_refused(
            "sendInitialEvents=true",
            Listing::List,
            "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden \
             for list",
        );
        check_refused(
            "sendInitialEvents=true",
            Listing::Watch,
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires \
             setting resourceVersionMatch to NotOlderThan",
        );
        check_refused(
            "sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
            Listing::WatchWithoutInitialEvents,
            "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden \
             for watch unless the WatchList feature gate is enabled",
        );
        check_refused("limit=x", Listing::List, "strconv.ParseInt: parsing \"x\": invalid syntax");
    }

    #[test]
    fn the_manager_is_the_user_agent_up_to_the_slash() {
        let request = Request::new(Method::Post, "/", Peer::default()).with_header("user-agent", "kubectl/v1.37 (x)");
        let options = write_options(&request, &Query::default(), "CreateOptions").unwrap();
        assert_eq!(options.field_manager, "kubectl");
        let named = write_options(&request, &Query::parse("fieldManager=me&dryRun=All"), "CreateOptions").unwrap();
        assert_eq!((named.field_manager.as_str(), named.dry_run), ("me", true));
    }

    #[test]
    fn apply_needs_a_manager_and_other_patches_take_no_force() {
        let request = Request::default();
        let apply = patch_options(&request, &Query::default(), PatchKind::Apply).unwrap_err();
        assert_eq!(
            apply.message(),
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
        );
        let merge = patch_options(&request, &Query::parse("force=true"), PatchKind::Merge).unwrap_err();
        assert_eq!(merge.code(), 422);
    }

    #[test]
    fn unknown_dry_run_values_are_refused() {
        let error = delete_options(&Request::default(), &Query::parse("dryRun=Some"), &Table::default()).unwrap_err();
        assert_eq!(
            error.message(),
            "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Some\"]: supported values: \
             \"All\""
        );
    }
}
