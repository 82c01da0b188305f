//! `EventRateLimit`: how many events of the legacy group may be written, by server, namespace, user, or by who tells of
//! what (K `plugin/pkg/admission/eventratelimit`). Events of `events.k8s.io` are not counted, as in 1.37.

use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use super::configuration::{document, items, number, text};
use super::recent::Recent;
use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::field::{FieldError, Path};
use crate::api::status::Reason;
use crate::api::{Result, Status};
use crate::resources::Kind;

const VERSION: &str = "eventratelimit.admission.k8s.io/v1alpha1";
/// Buckets that are kept where the configuration does not say; the least recently used one goes first.
const BUCKETS_MAX: i64 = 4096;
const TYPES: [&str; 4] = ["Namespace", "Server", "SourceAndObject", "User"];

pub(super) struct EventRateLimit {
    limits: Vec<Limit>,
}

/// One limit with what is left of it, by key.
struct Limit {
    of: Of,
    per_second: f64,
    burst: f64,
    /// Held for one look-up.
    buckets: Mutex<Recent<Bucket>>,
}

/// What has an allowance of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Server,
    Namespace,
    User,
    SourceAndObject,
}

struct Bucket {
    tokens: f64,
    at: Duration,
}

impl EventRateLimit {
    /// From the configuration, without which there is nothing to limit by.
    ///
    /// # Errors
    /// In upstream's words.
    pub(super) fn new(configuration: Option<&[u8]>) -> std::result::Result<Self, String> {
        let read = configuration.map(|bytes| document(bytes, (&[VERSION], "Configuration"))).transpose()?;
        let told = read.map(|read| read.value).unwrap_or_default();
        let given = items(&told, "limits", ("Configuration.limits", "[]v1alpha1.Limit"))?;
        let mut errors = Vec::new();
        let path = Path::new("limits");
        if given.is_empty() {
            let value = told.get("limits").cloned().unwrap_or_default();
            errors.push(FieldError::invalid(&path, value, "must not be empty"));
        }
        let mut limits = Vec::new();
        for (index, limit) in given.iter().enumerate() {
            limits.extend(Limit::read(limit, &path.index(index), &mut errors)?);
        }
        match errors.as_slice() {
            [] => Ok(Self { limits }),
            [error] => Err(error.to_string()),
            many => Err(format!("[{}]", many.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))),
        }
    }

    fn check(&self, attributes: &Attributes<'_>, now: Duration) -> Result<()> {
        let reached = self.limits.iter().filter_map(|limit| limit.take(attributes, now).err());
        let reached: Vec<String> = reached.collect();
        let why = match reached.as_slice() {
            [] => return Ok(()),
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        Err(Status::new(429, Reason::TooManyRequests, format!("Too many requests: {why}")))
    }
}

impl Plugin for EventRateLimit {
    fn name(&self) -> &'static str {
        "EventRateLimit"
    }

    fn handles(&self, operation: Operation, kind: &Kind, _: &str) -> bool {
        let writes = matches!(operation, Operation::Create | Operation::Update);
        writes && kind.gvk.group.is_empty() && kind.gvk.kind == "Event"
    }

    fn admit<'a>(&'a self, _: &'a Context, _: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Absent
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        match attributes.dry_run {
            true => Answer::Ready(Ok(())),
            false => Answer::Ready(self.check(attributes, ctx.clock.monotonic())),
        }
    }
}

impl Limit {
    /// `None` where the type is none; the errors tell of it.
    fn read(limit: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) -> std::result::Result<Option<Self>, String> {
        let at = "Limit.limits";
        let kind = text(limit, "type", at)?;
        let int = |key: &str| Ok::<_, String>(number(limit, key, (at, "int32"))?.unwrap_or_default());
        let (per_second, burst, cache) = (int("qps")?, int("burst")?, int("cacheSize")?);
        let of = Of::read(kind);
        if of.is_none() {
            errors.push(FieldError::not_supported(&path.child("type"), kind, &TYPES));
        }
        for (name, value) in [("burst", burst), ("qps", per_second)] {
            if value <= 0 {
                errors.push(FieldError::invalid(&path.child(name), value, "must be positive"));
            }
        }
        if of != Some(Of::Server) && cache < 0 {
            errors.push(FieldError::invalid(&path.child("cacheSize"), cache, "must not be negative"));
        }
        let max = usize::try_from(if cache == 0 { BUCKETS_MAX } else { cache }).unwrap_or(1);
        let float = |value: i64| f64::from(i32::try_from(value).unwrap_or_default());
        Ok(of.map(|of| Self {
            of,
            per_second: float(per_second),
            burst: float(burst),
            buckets: Mutex::new(Recent::new(max)),
        }))
    }

