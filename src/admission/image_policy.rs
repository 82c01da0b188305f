//! `ImagePolicyWebhook`: a server outside says whether the images of a pod may run (K
//! `plugin/pkg/admission/imagepolicy`). Its answers are kept for a while.

use std::sync::OnceLock;
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::configuration::{number, text, tree};
use super::recent::Recent;
use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::status::{Cause, Details, Reason};
use crate::api::time::GoDuration;
use crate::api::{GroupVersionKind, Object, Result, Status};
use crate::remote::{Backend, Post, Remote, check_kind, decode};
use crate::resources::Kind;

const REVIEW: (&str, &str) = ("imagepolicy.k8s.io/v1alpha1", "ImageReview");
/// Annotations of pods with this in their names are shown to the server.
const SHOWN: &str = ".image-policy.k8s.io/";
const AUDIT_PREFIX: &str = "imagepolicywebhook.image-policy.k8s.io/";
/// Answers that are kept; those not asked for go first.
const ANSWERS_MAX: usize = 1024;
const ANSWER_BYTES_MAX: usize = 3 << 20;
/// How long one call may take, and how often it is made again after passing failures.
const LIMIT: Duration = Duration::from_secs(30);
const TRIES: u32 = 5;

/// What the file says.
#[derive(Debug, PartialEq)]
struct Settings {
    kubeconfig: String,
    allowed_for: Duration,
    refused_for: Duration,
    backoff: Duration,
    open: bool,
}

pub(super) struct ImagePolicyWebhook {
    settings: Settings,
    backend: Backend,
    remote: OnceLock<Remote>,
    /// What was said of images, and until when it counts. Held for one look-up.
    answers: Mutex<Recent<(Value, Duration)>>,
}

/// Why there is no judgement.
struct Failure {
    /// The server itself said that we may not ask, which upstream hands on as it is.
    forbidden: bool,
    why: String,
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self { forbidden: false, why }
    }
}

fn forbidden_there(why: &str) -> Status {
    let cause = Cause { reason: "UnexpectedServerResponse".to_owned(), message: why.to_owned(), field: String::new() };
    Status::new(403, Reason::Forbidden, why).with_details(Details::default()).with_cause(cause)
}

impl ImagePolicyWebhook {
    /// # Errors
    /// In upstream's words: without a configuration there is nobody to ask.
    pub(super) fn new(configuration: Option<&[u8]>) -> std::result::Result<Self, String> {
        let settings = Settings::read(configuration.ok_or("no config specified")?)?;
        let backend = Backend::read(&settings.kubeconfig)?;
        let (remote, answers) = (OnceLock::new(), Mutex::new(Recent::new(ANSWERS_MAX)));
        Ok(Self { settings, backend, remote, answers })
    }

