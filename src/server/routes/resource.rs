//! Requests for resources: which operation of the registry, with which options and body, and how it is answered.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::api::request::{ListOptions, Verb};
use crate::api::status::Details;
use crate::api::{GroupVersionKind, Reason, Result, Status};
use crate::registry::{Answer, Call, PatchKind, Written, is_connection};
use crate::resources::{Kind, Subresource};
use crate::server::answer::{self, Carrier, Manner};
use crate::server::connections;
use crate::server::filters::Admitted;
use crate::server::message::{Method, Response};
use crate::server::negotiation::{self, Forms};
use crate::server::options::{self, Listing};
use crate::server::{Server, wire};

/// What a request is for, found in the catalog.
struct Place {
    kind: Arc<Kind>,
    subresource: Option<Subresource>,
}

/// Answers a request whose path names a resource.
pub(super) async fn serve(server: &Server, admitted: &Admitted) -> Result<Response> {
    if let Some(kind) = missing_subresource(server, admitted) {
        if !kind.deprecation.is_empty() {
            admitted.warnings.add(kind.deprecation.to_string());
        }
        return Err(Status::not_found(&kind.group_resource(), &admitted.info.target().name));
    }
    let Some(place) = place(server, admitted) else {
        return Ok(super::not_found(server, &admitted.info.path));
    };
    // By any method that HTTP has, whose meaning is a matter of the other end.
    let proxied = place.subresource.as_ref().is_some_and(|sub| sub.name == "proxy") && !admitted.info.watch_prefix;
    let verb = match &admitted.request.method {
        Method::Other(name) if proxied && name != "OPTIONS" => return Err(Status::method_not_allowed()),
        _ if proxied => Ok(Verb::Get),
        _ => verb(admitted, &place),
    };
    // What no route takes reaches nobody who would warn.
    let routed = verb.is_ok() || admitted.request.method == Method::Get;
    if let Some(warning) = deprecation(&place).filter(|_| routed) {
        admitted.warnings.add(warning);
    }
    let verb = verb?;
    if !proxied {
        acceptable(admitted, verb)?;
    }
    let call = Call::new(admitted.user.clone(), admitted.info.target(), place.kind.clone());
    let answer = run(server, admitted, (&call, verb)).await;
    for warning in call.warnings.take() {
        admitted.warnings.add(warning);
    }
    answer
}

/// The custom resource of a path with a subresource that it does not have.
fn missing_subresource(server: &Server, admitted: &Admitted) -> Option<Arc<Kind>> {
    let info = &admitted.info;
    let served = server.parts().registry.catalog().served();
    let kind = served.find(&info.group, &info.version, &info.resource).filter(|kind| kind.is_custom())?;
    let asked = !info.subresource.is_empty() && kind.subresource(&info.subresource).is_none();
    (asked && info.parts.len() == 3 && info.namespace.is_empty() != kind.namespaced).then(|| kind.clone())
}

/// The kind and subresource of a path, if its shape is that of one.
fn place(server: &Server, admitted: &Admitted) -> Option<Place> {
    let info = &admitted.info;
    // The prefix that proxies once had; nothing is served below it.
    if info.verb == "proxy" {
        return None;
    }
    let kind = server.parts().registry.catalog().served().find(&info.group, &info.version, &info.resource)?.clone();
    let behind_proxy = info.subresource == "proxy";
    if !behind_proxy && (info.parts.len() > 3 || info.parts.iter().any(String::is_empty)) {
        return None;
    }
    let in_namespace = !info.namespace.is_empty() && info.resource != "namespaces";
    let namespaces_in_one = info.resource == "namespaces" && !info.namespace.is_empty() && info.parts.len() == 1;
    if namespaces_in_one {
        return None;
    }
    // Named objects of namespaced types stand below their namespace, those of other types never do.
    let named = info.parts.len() > 1;
    if in_namespace != kind.namespaced && (in_namespace || named) {
        return None;
    }
    // Of custom resources upstream looks for nothing but lists and watches outside namespaces.
    let reads = admitted.request.method == Method::Get;
    if kind.is_custom() && kind.namespaced && !in_namespace && !reads {
        return None;
    }
    let subresource = match info.subresource.as_str() {
        "" => None,
        name => Some(kind.subresource(name)?.clone()),
    };
    Some(Place { kind, subresource })
}

