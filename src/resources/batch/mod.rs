//! The kinds of `batch`.

pub(super) mod cron_job;
mod indexes;
pub(super) mod job;
mod job_validation;
