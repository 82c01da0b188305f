//! A kube client over the server with no socket, shared typed caches and work queues.