/// The warning that every request for a deprecated kind gets; subresources with a kind of their own go by that.
fn deprecation(place: &Place) -> Option<String> {
    let same_kind = |sub: &Subresource| sub.payload == place.kind.gvk;
    let deprecated = place.subresource.as_ref().is_none_or(same_kind) && !place.kind.deprecation.is_empty();
    deprecated.then(|| place.kind.deprecation.to_string())
}

/// The verb, if it can be done here.
fn verb(admitted: &Admitted, place: &Place) -> Result<Verb> {
    let info = &admitted.info;
    let head = admitted.request.method == Method::Head;
    let named = info.parts.len() > 1;
    let verbs = place.subresource.as_ref().map_or(&place.kind.verbs, |sub| &sub.verbs);
    let over_all_namespaces = place.kind.namespaced && info.namespace.is_empty();
    let only_created = place.subresource.is_none() && verbs.iter().all(|v| v == "create");
    if only_created && (named || over_all_namespaces) {
        return Err(Status::no_such_path());
    }
    let verb = info.api_verb().filter(|_| !head).ok_or_else(Status::method_not_allowed)?;
    // A list or watch with a name in a selector reads as a list; one with a name in the path is a get, whatever its
    // query says, unless it has the old prefix.
    let known = verbs.iter().any(|v| v == verb.as_str());
    let unwatched = info.watch_prefix && !verbs.iter().any(|v| v == "watch");
    if unwatched {
        return Err(Status::no_such_path());
    }
    if info.watch_prefix && admitted.request.method != Method::Get {
        return Err(Status::method_not_allowed());
    }
    if verb == Verb::Watch && !known && !named {
        return Err(not_watched(&place.kind));
    }
    let fits = match verb {
        Verb::Create => place.subresource.is_some() == named && !over_all_namespaces,
        Verb::Get | Verb::Update | Verb::Patch | Verb::Delete => named,
        Verb::List | Verb::Watch => !named || info.watch_prefix,
        Verb::DeleteCollection => !named && !over_all_namespaces,
    };
    if known && fits { Ok(verb) } else { Err(Status::method_not_allowed()) }
}

/// What the storage of a type that lists but does not watch says.
fn not_watched(kind: &Kind) -> Status {
    let resource = &kind.resource;
    let message = format!("watch is not supported on resources of kind \"{resource}\"");
    let details = Details { kind: resource.to_string(), ..Details::default() };
    Status::new(405, Reason::MethodNotAllowed, message).with_details(details)
}

/// What upstream's router refuses before a handler looks: types that no route of the verb makes.
fn acceptable(admitted: &Admitted, verb: Verb) -> Result<()> {
    const ALL: [&str; 5] = [
        "application/json",
        "application/yaml",
        "application/vnd.kubernetes.protobuf",
        "application/json;stream=watch",
        "application/vnd.kubernetes.protobuf;stream=watch",
    ];
    let streams = matches!(verb, Verb::List | Verb::Watch);
    representable(admitted, if streams { &ALL[..] } else { &ALL[..3] })
}

/// The same of a page that is there in some types.
pub(super) fn representable(admitted: &Admitted, types: &[&str]) -> Result<()> {
    let header = admitted.request.headers.text("accept");
    let fits = |clause: &str| {
        let essence = clause.split(';').next().unwrap_or("").trim();
        essence == "*/*" || types.contains(&essence)
    };
    if header.is_empty() || header.split(',').any(fits) {
        return Ok(());
    }
    let message = format!("406: Not Acceptable\n\nAvailable representations: {}", types.join(", "));
    Err(Status::new(406, Reason::NotAcceptable, message).with_details(Default::default()))
}

