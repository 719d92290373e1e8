//! `otus-httpd https status`.

use std::path::Path;

use super::certbot::{self, Renewal};
use super::installation::Installation;
use super::{say, systemd};
use crate::check::certificates::request_overviews;
use crate::config::KEYS_SOCKET;
use crate::failure::{self, Failure};
use crate::ipc::key_protocol::Overview;
use crate::keys::{self, date};
use crate::os::clock;

const DAY: i64 = 24 * 60 * 60;

/// A row of the table.
type Row = [String; 6];

/// Prints the certificates as a table, and the socket.
pub fn run(installation: &Installation) -> Result<(), Failure> {
    let (folders, remark) = folders(installation);
    let now = i64::try_from(clock::unix_s()).unwrap_or(i64::MAX);
    let renewals: Vec<_> = folders.iter().map(|folder| renewal(installation, &folder.folder)).collect();
    let rows: Vec<_> = folders.iter().zip(&renewals).map(|(folder, renewal)| row(folder, *renewal, now)).collect();
    if rows.is_empty() {
        say(format!("There is no certificate in {}.", installation.certificates.display()));
    } else {
        table(&rows).iter().for_each(say);
    }
    remark.iter().for_each(say);
    for folder in &folders {
        // One entry is about their directory.
        let of = if folder.folder.is_empty() { String::new() } else { format!("{}: ", folder.folder) };
        folder.faults.iter().for_each(|fault| say(format!("{of}{fault}")));
    }
    let addresses = systemd::addresses(systemd::HTTPS_SOCKET)?.iter().map(ToString::to_string).collect::<Vec<_>>();
    let state = if systemd::is_active(systemd::HTTPS_SOCKET) { "open at" } else { "closed; it would be open at" };
    say(format!("{} is {state} {}.", systemd::HTTPS_SOCKET, addresses.join(" ")));
    if renewals.contains(&Renewal::Certbot) {
        say(timer());
    }
    Ok(())
}

/// Prints the names and the end of the certificate in `folder`, and what is known of its renewal.
pub fn describe(installation: &Installation, folder: &str) {
    let (folders, _) = folders(installation);
    let Some(overview) = folders.into_iter().find(|overview| overview.folder == folder) else { return };
    say(format!("Names: {}. Issued by {}.", overview.names.join(" "), overview.issuer));
    say(format!("It expires on {}.", date(overview.not_after)));
    match renewal(installation, folder) {
        Renewal::Certbot => say(timer()),
        Renewal::Off => say(
            "certbot does not renew it, by the line autorenew = False in its configuration below /etc/letsencrypt/renewal.",
        ),
        Renewal::Unknown => say(
            "No renewal by certbot is known: before that, run otus-httpd https import with its successor, unless another program \
             replaces it.",
        ),
    }
}

/// Returns the overview of each folder, from the key process of the service or else as this process can read it, with a sentence
/// about that.
fn folders(installation: &Installation) -> (Vec<Overview>, Option<String>) {
    // Where the service takes it from.
    let socket = systemd::variable(KEYS_SOCKET);
    let requested = socket.as_ref().map(|socket| request_overviews(Path::new(socket)));
    let remark = match requested {
        Some(Ok(folders)) => return (folders, None),
        // Without HTTPS, the key process has no reason to run.
        Some(Err(_)) if !systemd::is_active(systemd::HTTPS_SOCKET) => None,
        Some(Err(error)) => Some(format!(
            "The key process at {} does not respond ({}): this is what the files say; see systemctl status otus-httpd-keys.socket \
             otus-httpd-keys.service.",
            socket.unwrap_or_default(),
            failure::reason(&error)
        )),
        None => Some(format!("{} has no {KEYS_SOCKET}: this is what the files say.", systemd::SERVICE)),
    };
    (keys::read_once(&installation.certificates), remark)
}

fn renewal(installation: &Installation, folder: &str) -> Renewal {
    certbot::renewal(&installation.certificates.join(folder))
}

/// Returns a sentence on the timers of certbot.
fn timer() -> String {
    let active = certbot::TIMERS.into_iter().find(|timer| systemd::is_active(timer));
    let next = active.and_then(|timer| systemd::property(timer, "NextElapseUSecRealtime").ok()).unwrap_or_default();
    match active {
        Some(timer) if !next.is_empty() => {
            format!("{timer} renews certificates of certbot before they expire; it runs next on {next}.")
        }
        Some(timer) => format!("{timer} renews certificates of certbot before they expire."),
        None => format!(
            "Neither {} nor {} is active: unless another program runs certbot renew, run systemctl enable --now {0}.",
            certbot::TIMERS[0],
            certbot::TIMERS[1]
        ),
    }
}

fn row(folder: &Overview, renewal: Renewal, now: i64) -> Row {
    let left = match folder.not_after - now {
        _ if folder.not_after == 0 => String::new(),
        left if left < 0 => "expired".into(),
        left => format!("{} days", left / DAY),
    };
    let state = if folder.is_usable { "used" } else { "NOT USED" };
    let names = folder.names.join(" ");
    let renewal = match renewal {
        Renewal::Certbot => "certbot",
        Renewal::Off => "off",
        Renewal::Unknown => "unknown",
    };
    [folder.folder.clone(), state.into(), left, renewal.into(), folder.key.clone(), names]
}

/// Returns the lines of the table, in columns.
fn table(rows: &[Row]) -> Vec<String> {
    let head = ["CERTIFICATE", "STATE", "EXPIRES IN", "RENEWAL", "KEY", "NAMES"].map(String::from);
    let rows: Vec<&Row> = std::iter::once(&head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let line = |row: &&Row| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_state_and_days() {
        let folder = Overview {
            folder: "example.org".into(),
            names: vec!["example.org".into(), "www.example.org".into()],
            issuer: "CN=R3".into(),
            key: "ECDSA P-256".into(),
            not_before: 0,
            not_after: 90 * DAY,
            is_usable: true,
            faults: vec![],
        };
        let expired = Overview { folder: "old".into(), is_usable: false, names: vec![], ..folder.clone() };
        let empty = Overview { folder: "empty".into(), not_after: 0, key: String::new(), ..expired.clone() };
        let rows = [
            row(&folder, Renewal::Certbot, DAY / 2),
            row(&expired, Renewal::Unknown, 91 * DAY),
            row(&empty, Renewal::Off, 0),
        ];
        assert_eq!(
            table(&rows).join("\n"),
            "CERTIFICATE  STATE     EXPIRES IN  RENEWAL  KEY          NAMES\n\
             example.org  used      89 days     certbot  ECDSA P-256  example.org www.example.org\n\
             old          NOT USED  expired     unknown  ECDSA P-256\n\
             empty        NOT USED              off"
        );
    }
}
