//! How long the driver of a cluster waits, and for what.

use std::time::Duration;

/// The defaults suit a home line: a dead path is noticed within 15 s, and an idle one costs a ping each 10 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// DNS, TCP and TLS together, until a connection can be used.
    pub connect: Duration,
    /// One request, until its answer is there in full; for a watch, until it has begun.
    pub operation: Duration,
    /// HTTP/2 PING after this long without traffic.
    pub ping_interval: Duration,
    /// The connection is dead when a PING is not answered in this time.
    pub ping_timeout: Duration,
    /// How long unacknowledged data may be on the way (TCP_USER_TIMEOUT).
    pub tcp_user: Duration,
    /// `timeoutSeconds` of a watch: the server ends it then, and it is renewed. In whole seconds.
    pub watch: Duration,
    /// A watch is dead when it is silent for this long beyond `watch`.
    pub watch_grace: Duration,
    /// GET /version this often on a connection that has no PING (HTTP/1.1): the server closes it after 90 s.
    pub warm: Duration,
    /// First pause before another attempt; doubles up to `backoff_max`, each jittered.
    pub backoff: Duration,
    /// Longest pause between attempts, and the pause after a 401.
    pub backoff_max: Duration,
    /// A session that lasted this long starts the back-off anew.
    pub settled: Duration,
    /// Pause before a watch that is forbidden is tried again: permission may be granted meanwhile.
    pub refused: Duration,
    /// Looking for missing kinds without the right to watch CRDs, when a binding needs one.
    pub rediscover_needed: Duration,
    /// The same when no binding needs one.
    pub rediscover: Duration,
    /// After a change of the kubeconfig or its files, for the other changes that belong to it.
    pub files_settle: Duration,
    /// Reading the files again where inotify cannot be had.
    pub files_poll: Duration,
    /// How long writes under way may take at the end.
    pub stop: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(5),
            operation: seconds(10),
            ping_interval: seconds(10),
            ping_timeout: seconds(5),
            tcp_user: seconds(20),
            watch: seconds(290),
            watch_grace: seconds(15),
            warm: seconds(60),
            backoff: seconds(1),
            backoff_max: seconds(30),
            settled: seconds(60),
            refused: seconds(300),
            rediscover_needed: seconds(60),
            rediscover: seconds(300),
            files_settle: Duration::from_millis(100),
            files_poll: seconds(60),
            stop: seconds(3),
        }
    }
}