fn run<'a>(
    server: &'a Server,
    admitted: &'a Admitted,
    (call, verb): (&'a Call, Verb),
) -> BoxFuture<'a, Result<Response>> {
    if is_connection(&call.target.subresource) {
        return connections::serve(server, admitted, call).boxed();
    }
    match verb {
        Verb::Get => get(server, admitted, call).boxed(),
        Verb::List => list(server, admitted, call).boxed(),
        Verb::Watch => watch(server, admitted, call).boxed(),
        Verb::Create | Verb::Update => write(server, admitted, (call, verb)).boxed(),
        Verb::Patch => patch(server, admitted, call).boxed(),
        Verb::Delete => delete(server, admitted, call).boxed(),
        Verb::DeleteCollection => delete_collection(server, admitted, call).boxed(),
    }
}

fn manner(server: &Server, admitted: &Admitted, call: &Call) -> Result<Manner> {
    let agreed = negotiation::output(&admitted.request, &admitted.query, forms(call))?;
    Manner::of(server, admitted, call, agreed)
}

/// What is only created has no rows, and of subresources only these two have.
fn forms(call: &Call) -> Forms {
    let read = || call.kind.verbs.iter().any(|verb| verb == "get" || verb == "list");
    match call.target.subresource.as_str() {
        "" if read() => Forms::Tables,
        "status" | "scale" => Forms::Tables,
        _ => Forms::Metadata,
    }
}

async fn get(server: &Server, admitted: &Admitted, call: &Call) -> Result<Response> {
    let manner = manner(server, admitted, call)?;
    if admitted.query.flag("export") == Some(true) {
        let message = "the export parameter, deprecated since v1.14, is no longer supported";
        return Err(Status::bad_request(message));
    }
    let revision = options::cached_revision(admitted.query.text("resourceVersion"))?;
    let answer = server.parts().registry.get(call, revision).await?;
    answer::one(&manner, 200, answer)
}

async fn list(server: &Server, admitted: &Admitted, call: &Call) -> Result<Response> {
    let manner = manner(server, admitted, call)?;
    let options = options::list_options(&admitted.query, Listing::List)?;
    let listing = server.parts().registry.list(call, &options).await?;
    answer::list(&manner, listing).await
}

async fn watch(server: &Server, admitted: &Admitted, call: &Call) -> Result<Response> {
    let agreed = negotiation::output(&admitted.request, &admitted.query, forms(call))?;
    let watch_list = server.parts().registry.enabled("WatchList");
    let listing = if watch_list { Listing::Watch } else { Listing::WatchWithoutInitialEvents };
    let options = options::list_options(&admitted.query, listing)?;
    let mut options = with_name(options, &call.target.name)?;
    // A time-out of nothing is none; upstream's then lies between the least and twice that.
    if options.timeout_seconds.is_none_or(|seconds| seconds == 0) {
        let least = server.parts().limits.watch_seconds_min.max(1);
        options.timeout_seconds = Some(rand::random_range(least..least * 2));
    }
    let manner = Manner::of(server, admitted, call, agreed)?;
    negotiation::stream(&admitted.request, &admitted.query)?;
    let mut call = clone_of(call);
    call.target.name.clear();
    let watching = server.parts().registry.watch(&call, &options).await?;
    let upgrade = admitted.request.headers.text("upgrade").eq_ignore_ascii_case("websocket");
    Ok(answer::watch(manner, watching, if upgrade { Carrier::WebSocket } else { Carrier::Body }))
}

fn clone_of(call: &Call) -> Call {
    Call::new(call.user.clone(), call.target.clone(), call.kind.clone())
}

