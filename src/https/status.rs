//! `otus-httpd https status`.

use std::path::Path;

use super::installation::Installation;
use super::{certbot, say, systemd};
use crate::check::certificates::request_overviews;
use crate::failure::Failure;
use crate::ipc::key_protocol::Overview;
use crate::keys::{self, date};
use crate::os::clock;

/// The socket of the key process.
const KEYS: &str = "/run/otus-httpd-keys/socket";

const DAY: i64 = 24 * 60 * 60;

/// A row of the table.
type Row = [String; 6];

/// Prints the certificates as a table, and the socket.
pub fn run(installation: &Installation) -> Result<(), Failure> {
    let folders = folders(installation);
    let now = i64::try_from(clock::unix_s()).unwrap_or(i64::MAX);
    let rows: Vec<_> = folders.iter().map(|folder| row(folder, &renewal(installation, folder), now)).collect();
    if rows.is_empty() {
        say(format!("There is no certificate in {}.", installation.certificates.display()));
    } else {
        table(&rows).iter().for_each(say);
    }
    for folder in &folders {
        folder.faults.iter().for_each(|fault| say(format!("{}: {fault}", folder.folder)));
    }
    let addresses = systemd::addresses(systemd::HTTPS_SOCKET)?.iter().map(ToString::to_string).collect::<Vec<_>>();
    let state = if systemd::is_active(systemd::HTTPS_SOCKET) { "open at" } else { "closed; it would be open at" };
    say(format!("{} is {state} {}.", systemd::HTTPS_SOCKET, addresses.join(" ")));
    say(timer());
    Ok(())
}

/// Prints the names and the end of the certificate in `folder`, and what renews it and when.
pub fn describe(installation: &Installation, folder: &str) {
    let Some(overview) = folders(installation).into_iter().find(|overview| overview.folder == folder) else { return };
    say(format!("Names: {}. Issued by {}.", overview.names.join(" "), overview.issuer));
    say(format!("It expires on {}.", date(overview.not_after)));
    match certbot::renews(&installation.certificates.join(folder)) {
        true => say(timer()),
        false => say("Nothing renews it: repeat otus-httpd https import with its successor before that."),
    }
}

/// Returns the overview of each folder, from the key process or else as this process can read it.
fn folders(installation: &Installation) -> Vec<Overview> {
    request_overviews(Path::new(KEYS)).unwrap_or_else(|_| keys::read_once(&installation.certificates))
}

fn renewal(installation: &Installation, folder: &Overview) -> String {
    let is_certbot = certbot::renews(&installation.certificates.join(&folder.folder));
    if is_certbot { "certbot" } else { "nothing" }.into()
}

/// Returns a sentence on the timer of certbot.
fn timer() -> String {
    let property = |name: &str| systemd::property(certbot::TIMER, name).unwrap_or_default();
    match (property("ActiveState").as_str(), property("NextElapseUSecRealtime")) {
        ("active", next) if !next.is_empty() => {
            format!("{} renews certificates of certbot before they expire; it runs next on {next}.", certbot::TIMER)
        }
        ("active", _) => format!("{} renews certificates of certbot.", certbot::TIMER),
        _ => format!(
            "{0} is not active, so nothing renews certificates of certbot: run systemctl enable --now {0}.",
            certbot::TIMER
        ),
    }
}

fn row(folder: &Overview, renewal: &str, now: i64) -> Row {
    let left = match folder.not_after - now {
        _ if folder.not_after == 0 => String::new(),
        left if left < 0 => "expired".into(),
        left => format!("{} days", left / DAY),
    };
    let state = if folder.is_usable { "used" } else { "NOT USED" };
    let names = folder.names.join(" ");
    [folder.folder.clone(), state.into(), left, renewal.into(), folder.key.clone(), names]
}

/// Returns the lines of the table, in columns.
fn table(rows: &[Row]) -> Vec<String> {
    let head = ["CERTIFICATE", "STATE", "EXPIRES IN", "RENEWED BY", "KEY", "NAMES"].map(String::from);
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
        let rows = [row(&folder, "certbot", DAY / 2), row(&expired, "nothing", 91 * DAY), row(&empty, "nothing", 0)];
        assert_eq!(
            table(&rows).join("\n"),
            "CERTIFICATE  STATE     EXPIRES IN  RENEWED BY  KEY          NAMES\n\
             example.org  used      89 days     certbot     ECDSA P-256  example.org www.example.org\n\
             old          NOT USED  expired     nothing     ECDSA P-256\n\
             empty        NOT USED              nothing"
        );
    }
}
