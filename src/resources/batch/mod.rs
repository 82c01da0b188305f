//! The kinds of `batch`.

pub(super) mod cron_job;
mod indexes;
pub(super) mod job;
mod job_status;
mod job_validation;
mod schedule;