/// A name in the path of a watch is a field selector.
fn with_name(mut options: ListOptions, name: &str) -> Result<ListOptions> {
    if name.is_empty() {
        return Ok(options);
    }
    let selector = format!("metadata.name={name}");
    if options.field_selector.is_empty() {
        options.field_selector = selector;
    } else if options.field_selector != selector {
        return Err(Status::bad_request("fieldSelector metadata.name doesn't match requested name"));
    }
    Ok(options)
}

async fn write(server: &Server, admitted: &Admitted, (call, verb): (&Call, Verb)) -> Result<Response> {
    let manner = manner(server, admitted, call)?;
    let kind = if verb == Verb::Create { "CreateOptions" } else { "UpdateOptions" };
    negotiation::input(&admitted.request)?;
    let options = options::write_options(&admitted.request, &admitted.query, kind)?;
    let facts = &server.parts().facts;
    let of = |gvk: &GroupVersionKind| if *gvk == call.kind.gvk { Some(call.kind.type_id) } else { facts.type_of(gvk) };
    let payload = call.kind.payload(&call.target.subresource);
    let input = wire::decode(&admitted.request, (&facts.types, payload), of)?;
    let registry = &server.parts().registry;
    let written = match verb {
        Verb::Create => registry.create(call, input, &options).await?,
        _ => registry.update(call, input, &options).await?,
    };
    written_answer(&manner, written)
}

async fn patch(server: &Server, admitted: &Admitted, call: &Call) -> Result<Response> {
    let patch = patch_kind(admitted.request.headers.text("content-type"))?;
    let manner = manner(server, admitted, call)?;
    wire::check_size(&admitted.request)?;
    let options = options::patch_options(&admitted.request, &admitted.query, patch)?;
    let body = admitted.request.body.clone();
    let written = server.parts().registry.patch(call, patch, body, &options).await?;
    written_answer(&manner, written)
}

fn patch_kind(content_type: &str) -> Result<PatchKind> {
    match content_type.split(';').next().unwrap_or("").trim() {
        "application/json-patch+json" => Ok(PatchKind::Json),
        "application/merge-patch+json" => Ok(PatchKind::Merge),
        "application/strategic-merge-patch+json" => Ok(PatchKind::Strategic),
        "application/apply-patch+yaml" => Ok(PatchKind::Apply),
        _ => {
            let reason = Reason::UnsupportedMediaType;
            Err(Status::new(415, reason, "415: Unsupported Media Type").with_details(Default::default()))
        }
    }
}

async fn delete(server: &Server, admitted: &Admitted, call: &Call) -> Result<Response> {
    let manner = manner(server, admitted, call)?;
    wire::check_size(&admitted.request)?;
    let options = options::delete_options(&admitted.request, &admitted.query, &server.parts().facts.types)?;
    let written = server.parts().registry.delete(call, &options).await?;
    let accepted = options.orphan_dependents == Some(false) && stays(&written.answer);
    answer::one(&manner, if accepted { 202 } else { 200 }, written.answer)
}

/// Whether the answer to a delete tells of an object that is still there.
fn stays(answer: &Answer) -> bool {
    match answer {
        Answer::Stored(_) => true,
        Answer::Object(object) => {
            let grace = object.int_at(&["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
            object.deleting() && (grace > 0 || object.finalizers().next().is_some())
        }
    }
}

async fn delete_collection(server: &Server, admitted: &Admitted, call: &Call) -> Result<Response> {
    let manner = manner(server, admitted, call)?;
    wire::check_size(&admitted.request)?;
    let list = options::list_options(&admitted.query, Listing::List)?;
    let options = options::delete_options(&admitted.request, &admitted.query, &server.parts().facts.types)?;
    options::check_delete_many(&options)?;
    let listing = server.parts().registry.delete_collection(call, &list, &options).await?;
    answer::list(&manner, listing).await
}

fn written_answer(manner: &Manner, written: Written) -> Result<Response> {
    answer::one(manner, if written.created { 201 } else { 200 }, written.answer)
}