    async fn check(&self, ctx: &Context, attributes: &mut Attributes<'_>) -> Result<()> {
        let Some(pod) = attributes.object.as_deref() else { return Ok(()) };
        let spec = spec(pod, &attributes.target.subresource, attributes.namespace());
        let key = spec.to_string();
        let now = ctx.clock.monotonic();
        let kept = self.answers.lock().get(&key).filter(|(_, until)| now < *until).map(|(status, _)| status.clone());
        let status = match kept {
            Some(status) => status,
            None => match self.ask(ctx, spec).await {
                Ok(status) => {
                    let allowed = status.get("allowed").and_then(Value::as_bool) == Some(true);
                    let stays = if allowed { self.settings.allowed_for } else { self.settings.refused_for };
                    self.answers.lock().insert(&key, (status.clone(), ctx.clock.monotonic() + stays));
                    status
                }
                Err(Failure { why, .. }) if self.settings.open => {
                    tracing::warn!(why, "images are let pass because the server that judges them does not answer");
                    attributes.annotations.push((format!("{AUDIT_PREFIX}failed-open"), "true".to_owned()));
                    return Ok(());
                }
                Err(Failure { forbidden: true, why }) => return Err(forbidden_there(&why)),
                Err(Failure { why, .. }) => return Err(attributes.forbidden(why)),
            },
        };
        for (key, value) in status.get("auditAnnotations").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            attributes.annotations.push((format!("{AUDIT_PREFIX}{key}"), value));
        }
        if status.get("allowed").and_then(Value::as_bool) == Some(true) {
            return Ok(());
        }
        match status.get("reason").and_then(Value::as_str).unwrap_or_default() {
            "" => Err(attributes.forbidden("one or more images rejected by webhook backend")),
            why => Err(attributes.forbidden(format!("image policy webhook backend denied one or more images: {why}"))),
        }
    }

    async fn ask(&self, ctx: &Context, spec: Value) -> std::result::Result<Value, Failure> {
        let remote = self.remote.get_or_init(|| self.backend.remote(ctx.store.clone(), ctx.clock.clone()));
        let (api_version, kind) = REVIEW;
        let status = json!({ "allowed": false });
        let review = json!({ "kind": kind, "apiVersion": api_version, "metadata": {}, "spec": spec, "status": status });
        let body = bytes::Bytes::from(review.to_string());
        let mut wait = self.settings.backoff;
        for attempt in 1..=TRIES {
            let post = Post {
                site: &self.backend.site,
                body: body.clone(),
                limit: LIMIT,
                answer_bytes_max: ANSWER_BYTES_MAX,
                authorization: self.backend.authorization.as_deref(),
            };
            let (passing, failure) = match remote.post(post).await {
                Ok(reply) => match decode(&reply) {
                    Ok(answer) => {
                        check(ctx, &answer)?;
                        return Ok(answer.get("status").cloned().unwrap_or_default());
                    }
                    Err(why) => {
                        let forbidden = reply.status == 403;
                        (matches!(reply.status, 429 | 500 | 504), Failure { forbidden, why })
                    }
                },
                Err(why) => (why.ends_with("connection reset by peer"), why.into()),
            };
            if !passing || attempt == TRIES {
                return Err(failure);
            }
            ctx.clock.sleep(wait).await;
            wait = wait.mul_f64(1.5);
        }
        Err("nobody was asked".to_owned().into())
    }
}

/// Whether an answer is a review; of a type that there is otherwise, upstream tries to make one.
fn check(ctx: &Context, answer: &Value) -> std::result::Result<(), String> {
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
    let given = GroupVersionKind::parse(text("apiVersion"), text("kind"));
    if ctx.catalog.served().find_kind(&given.group, &given.version, &given.kind).is_some() {
        let (version, kind) = (&given.version, &given.kind);
        return Err(format!("converting ({version}.{kind}) to (v1alpha1.ImageReview): unknown conversion"));
    }
    check_kind(answer, REVIEW)
}

impl Plugin for ImagePolicyWebhook {
    fn name(&self) -> &'static str {
        "ImagePolicyWebhook"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        let writes = matches!(operation, Operation::Create | Operation::Update);
        let pods = kind.resource == "pods" && kind.gvk.group.is_empty();
        writes && pods && matches!(subresource, "" | "ephemeralcontainers")
    }

    fn admit<'a>(&'a self, _: &'a Context, _: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Absent
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Later(self.check(ctx, attributes).boxed())
    }
}

/// What the server is shown of a pod.
fn spec(pod: &Object, subresource: &str, namespace: &str) -> Value {
    let lists: &[&str] =
        if subresource.is_empty() { &["containers", "initContainers"] } else { &["ephemeralContainers"] };
    let containers = lists.iter().filter_map(|list| pod.get(&["spec", list])?.as_array()).flatten();
    let image = |container: &Value| match container.get("image").and_then(Value::as_str) {
        Some(image) if !image.is_empty() => json!({ "image": image }),
        _ => json!({}),
    };
    let containers: Vec<Value> = containers.map(image).collect();
    let annotations = pod.annotations().filter(|(key, _)| key.contains(SHOWN));
    let annotations: Map<String, Value> = annotations.map(|(key, value)| (key.to_owned(), value.into())).collect();
    let mut spec = Map::new();
    if !containers.is_empty() {
        spec.insert("containers".to_owned(), containers.into());
    }
    if !annotations.is_empty() {
        spec.insert("annotations".to_owned(), annotations.into());
    }
    spec.insert("namespace".to_owned(), namespace.into());
    spec.into()
}

