//! Times in listings (RFC 3339).

use std::fmt;

/// A time in seconds since the epoch: `1994-11-06T08:49:37Z`, or `1994-11-06 08:49:37` for people (`{:#}`). A year has four digits:
/// what is later is the end of 9999.
#[derive(Debug, Clone, Copy)]
pub struct Rfc3339(pub u64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        const LAST: u64 = 253_402_300_799;
        let seconds = self.0.min(LAST);
        let ((year, month, day), second) = (date(seconds / 86_400), seconds % 86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let (separator, zone) = if formatter.alternate() { (' ', "") } else { ('T', "Z") };
        write!(formatter, "{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}{zone}")
    }
}

/// Returns year, month and day of a day since the epoch. Years begin in March here, so that a leap day is the
/// last day of its year, and every step is a division.
fn date(days_since_epoch: u64) -> (u64, u64, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    // 0000-03-01 is 719,468 days before the epoch.
    let days = days_since_epoch + 719_468;
    let (era, day) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    // Subtract the leap days that have passed: one in four years, none in a hundred, one in four hundred.
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Five months from March, and again from August, have 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = year + 400 * era;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn check(seconds: u64, expected: &str) {
        assert_eq!(Rfc3339(seconds).to_string(), expected, "{seconds}");
    }

    #[test]
    fn known_times() {
        check(0, "1970-01-01T00:00:00Z");
        check(784_111_777, "1994-11-06T08:49:37Z");
        check(951_782_399, "2000-02-28T23:59:59Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(951_868_800, "2000-03-01T00:00:00Z");
        check(1_735_689_599, "2024-12-31T23:59:59Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
        assert_eq!(format!("{:#}", Rfc3339(784_111_777)), "1994-11-06 08:49:37");
    }

    #[test]
    fn years_have_four_digits() {
        check(253_402_300_799, "9999-12-31T23:59:59Z");
        check(253_402_300_800, "9999-12-31T23:59:59Z");
        check(u64::MAX, "9999-12-31T23:59:59Z");
    }

    #[test]
    fn agrees_with_the_dates_of_http_for_every_day_of_400_years() {
        const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
        for day in 0..146_097 {
            let http = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(day * 86_400));
            let month = MONTHS.find(&http[8..11]).unwrap() / 3 + 1;
            check(day * 86_400, &format!("{}-{month:02}-{}T00:00:00Z", &http[12..16], &http[5..7]));
        }
    }
}
