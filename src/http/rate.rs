//! Rate limits: of calls with each API key, and of requests from each address before
//! authentication.

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

/// Number of requests after which idle addresses are removed, so that memory is bounded.
const FORGET_IDLE_AFTER: usize = 10_000;

/// The rate limit of each API key.
#[derive(Debug)]
pub(super) struct KeyLimit(Limiter<KeyName>);

impl KeyLimit {
    /// Creates a limit of this number of calls a second, which is also the burst size.
    pub(super) fn per_second(calls: NonZeroU32) -> Self {
        Self(RateLimiter::hashmap(Quota::per_second(calls)))
    }

    /// Counts a call with this key.
    ///
    /// # Errors
    /// [`Code::TooManyRequests`](super::Code::TooManyRequests).
    pub(super) fn check(&self, key: &KeyName) -> Result<(), Problem> {
        self.0.check_key(key).map_err(|early| refuse("this key", &early))
    }
}

/// The rate limit of each address, for all requests.
#[derive(Debug)]
pub(super) struct AddressLimit {
    limiter: Limiter<IpAddr>,
    checked: AtomicUsize,
}

impl AddressLimit {
    /// Creates a limit of this number of requests a second, which is also the burst size.
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

/// Refuses requests of an address above its rate limit.
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

/// Returns the address or, for IPv6, its /64 network, which usually belongs to one caller.
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
    fn limit_is_per_ipv4_address_and_per_ipv6_64_network() {
        let limit = AddressLimit::per_second(NonZeroU32::MIN);
        let check = |address: &str| limit.check(address.parse().unwrap()).is_ok();
        assert!(check("192.0.2.1") && check("192.0.2.2") && check("2001:db8::1"));
        for again in ["192.0.2.1", "::ffff:192.0.2.2", "2001:db8::ffff:2"] {
            assert!(!check(again), "{again}");
        }
        assert!(check("2001:db8:0:1::1"));
    }
}
