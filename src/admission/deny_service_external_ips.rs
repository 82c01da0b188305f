//! `DenyServiceExternalIPs`: no service draws the traffic of further addresses to itself (K
//! `plugin/pkg/admission/network/denyserviceexternalips`).

use serde_json::Value;

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::Object;
use crate::resources::Kind;

pub(super) struct DenyServiceExternalIps;

impl Plugin for DenyServiceExternalIps {
    fn name(&self) -> &'static str {
        "DenyServiceExternalIPs"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        let writes = matches!(operation, Operation::Create | Operation::Update);
        writes && subresource.is_empty() && kind.resource == "services" && kind.gvk.group.is_empty()
    }

    fn validate<'a>(&'a self, _: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        let had: Vec<&Value> = attributes.old.into_iter().flat_map(addresses).collect();
        let subset = attributes.object.as_deref().into_iter().flat_map(addresses).all(|ip| had.contains(&ip));
        let refusal = || attributes.forbidden("Use of external IPs is denied by admission control");
        Answer::Ready(if subset { Ok(()) } else { Err(refusal()) })
    }
}

fn addresses(service: &Object) -> impl Iterator<Item = &Value> {
    service.get(&["spec", "externalIPs"]).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;

    #[tokio::test]
    async fn a_service_may_keep_addresses_and_take_no_further() {
        let service =
            |ips: &[&str]| json!({ "metadata": { "name": "s", "namespace": "n" }, "spec": { "externalIPs": ips } });
        let trial = Trial::new().await;
        assert!(trial.validate(&DenyServiceExternalIps, "services", service(&[])).await.is_ok());
        let refused = trial.validate(&DenyServiceExternalIps, "services", service(&["1.2.3.4"])).await.unwrap_err();
        let message = "services \"s\" is forbidden: Use of external IPs is denied by admission control";
        assert_eq!(refused.message(), message);
        let kept = (service(&["1.2.3.4", "1.2.3.5"]), service(&["1.2.3.5"]));
        assert!(trial.update(&DenyServiceExternalIps, "services", kept).await.is_ok());
    }
}
