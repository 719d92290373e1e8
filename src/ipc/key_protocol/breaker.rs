//! The circuit breaker of a client: while the key process does not respond, only one request a second waits for it.

use std::time::{Duration, Instant};

/// The interval of the requests that still wait, and the time that each of them waits.
const PROBE: Duration = Duration::from_secs(1);

/// The breaker.
#[derive(Debug, Default)]
pub struct Breaker {
    /// When the next request is admitted. None: all are.
    next_probe: Option<Instant>,
}

impl Breaker {
    /// Returns the deadline of a request that begins now; none if it fails at once.
    pub fn admit(&mut self, now: Instant, deadline: Duration) -> Option<Instant> {
        match self.next_probe {
            None => Some(now + deadline),
            Some(due) if now < due => None,
            Some(_) => {
                self.next_probe = Some(now + PROBE);
                Some(now + PROBE)
            }
        }
    }

    /// Records the end of a request.
    pub fn report(&mut self, has_response: bool, now: Instant) {
        match (has_response, self.next_probe) {
            (true, _) => self.next_probe = None,
            (false, None) => self.next_probe = Some(now + PROBE),
            (false, Some(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_one_request_a_second_waits_until_one_succeeds() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let deadline = Duration::from_secs(2);
        assert_eq!(breaker.admit(at(0), deadline), Some(at(2000)));
        assert_eq!(breaker.admit(at(1), deadline), Some(at(2001)));
        breaker.report(false, at(2000));
        breaker.report(false, at(2001));
        assert_eq!(breaker.admit(at(2999), deadline), None);
        assert_eq!(breaker.admit(at(3000), deadline), Some(at(4000)), "a probe");
        assert_eq!(breaker.admit(at(3500), deadline), None, "one probe at a time");
        breaker.report(false, at(4000));
        assert_eq!(breaker.admit(at(4000), deadline), Some(at(5000)), "the next probe");
        breaker.report(true, at(4100));
        assert_eq!(breaker.admit(at(4100), deadline), Some(at(6100)));
    }
}
