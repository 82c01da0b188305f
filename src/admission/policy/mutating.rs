//! Runs the mutating policies over one request, one after another (apiserver
//! `pkg/admission/plugin/policy/mutating/dispatcher.go`).

use std::sync::Arc;

use super::compile::{Binding, Body, Mutation, Policy};
use super::params;
use super::patch::{self, Failure as PatchFailure};
use super::scene::{Scene, Stage};
use super::source::Hook;
use super::validating::bound;
use crate::admission::{Attributes, Context, Invocation};
use crate::api::cel::admission::Failure;
use crate::api::status::Cause;
use crate::api::{Object, Reason, Result, Status};
use crate::resources::Kind;

/// One policy by one binding with one parameter.
struct Turn<'a> {
    policy: &'a Policy,
    binding: &'a Binding,
    /// Which of the scenes it is about.
    scene: usize,
    params: Option<Object>,
}

/// What went wrong with policies that are not to be passed over: the messages, and the reason of the first.
#[derive(Default)]
struct Problems {
    messages: Vec<String>,
    invalid_first: bool,
}

impl Problems {
    fn add(&mut self, policy: &Policy, binding: Option<&Binding>, (why, invalid): (&str, bool)) {
        if policy.failure == Failure::Ignore {
            return;
        }
        self.invalid_first |= self.messages.is_empty() && invalid;
        self.messages.push(match binding {
            Some(binding) => {
                format!("policy '{}' with binding '{}' denied request: {why}", policy.name, binding.name)
            }
            None => {
                let name = crate::api::field::go_quote(&policy.name);
                format!("policy {name} denied request: {why}")
            }
        });
    }

    fn misconfigured(&mut self, policy: &Policy, binding: Option<&Binding>, why: &str) {
        let what = if binding.is_some() { "binding" } else { "policy" };
        self.add(policy, binding, (&format!("failed to configure {what}: {why}"), false));
    }

    /// All problems in one answer; upstream keeps the code of a 403 whatever the reason is (v1.37).
    fn refusal(self, attributes: &Attributes<'_>) -> Result<()> {
        let Some(first) = self.messages.first() else { return Ok(()) };
        let forbidden = attributes.forbidden("admission request denied by policy");
        let reason = if self.invalid_first { Reason::Invalid } else { Reason::Forbidden };
        let status = Status::new(403, reason, first.as_str());
        let status = status.with_details(forbidden.details().cloned().unwrap_or_default());
        let cause = |message| Cause { message, ..Cause::default() };
        Err(self.messages.into_iter().map(cause).fold(status, Status::with_cause))
    }
}

/// What is to be done with one request.
#[derive(Default)]
struct Plan<'a> {
    turns: Vec<Turn<'a>>,
    /// The request in each version that a policy asked for, as it is before any of them changes it.
    scenes: Vec<Scene>,
    /// The version that was evaluated last, once one was changed: only this one is written (v1.37).
    last: Option<(usize, bool)>,
    problems: Problems,
}

/// Lets all policies change the object.
///
/// # Errors
/// 403 for what goes wrong, unless the policy is to be passed over then.
pub(super) async fn dispatch(ctx: &Context, attributes: &mut Attributes<'_>, hooks: Arc<Vec<Hook>>) -> Result<()> {
    let mut plan = Plan::default();
    for hook in hooks.iter() {
        plan.collect(ctx, attributes, hook).await;
    }
    if !plan.turns.is_empty() {
        let outcome = plan.run(ctx, attributes).await;
        let object = attributes.object.as_deref();
        attributes.reinvocation.policies.leave(object);
        outcome?;
    }
    plan.problems.refusal(attributes)
}