impl Settings {
    fn read(bytes: &[u8]) -> std::result::Result<Self, String> {
        let read = tree(bytes)?.value;
        let policy = read.get("imagePolicy").cloned().unwrap_or_default();
        let at = "imagePolicyWebhookConfig.imagePolicy";
        let duration =
            |key: &str, bounds: Bounds| bounds.settle(number(&policy, key, (at, "time.Duration"))?.unwrap_or_default());
        let seconds = Duration::from_secs;
        let answers =
            |default: Duration| Bounds { unit: seconds(1), least: seconds(1), most: seconds(30 * 60), default };
        let backoff = Bounds {
            unit: Duration::from_millis(1),
            least: Duration::from_nanos(1),
            most: seconds(5 * 60),
            default: Duration::from_millis(500),
        };
        Ok(Self {
            backoff: duration("retryBackoff", backoff)?,
            allowed_for: duration("allowTTL", answers(seconds(5 * 60)))?,
            refused_for: duration("denyTTL", answers(seconds(30)))?,
            kubeconfig: text(&policy, "kubeConfigFile", at)?.to_owned(),
            open: policy.get("defaultAllow").and_then(Value::as_bool).unwrap_or(false),
        })
    }
}

/// What a duration of the file may be.
struct Bounds {
    unit: Duration,
    least: Duration,
    most: Duration,
    default: Duration,
}

impl Bounds {
    /// 0 stands for the default and -1 for none.
    fn settle(&self, value: i64) -> std::result::Result<Duration, String> {
        let nanoseconds = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        let asked = match value {
            0 => return Ok(self.default),
            -1 => return Ok(Duration::ZERO),
            value => value.wrapping_mul(nanoseconds(self.unit)),
        };
        let (least, most) = (nanoseconds(self.least), nanoseconds(self.most));
        if (least..=most).contains(&asked) {
            return Ok(Duration::from_nanos(asked.unsigned_abs()));
        }
        let [least, most, asked] = [least, most, asked].map(|nanoseconds| GoDuration(nanoseconds).to_string());
        Err(format!("valid value is between {least} and {most}, got {asked}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> std::result::Result<Settings, String> {
        Settings::read(format!("imagePolicy: {text}").as_bytes())
    }

    #[test]
    fn durations_have_defaults_and_bounds() {
        let settings = read("{kubeConfigFile: /k, allowTTL: 60, denyTTL: -1, defaultAllow: true}").unwrap();
        let expected = Settings {
            kubeconfig: "/k".to_owned(),
            allowed_for: Duration::from_secs(60),
            refused_for: Duration::ZERO,
            backoff: Duration::from_millis(500),
            open: true,
        };
        assert_eq!(settings, expected);
        let check = |text: &str, message: &str| assert_eq!(read(text).unwrap_err(), message);
        check("{allowTTL: 5000}", "valid value is between 1s and 30m0s, got 1h23m20s");
        check("{retryBackoff: -5}", "valid value is between 1ns and 5m0s, got -5ms");
    }

    #[test]
    fn the_server_is_shown_images_and_annotations_that_are_meant_for_it() {
        let pod = json!({
            "metadata": { "annotations": { "a": "b", "x.image-policy.k8s.io/y": "z" } },
            "spec": { "containers": [{ "image": "a" }], "initContainers": [{ "image": "b" }],
                      "ephemeralContainers": [{ "image": "c" }] },
        });
        let pod = Object::from_value(pod).unwrap();
        let annotations = json!({ "x.image-policy.k8s.io/y": "z" });
        let shown =
            |containers: Value| json!({ "containers": containers, "annotations": annotations, "namespace": "n" });
        assert_eq!(spec(&pod, "", "n"), shown(json!([{ "image": "a" }, { "image": "b" }])));
        assert_eq!(spec(&pod, "ephemeralcontainers", "n"), shown(json!([{ "image": "c" }])));
    }

    #[test]
    fn without_a_configuration_nobody_can_be_asked() {
        let none = ImagePolicyWebhook::new(None).err();
        assert_eq!(none.as_deref(), Some("no config specified"));
        let missing = ImagePolicyWebhook::new(Some(b"imagePolicy: {kubeConfigFile: /none}")).err();
        assert_eq!(missing.as_deref(), Some("stat /none: no such file or directory"));
    }
}
