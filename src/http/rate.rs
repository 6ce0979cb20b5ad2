//! Rate limits: of calls by each API key, and of requests from each address before a key is looked at.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{NotUntil, Quota, RateLimiter};

use super::problem::Problem;
use crate::access::KeyName;

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock>;

/// Requests after which idle addresses are forgotten, so that memory does not grow with the callers.
const FORGET_IDLE_AFTER: usize = 10_000;

/// How often each API key may be used.
#[derive(Debug)]
pub(super) struct KeyLimit(Limiter<KeyName>);

impl KeyLimit {
    /// So many calls a second, and as many at once after a pause.
    pub(super) fn per_second(calls: NonZeroU32) -> Self {
        Self(RateLimiter::hashmap(Quota::per_second(calls)))
    }

    /// Counts a call by this key.
    ///
    /// # Errors
    /// [`Code::TooManyRequests`](super::Code::TooManyRequests).
    pub(super) fn check(&self, key: &KeyName) -> Result<(), Problem> {
        self.0.check_key(key).map_err(|early| refuse("this key", &early))
    }
}

/// How many requests each address may send, whatever they are.
#[derive(Debug)]
pub(super) struct AddressLimit {
    limiter: Limiter<IpAddr>,
    checked: AtomicUsize,
}

impl AddressLimit {
    /// So many requests a second, and as many at once after a pause.
    pub(super) fn per_second(requests: NonZeroU32) -> Self {
        let limiter = RateLimiter::hashmap(Quota::per_second(requests));
        Self { limiter, checked: AtomicUsize::new(0) }
    }

    fn check(&self, address: IpAddr) -> Result<(), Problem> {
        if self.checked.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_IDLE_AFTER) {
            self.limiter.retain_recent();
        }
        let early = |early| refuse("this address", &early);
        self.limiter.check_key(&network(address)).map_err(early)
    }
}

/// Refuses an address that sends more than it may.
pub(super) async fn limit_addresses(
    State(limit): State<Arc<AddressLimit>>,
    request: Request,
    next: Next,
) -> Response {
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>();
    match from.map_or(Ok(()), |ConnectInfo(from)| limit.check(from.ip())) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The address or, for IPv6, its /64, all of which one caller holds.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

fn refuse(whose: &str, early: &NotUntil<<DefaultClock as Clock>::Instant>) -> Problem {
    Problem::too_many_requests(whose, early.wait_time_from(DefaultClock::default().now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_a_limit_of_its_own_and_a_64_network_shares_one() {
        let limit = AddressLimit::per_second(NonZeroU32::MIN);
        let check = |address: &str| limit.check(address.parse().unwrap()).is_ok();
        assert!(check("192.0.2.1") && check("192.0.2.2") && check("2001:db8::1"));
        for again in ["192.0.2.1", "::ffff:192.0.2.2", "2001:db8::ffff:2"] {
            assert!(!check(again), "{again}");
        }
        assert!(check("2001:db8:0:1::1"));
    }
}
