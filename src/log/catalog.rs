//! The `MESSAGE_ID` of events that the catalog explains: 128 random bits each.
//!
//! `packaging/otus-httpd.catalog` has the explanations, and `journalctl -x` shows them. An identifier never changes its
//! meaning: scripts may search for it.

/// A worker was ended by a signal.
pub const WORKER_KILLED: &str = "45433acbf8c749f793c552da82f38f6b";

/// A worker exited by itself.
pub const WORKER_EXITED: &str = "b72049678157406192f3f850926917d1";

/// A worker is hung and is being killed.
pub const WORKER_HUNG: &str = "193b1dac606b431c84632d027a436f6c";

/// A hung worker survives SIGKILL.
pub const WORKER_SURVIVED: &str = "952f2e1e5a2948fb9e68a08befbf3d20";

/// A reload failed.
pub const RELOAD_REFUSED: &str = "60ce72beeba9411690c340d88d9fc953";

/// Records of the access log were dropped.
pub const RECORDS_DROPPED: &str = "d7ec30a6a2a6477686898785eb1e496f";

/// No descriptor or memory is left for another connection.
pub const DESCRIPTORS_EXHAUSTED: &str = "d14acc4409d54c47a48c4a9167326047";

/// All request threads of a worker are busy.
pub const THREADS_BUSY: &str = "1af0cc88fec44f83b26878c262cbef6f";

/// A worker has reached its connection limit.
pub const CONNECTIONS_FULL: &str = "959e720c2c2944fa83f4c4b7967a743f";

/// A client has reached its connection limit.
pub const CLIENT_FULL: &str = "97c1a62bf90547bcbd57e73a408f5fd5";

/// A file cannot be sent, or not completely, because of an error of the server.
pub const FILE_FAILED: &str = "7ac8a38f6f874ff59614ef07b18583a6";

/// The helper process ended unexpectedly.
pub const HELPER_ENDED: &str = "f65acbea5697cae75a76bef96d5ec716";

/// A precompressed variant is not used, because it is not the file beside it.
pub const VARIANT_REJECTED: &str = "e355288f9f1d4b3993f83d58315c2631";

/// The content of a file whose name contains a hash of it has changed.
pub const HASHED_NAME_CHANGED: &str = "3f5f6871a3a945f597dad378a9417700";

/// The key process ended unexpectedly.
pub const KEY_PROCESS_ENDED: &str = "ff72fae60f2c2ad992dde422426f4b3a";

/// The key process has refused a request that no worker makes.
pub const KEY_REQUEST_REFUSED: &str = "946d3ce28dd3e8225c4b13ba335ed9f5";

/// The key process cannot be reached.
pub const KEY_PROCESS_MISSING: &str = "e5afcb5ef7c3c83f194063c1de78d923";

/// A certificate cannot be used, or there is none.
pub const CERTIFICATE_UNUSABLE: &str = "30418de95d6472c12410fdf5e9f6f08e";

/// A certificate expires soon, has expired, or is not valid yet.
pub const CERTIFICATE_ENDS: &str = "58a3ba6f3a8334bae230eea5a674fdbf";

/// The login process ended unexpectedly.
pub const LOGIN_PROCESS_ENDED: &str = "26baccb81671adc1a310ceb7560046fa";

/// A line of a file of users is not used.
pub const USERS_MISTAKE: &str = "1f93513f8442a37bb9ee6f5d545ce64c";

/// A file of users cannot be read.
pub const USERS_UNREADABLE: &str = "3e01680d75c1c065256eecd1af065bfd";

/// The document root does not respond.
pub const ROOT_UNRESPONSIVE: &str = "224c498ae2b9500b6499e9db1360a4f3";

#[cfg(test)]
mod tests {
    use super::*;

    /// Every event, with the fields of its record.
    const EVENTS: [(&str, &str); 23] = [
        (WORKER_KILLED, "WORKER WORKER_PID SIGNAL LIVED_MS PAUSE_MS"),
        (WORKER_EXITED, "WORKER WORKER_PID EXIT_CODE LIVED_MS PAUSE_MS"),
        (WORKER_HUNG, "WORKER WORKER_PID HUNG_SECONDS"),
        (WORKER_SURVIVED, "WORKER WORKER_PID"),
        (RELOAD_REFUSED, "WHY"),
        (RECORDS_DROPPED, "DROPPED WORKER SINCE_US UNTIL_US"),
        (DESCRIPTORS_EXHAUSTED, ""),
        (THREADS_BUSY, "THREADS"),
        (CONNECTIONS_FULL, ""),
        (CLIENT_FULL, "CLIENT_ADDRESS"),
        (FILE_FAILED, ""),
        (HELPER_ENDED, "HELPER_PID HOW LIVED_MS PAUSE_MS"),
        (VARIANT_REJECTED, ""),
        (HASHED_NAME_CHANGED, ""),
        (KEY_PROCESS_ENDED, "HOW LIVED_MS PAUSE_MS"),
        (KEY_REQUEST_REFUSED, "WORKER_PID WHY"),
        (KEY_PROCESS_MISSING, "WHY"),
        (CERTIFICATE_UNUSABLE, "CERTIFICATE"),
        (CERTIFICATE_ENDS, "CERTIFICATE"),
        (LOGIN_PROCESS_ENDED, "LOGIN_PID HOW LIVED_MS PAUSE_MS"),
        (USERS_MISTAKE, "PATH LINE"),
        (USERS_UNREADABLE, "PATH"),
        (ROOT_UNRESPONSIVE, "PATH SECONDS"),
    ];

    /// The entries of the catalog: identifier and text.
    fn entries() -> Vec<(&'static str, &'static str)> {
        let catalog = include_str!("../../packaging/otus-httpd.catalog");
        catalog.split("\n-- ").skip(1).map(|entry| entry.split_once('\n').unwrap()).collect()
    }

    #[test]
    fn the_catalog_explains_every_event_and_nothing_else() {
        let explained: Vec<_> = entries().into_iter().map(|(id, _)| id).collect();
        assert_eq!(explained, EVENTS.map(|(id, _)| id));
        let constants = include_str!("catalog.rs").lines().filter(|line| line.starts_with("pub const "));
        let constants: Vec<_> = constants.map(|line| line.split('"').nth(1).unwrap()).collect();
        assert_eq!(constants, explained);
        for id in explained {
            assert!(id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{id}");
        }
    }

    #[test]
    fn the_catalog_names_only_fields_that_the_event_has() {
        for ((_, text), (_, fields)) in entries().into_iter().zip(EVENTS) {
            // Every second piece is between two @. An address in Support: has only one @.
            let text = text.replace("otus-httpd@example.org", "");
            for field in text.split('@').skip(1).step_by(2) {
                assert!(fields.split(' ').any(|name| name == field), "@{field}@ in {text}");
            }
        }
    }

    #[test]
    fn an_entry_has_what_journalctl_shows() {
        for (_, text) in entries() {
            let (head, body) = text.split_once("\n\n").unwrap();
            let names: Vec<_> = head.lines().map(|line| line.split_once(": ").unwrap().0).collect();
            assert_eq!(names, ["Subject", "Defined-By", "Support", "Documentation"], "{text}");
            assert!(body.lines().all(|line| line.len() <= 80), "{text}");
        }
    }
}
