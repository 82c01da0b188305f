//! Coracle: a whole Kubernetes control plane over one file. The layers, bottom to top; a module uses only
//! modules above it in this list (the four siblings before `app` never use each other).

pub mod api;