impl<'a> Plan<'a> {
    async fn collect(&mut self, ctx: &Context, attributes: &Attributes<'_>, hook: &'a Hook) {
        let policy = &*hook.policy;
        let found = match &policy.criteria {
            Some(criteria) => criteria.matches(ctx, attributes).map_err(|status| status.message().to_owned()),
            None => Err("policy contained no match constraints, a required field".to_owned()),
        };
        let invocation = match found {
            Ok(Some(invocation)) => invocation,
            Ok(None) => return,
            Err(why) => return self.problems.misconfigured(policy, None, &why),
        };
        let kind = match params::kind(ctx, policy) {
            Ok(kind) => kind,
            Err(why) => return self.problems.misconfigured(policy, None, &why),
        };
        for binding in &hook.bindings {
            match bound(ctx, attributes, binding) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(why) => {
                    self.problems.misconfigured(policy, Some(binding), &why);
                    continue;
                }
            }
            let scene = match self.scene(ctx, attributes, &invocation).await {
                Ok(scene) => scene,
                Err(status) => {
                    self.problems.misconfigured(policy, None, status.message());
                    continue;
                }
            };
            let of = (binding.as_ref(), attributes.namespace());
            match params::collect(ctx, (policy, kind.as_deref()), of).await {
                Ok(all) => self.turns.extend(all.into_iter().map(|params| Turn { policy, binding, scene, params })),
                Err(why) => self.problems.misconfigured(policy, Some(binding), &why),
            }
        }
    }

    /// The place of the request in a version, which is made for the first policy that asks for it.
    async fn scene(&mut self, ctx: &Context, attributes: &Attributes<'_>, invocation: &Invocation) -> Result<usize> {
        if let Some(at) = self.scenes.iter().position(|scene| scene.kind.gvk == invocation.kind.gvk) {
            return Ok(at);
        }
        self.scenes.push(Scene::new(ctx, attributes, invocation).await?);
        Ok(self.scenes.len() - 1)
    }

    async fn run(&mut self, ctx: &Context, attributes: &mut Attributes<'_>) -> Result<()> {
        if attributes.reinvocation.second() {
            let object = attributes.object.as_deref();
            attributes.reinvocation.policies.compare(object);
        }
        let stage = Stage::new(ctx, attributes)?;
        for turn in std::mem::take(&mut self.turns) {
            self.take(attributes, &stage, &turn).await?;
        }
        let Some((at, true)) = self.last else { return Ok(()) };
        let Some(scene) = self.scenes.get_mut(at) else { return Ok(()) };
        attributes.reinvocation.policies.require();
        attributes.reinvocation.want();
        match scene.object.take() {
            Some(object) => put_back(ctx, attributes, (&scene.kind, object)).await,
            None => Ok(()),
        }
    }

    async fn take(&mut self, attributes: &mut Attributes<'_>, stage: &Stage, turn: &Turn<'_>) -> Result<()> {
        let Turn { policy, binding, scene: at, params } = turn;
        let Body::Mutating { mutations, reinvoked } = &policy.body else { return Ok(()) };
        let Some(scene) = self.scenes.get_mut(*at) else { return Ok(()) };
        let conditions = scene.conditions(stage, params.as_ref());
        match stage.settled(|| policy.conditions.matches(&policy.variables, &conditions)).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(why) => {
                self.problems.add(policy, Some(binding), (&why, true));
                return Ok(());
            }
        }
        let named = |object: &Object| format!("{}/{}", object.namespace(), object.name());
        let id = format!("{}\n{}\n{}", policy.name, binding.name, params.as_ref().map(named).unwrap_or_default());
        if attributes.reinvocation.second() && !attributes.reinvocation.policies.again(&id) {
            return Ok(());
        }
        let before = scene.object.clone();
        for mutation in mutations {
            mutate(attributes, (stage, scene), (turn, mutation), &mut self.problems).await?;
        }
        let changed = scene.object != before;
        scene.changed |= changed;
        if !mutations.is_empty() {
            self.last = Some((*at, scene.changed));
        }
        if changed {
            attributes.reinvocation.policies.require();
            attributes.reinvocation.want();
        }
        if *reinvoked {
            attributes.reinvocation.policies.invoked(&id);
        }
        Ok(())
    }
}

async fn mutate(
    attributes: &Attributes<'_>,
    (stage, scene): (&Stage, &mut Scene),
    (turn, mutation): (&Turn<'_>, &Mutation),
    problems: &mut Problems,
) -> Result<()> {
    if scene.object.is_none() {
        return Ok(());
    }
    let subresource = attributes.target.subresource.as_str();
    let inputs = scene.inputs(stage, turn.params.as_ref());
    let patched = || patch::apply(turn.policy, mutation, &inputs, (&scene.kind, subresource));
    match stage.settled(patched).await {
        Ok(mut changed) => {
            if *scene.kind.payload(subresource) == scene.kind.gvk {
                // What Go's types would write, with defaults.
                scene.kind.fit(scene.kind.type_id, &mut changed);
                scene.kind.default(&mut changed);
            }
            scene.object = Some(changed);
        }
        Err(PatchFailure::Refused(status)) => return Err(status),
        Err(PatchFailure::Policy(why)) => problems.add(turn.policy, Some(turn.binding), (&why, true)),
    }
    Ok(())
}

/// Takes a changed object back to the version in which it is written.
async fn put_back(ctx: &Context, attributes: &mut Attributes<'_>, (shown, changed): (&Kind, Object)) -> Result<()> {
    let (asked, subresource) = (attributes.kind, attributes.target.subresource.as_str());
    let Some(slot) = attributes.object.as_deref_mut() else { return Ok(()) };
    if subresource == "scale" {
        if let Some(paths) = shown.behaviour.scale(shown) {
            let path: Vec<&str> = paths.spec_replicas.iter().map(AsRef::as_ref).collect();
            slot.set(&path, changed.int_at(&["spec", "replicas"]).unwrap_or(0));
        }
        return Ok(());
    }
    *slot = if *shown.payload(subresource) != shown.gvk {
        changed
    } else if shown.is_custom() {
        let back = ctx.converted(asked, Some(changed)).await;
        let why = |status: Status| Status::internal(format!("failed to convert object: {}", status.message()));
        back.map_err(why)?.ok_or_else(|| Status::internal("an object was lost in conversion"))?
    } else {
        shown.stored(changed)
    };
    Ok(())
}
