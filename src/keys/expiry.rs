//! The dates of certificates, and what to say about them.

use std::time::{Duration, SystemTime};

const DAY: i64 = 24 * 60 * 60;

/// The longest time before the expiry at which that is reported.
const MAX_NOTICE_S: i64 = 21 * DAY;

/// The state of a certificate by its dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Valid for long.
    Fine,
    /// It expires soon: what renews it should have done so.
    EndsSoon,
    /// Expired.
    Expired,
    /// Not valid yet.
    NotYet,
}

impl Validity {
    /// Returns the state at `now`, all in seconds since the epoch.
    pub fn at(not_before: i64, not_after: i64, now: i64) -> Self {
        match not_after.saturating_sub(now) {
            _ if now < not_before => Validity::NotYet,
            left if left < 0 => Validity::Expired,
            left if left < notice_s(not_after.saturating_sub(not_before)) => Validity::EndsSoon,
            _ => Validity::Fine,
        }
    }

    /// Returns what is wrong, with the remedy.
    pub fn fault(self, not_before: i64, not_after: i64, now: i64) -> Option<String> {
        match self {
            Validity::Fine => None,
            Validity::EndsSoon => Some(format!(
                "It expires on {}, in {}: check what renews it, such as certbot.timer.",
                date(not_after),
                duration(not_after - now)
            )),
            Validity::Expired => Some(format!(
                "It expired on {}, and clients reject it: renew it, for example with certbot renew.",
                date(not_after)
            )),
            Validity::NotYet => Some(format!(
                "It is valid from {} on, and clients reject it before: set the clock of this machine, or wait.",
                date(not_before)
            )),
        }
    }
}

/// Returns the time before the expiry at which that is reported, for a certificate with this lifetime: a fifth of it, at most
/// three weeks. certbot before version 4 (Debian 11 and 12) renews 30 days before the expiry; since then (Debian 13), when a
/// third of the lifetime is left, or half of one below ten days. Its timer may be a day late. So each certificate that certbot
/// renews in time is renewed before it is reported, also one of a year by the older certbot.
fn notice_s(lifetime_s: i64) -> i64 {
    (lifetime_s / 5).min(MAX_NOTICE_S)
}

/// Returns a date for people, in UTC.
pub fn date(seconds: i64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.clamp(0, 253_402_300_799).unsigned_abs());
    httpdate::fmt_http_date(time)
}

fn duration(seconds: i64) -> String {
    match seconds / DAY {
        0 => format!("{} hours", seconds / 3600),
        1 => "1 day".into(),
        days => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_reported_in_the_last_fifth_and_at_most_three_weeks_before() {
        let (begin, end) = (1000 * DAY, 1090 * DAY);
        for (day, expected) in [
            (999, Validity::NotYet),
            (1000, Validity::Fine),
            (1072, Validity::Fine),
            (1073, Validity::EndsSoon),
            (1090, Validity::EndsSoon),
            (1091, Validity::Expired),
        ] {
            assert_eq!(Validity::at(begin, end, day * DAY), expected, "day {day}");
        }
        // The 47 days of 2029: 9.4 days before.
        assert_eq!(Validity::at(0, 47 * DAY, 37 * DAY), Validity::Fine);
        assert_eq!(Validity::at(0, 47 * DAY, 38 * DAY), Validity::EndsSoon);
        assert_eq!(Validity::at(0, 365 * DAY, 344 * DAY), Validity::Fine);
        assert_eq!(Validity::at(0, 365 * DAY, 345 * DAY), Validity::EndsSoon);
    }

    /// certbot runs twice a day, each time up to twelve hours late.
    #[test]
    fn nothing_is_reported_of_certificates_that_certbot_renews() {
        let until_30_days = |_lifetime: i64| 30 * DAY;
        let until_a_third = |lifetime: i64| if lifetime < 10 * DAY { lifetime / 2 } else { lifetime / 3 };
        for lifetime in [6, 10, 47, 64, 90, 180, 365, 398].map(|days| days * DAY) {
            for renewal in [until_30_days(lifetime), until_a_third(lifetime)] {
                // Above its lifetime, it is renewed at each run.
                let renewed = (lifetime - renewal).max(0) + DAY;
                assert_eq!(Validity::at(0, lifetime, renewed), Validity::Fine, "{} days", lifetime / DAY);
            }
        }
    }

    #[test]
    fn each_fault_has_a_date_and_a_remedy() {
        let fault = |now| Validity::at(0, 90 * DAY, now).fault(0, 90 * DAY, now);
        assert_eq!(fault(0), None);
        let soon =
            "It expires on Wed, 01 Apr 1970 00:00:00 GMT, in 10 days: check what renews it, such as certbot.timer.";
        assert_eq!(fault(80 * DAY).unwrap(), soon);
        assert!(fault(89 * DAY).unwrap().contains("in 1 day:"));
        assert!(fault(90 * DAY - 7200).unwrap().contains("in 2 hours:"));
        assert!(fault(91 * DAY).unwrap().starts_with("It expired on Wed, 01 Apr 1970"));
        assert!(fault(-1).unwrap().starts_with("It is valid from Thu, 01 Jan 1970"));
    }
}