    fn take(&self, attributes: &Attributes<'_>, now: Duration) -> std::result::Result<(), String> {
        let key = self.of.key(attributes);
        let mut buckets = self.buckets.lock();
        let bucket = buckets.get_or_insert_with(&key, || Bucket { tokens: self.burst, at: now });
        let since = now.saturating_sub(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + since * self.per_second).min(self.burst);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Err(format!("limit reached on type {} for key {key}", self.of.as_str()));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

impl Of {
    fn read(text: &str) -> Option<Self> {
        [Self::Server, Self::Namespace, Self::User, Self::SourceAndObject].into_iter().find(|of| of.as_str() == text)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Server => "Server",
            Self::Namespace => "Namespace",
            Self::User => "User",
            Self::SourceAndObject => "SourceAndObject",
        }
    }

    fn key(self, attributes: &Attributes<'_>) -> String {
        let Some(event) = attributes.object.as_deref() else { return String::new() };
        match self {
            Self::Server => String::new(),
            Self::Namespace => attributes.namespace().to_owned(),
            Self::User => attributes.user.name.clone(),
            Self::SourceAndObject => {
                let source = ["component", "host"].map(|key| event.text_at(&["source", key]));
                let about = ["kind", "namespace", "name", "uid", "apiVersion"];
                source.concat() + &about.map(|key| event.text_at(&["involvedObject", key])).concat()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;
    use crate::base::ManualClock;

    fn plugin(limits: &str) -> std::result::Result<EventRateLimit, String> {
        EventRateLimit::new(Some(format!("apiVersion: {VERSION}\nkind: Configuration\nlimits: {limits}\n").as_bytes()))
    }

    /// Whether each event of a sequence passes: the namespace and what tells of it.
    async fn passes(limits: &str, events: &[(&str, &str)]) -> Vec<bool> {
        let (trial, plugin) = (Trial::new().await, plugin(limits).unwrap());
        let mut passed = Vec::new();
        for (namespace, component) in events {
            let event = json!({
                "metadata": { "name": "e", "namespace": namespace }, "source": { "component": component },
            });
            passed.push(trial.validate(&plugin, "events", event).await.is_ok());
        }
        passed
    }

    #[tokio::test]
    async fn what_exceeds_the_burst_is_refused_by_what_is_counted() {
        let events = [("a", "x"), ("a", "y"), ("b", "x"), ("a", "x")];
        let by = async |kind: &str| passes(&format!("[{{type: {kind}, qps: 1, burst: 1}}]"), &events).await;
        assert_eq!(by("Server").await, [true, false, false, false]);
        assert_eq!(by("User").await, [true, false, false, false]);
        assert_eq!(by("Namespace").await, [true, false, true, false]);
        assert_eq!(by("SourceAndObject").await, [true, true, false, false]);
    }

    #[tokio::test]
    async fn a_bucket_that_was_not_used_for_the_longest_time_is_forgotten() {
        let limits = "[{type: Namespace, qps: 1, burst: 1, cacheSize: 2}]";
        let events = [("a", ""), ("b", ""), ("a", ""), ("c", ""), ("a", ""), ("b", "")];
        assert_eq!(passes(limits, &events).await, [true, true, false, true, false, true]);
    }

    #[tokio::test]
    async fn tokens_come_back_with_time() {
        let mut trial = Trial::new().await;
        let clock = Arc::new(ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap()));
        trial.context.clock = clock.clone();
        let plugin = plugin("[{type: Server, qps: 2, burst: 1}]").unwrap();
        let event = json!({ "metadata": { "name": "e", "namespace": "n" } });
        assert!(trial.validate(&plugin, "events", event.clone()).await.is_ok());
        let refused = trial.validate(&plugin, "events", event.clone()).await.unwrap_err();
        let message = "Too many requests: limit reached on type Server for key ";
        assert_eq!((refused.code(), refused.message()), (429, message));
        clock.advance(Duration::from_millis(500));
        assert!(trial.validate(&plugin, "events", event).await.is_ok());
    }

    #[test]
    fn a_wrong_configuration_is_refused_in_upstreams_words() {
        let check = |limits: &str, message: &str| assert_eq!(plugin(limits).err().as_deref(), Some(message));
        check("[]", "limits: Invalid value: []: must not be empty");
        let none = EventRateLimit::new(None).err();
        assert_eq!(none.as_deref(), Some("limits: Invalid value: null: must not be empty"));
        let faults = "[limits[0].type: Unsupported value: \"Foo\": supported values: \"Namespace\", \"Server\", \
                      \"SourceAndObject\", \"User\", limits[0].burst: Invalid value: -1: must be positive, \
                      limits[0].qps: Invalid value: 0: must be positive, limits[0].cacheSize: Invalid value: -2: must \
                      not be negative]";
        check("[{type: Foo, qps: 0, burst: -1, cacheSize: -2}]", faults);
        let of_type = "json: cannot unmarshal string into Go struct field Limit.limits.qps of type int32";
        check("[{type: Server, qps: x}]", of_type);
    }
}
