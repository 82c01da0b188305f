//! Amounts of resources: what pods ask for and nodes offer.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::api::quantity::Quantity;

/// What a pod without a request is counted as when nodes are scored (upstream's `GetNonzeroRequests`).
const MILLI_CPU_ASSUMED: i64 = 100;
const MEMORY_ASSUMED: i64 = 200 * 1024 * 1024;

/// Amounts by name.
pub(super) type Quantities = BTreeMap<String, String>;

/// Amounts of resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Resources {
    pub milli_cpu: i64,
    pub memory: i64,
    pub ephemeral_storage: i64,
    /// Any other resource by name.
    pub other: BTreeMap<Box<str>, i64>,
}

/// What a pod asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Requests {
    pub asked: Resources,
    /// For scoring: what is not asked for is assumed.
    pub assumed_milli_cpu: i64,
    pub assumed_memory: i64,
}

#[derive(Deserialize, Debug, Default, Clone)]
#[serde(default)]
pub(super) struct Asked {
    pub requests: Quantities,
}

impl Resources {
    /// From quantities; what cannot be read counts as nothing.
    pub(super) fn of(quantities: &Quantities) -> Self {
        let mut resources = Self::default();
        for (name, text) in quantities {
            let Ok(quantity) = Quantity::parse(text) else { continue };
            match name.as_str() {
                "cpu" => resources.milli_cpu = quantity.milli_value(),
                "memory" => resources.memory = quantity.value(),
                "ephemeral-storage" => resources.ephemeral_storage = quantity.value(),
                "pods" => {}
                other => {
                    resources.other.insert(other.into(), quantity.value());
                }
            }
        }
        resources
    }

    pub(super) fn add(&mut self, more: &Self) {
        self.combine(more, |a, b| a.saturating_add(b));
    }

    pub(super) fn subtract(&mut self, less: &Self) {
        self.combine(less, |a, b| a.saturating_sub(b));
        self.other.retain(|_, amount| *amount != 0);
    }

    pub(super) fn raise_to(&mut self, least: &Self) {
        self.combine(least, i64::max);
    }

    fn combine(&mut self, by: &Self, with: fn(i64, i64) -> i64) {
        self.milli_cpu = with(self.milli_cpu, by.milli_cpu);
        self.memory = with(self.memory, by.memory);
        self.ephemeral_storage = with(self.ephemeral_storage, by.ephemeral_storage);
        for (name, amount) in &by.other {
            let present = self.other.entry(name.clone()).or_default();
            *present = with(*present, *amount);
        }
    }
}

/// One container's part in the requests of its pod.
pub(super) struct Part<'a> {
    pub asked: &'a Quantities,
    pub role: Role,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Main,
    Init,
    Sidecar,
}

impl Requests {
    /// Sums up the containers, in the order in which they start: init containers run one after the other beside the
    /// sidecars that started before them.
    pub(super) fn sum(parts: &[Part<'_>], pod_level: &Quantities, overhead: &Quantities) -> Self {
        let mut exact = Sum::default();
        let mut assumed = Sum::default();
        for part in parts {
            let asked = Resources::of(part.asked);
            let mut filled = asked.clone();
            if !part.asked.contains_key("cpu") {
                filled.milli_cpu = MILLI_CPU_ASSUMED;
            }
            if !part.asked.contains_key("memory") {
                filled.memory = MEMORY_ASSUMED;
            }
            exact.add(&asked, part.role);
            assumed.add(&filled, part.role);
        }
        let (mut asked, mut filled) = (exact.total(), assumed.total());
        let whole = Resources::of(pod_level);
        for resources in [&mut asked, &mut filled] {
            if pod_level.contains_key("cpu") {
                resources.milli_cpu = whole.milli_cpu;
            }
            if pod_level.contains_key("memory") {
                resources.memory = whole.memory;
            }
            resources.add(&Resources::of(overhead));
        }
        Self { asked, assumed_milli_cpu: filled.milli_cpu, assumed_memory: filled.memory }
    }
}

#[derive(Default)]
struct Sum {
    main: Resources,
    sidecars: Resources,
    init_peak: Resources,
}

impl Sum {
    fn add(&mut self, asked: &Resources, role: Role) {
        match role {
            Role::Main => self.main.add(asked),
            Role::Sidecar => {
                self.sidecars.add(asked);
                self.init_peak.raise_to(&self.sidecars);
            }
            Role::Init => {
                let mut peak = self.sidecars.clone();
                peak.add(asked);
                self.init_peak.raise_to(&peak);
            }
        }
    }

    fn total(mut self) -> Resources {
        self.main.add(&self.sidecars);
        self.main.raise_to(&self.init_peak);
        self.main
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(text: &str) -> Quantities {
        Quantities::from([("cpu".to_owned(), text.to_owned())])
    }

    #[test]
    fn init_containers_count_beside_the_sidecars_before_them() {
        let (main, side, init) = (cpu("1"), cpu("500m"), cpu("2"));
        let parts = [
            Part { asked: &side, role: Role::Sidecar },
            Part { asked: &init, role: Role::Init },
            Part { asked: &main, role: Role::Main },
        ];
        let requests = Requests::sum(&parts, &Quantities::new(), &cpu("100m"));
        assert_eq!(requests.asked.milli_cpu, 2600);
        assert_eq!(Requests::sum(&parts, &cpu("4"), &Quantities::new()).asked.milli_cpu, 4000);
    }

    #[test]
    fn a_container_without_requests_is_scored_as_a_small_one() {
        let none = Quantities::new();
        let requests = Requests::sum(&[Part { asked: &none, role: Role::Main }], &none, &none);
        assert_eq!(requests.asked, Resources::default());
        assert_eq!((requests.assumed_milli_cpu, requests.assumed_memory), (100, 209_715_200));
    }
}
