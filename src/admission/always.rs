//! `AlwaysAdmit` and `AlwaysDeny`: let everything pass, and nothing (apiserver `plugin/pkg/admission/{admit,deny}`).

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::resources::Kind;

pub(super) struct AlwaysAdmit;

pub(super) struct AlwaysDeny;

const DENIED: &str = "admission control is denying all modifications";

impl Plugin for AlwaysAdmit {
    fn name(&self) -> &'static str {
        "AlwaysAdmit"
    }

    fn handles(&self, _: Operation, _: &Kind, _: &str) -> bool {
        false
    }
}

impl Plugin for AlwaysDeny {
    fn name(&self) -> &'static str {
        "AlwaysDeny"
    }

    fn handles(&self, _: Operation, _: &Kind, _: &str) -> bool {
        true
    }

    fn admit<'a>(&'a self, _: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(Err(attributes.forbidden(DENIED)))
    }

    fn validate<'a>(&'a self, _: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(Err(attributes.forbidden(DENIED)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;

    #[tokio::test]
    async fn everything_is_denied() {
        let map = json!({ "metadata": { "name": "a", "namespace": "n" } });
        let refused = Trial::new().await.admit(&AlwaysDeny, "configmaps", map).await.unwrap_err();
        let message = "configmaps \"a\" is forbidden: admission control is denying all modifications";
        assert_eq!((refused.code(), refused.message()), (403, message));
    }
}
