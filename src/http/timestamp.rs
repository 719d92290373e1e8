//! Times in listings (RFC 3339).

use std::time::{SystemTime, UNIX_EPOCH};

/// Formats `time` as `1994-11-06T08:49:37Z`, rounded down to seconds. Years that do not have four digits become 0000 or
/// 9999.
pub fn rfc3339(time: SystemTime) -> String {
    const FIRST: i64 = -62_167_219_200;
    const LAST: i64 = 253_402_300_799;
    let seconds = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(LAST),
        Err(error) => {
            let before = error.duration();
            let rounded = before.as_secs().saturating_add(u64::from(before.subsec_nanos() > 0));
            i64::try_from(rounded).map_or(FIRST, |seconds| -seconds)
        }
    };
    let seconds = seconds.clamp(FIRST, LAST);
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Returns year, month and day of a day since the epoch, which must not be before the year 0000. Years begin in March
/// here, so that a leap day is the last day of its year, and every step is a division.
fn date(days_since_epoch: i64) -> (i64, i64, i64) {
    const DAYS_IN_400_YEARS: i64 = 146_097;
    // 0000-03-01 is 719,468 days before the epoch; 400 years more keep the dividend positive.
    let days = days_since_epoch + 719_468 + DAYS_IN_400_YEARS;
    let (era, day) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    // Subtract the leap days that have passed: one in four years, none in a hundred, one in four hundred.
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Five months from March, and again from August, have 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = year + 400 * era - 400;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn check(seconds: i64, expected: &str) {
        let offset = Duration::from_secs(seconds.unsigned_abs());
        let time = if seconds < 0 { UNIX_EPOCH - offset } else { UNIX_EPOCH + offset };
        assert_eq!(rfc3339(time), expected, "{seconds}");
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
        check(-1, "1969-12-31T23:59:59Z");
        check(-2_203_891_200, "1900-03-01T00:00:00Z");
    }

    #[test]
    fn years_have_four_digits() {
        check(-62_167_219_200, "0000-01-01T00:00:00Z");
        check(-62_167_219_201, "0000-01-01T00:00:00Z");
        check(253_402_300_799, "9999-12-31T23:59:59Z");
        check(253_402_300_800, "9999-12-31T23:59:59Z");
        check(i64::MAX, "9999-12-31T23:59:59Z");
        check(-i64::MAX, "0000-01-01T00:00:00Z");
    }

    #[test]
    fn parts_of_a_second_are_rounded_down() {
        let part = Duration::from_nanos(999_999_999);
        assert_eq!(rfc3339(UNIX_EPOCH + part), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(UNIX_EPOCH - part), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn agrees_with_the_dates_of_http_for_every_day_of_400_years() {
        const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
        for day in 0..146_097 {
            let time = UNIX_EPOCH + Duration::from_secs(day * 86_400);
            let http = httpdate::fmt_http_date(time);
            let month = MONTHS.find(&http[8..11]).unwrap() / 3 + 1;
            assert_eq!(rfc3339(time), format!("{}-{month:02}-{}T00:00:00Z", &http[12..16], &http[5..7]));
        }
    }
}
