//! What is counted of the work queues of controllers, under the names of client-go's (`util/workqueue`).

use super::text::{Text, quoted};
use crate::base::{QueueState, Queues};

/// A number of a queue: the metric, its kind, what it tells, and where it is.
type Number = (&'static str, &'static str, &'static str, fn(&QueueState) -> f64);

#[expect(clippy::cast_precision_loss, reason = "the text form knows no other numbers")]
const NUMBERS: [Number; 5] = [
    ("workqueue_adds_total", "counter", "Keys that became ready.", |queue| queue.counts.adds as f64),
    ("workqueue_depth", "gauge", "Keys that are ready.", |queue| queue.depth as f64),
    (
        "workqueue_longest_running_processor_seconds",
        "gauge",
        "For how long the key has been worked on that was begun first.",
        |queue| queue.working.iter().max().map_or(0.0, std::time::Duration::as_secs_f64),
    ),
    ("workqueue_retries_total", "counter", "Keys that were to come back after a failure.", |queue| {
        queue.counts.retries as f64
    }),
    ("workqueue_unfinished_work_seconds", "gauge", "For how long keys have been worked on, all together.", |queue| {
        queue.working.iter().map(std::time::Duration::as_secs_f64).sum()
    }),
];

pub(super) fn write(text: &mut Text, queues: &Queues) {
    let states = queues.states();
    let labels = |name: &str| format!("name={}", quoted(name));
    for (name, kind, help, of) in NUMBERS {
        text.metric(name, kind, help);
        states.iter().for_each(|(queue, state)| text.value(name, &labels(queue), of(state)));
    }
    let name = "workqueue_queue_duration_seconds";
    text.metric(name, "histogram", "How long keys were ready before they were worked on.");
    states.iter().for_each(|(queue, state)| text.histogram(name, &labels(queue), &state.counts.waited));
    let name = "workqueue_work_duration_seconds";
    text.metric(name, "histogram", "How long keys were worked on.");
    states.iter().for_each(|(queue, state)| text.histogram(name, &labels(queue), &state.counts.worked));
}
