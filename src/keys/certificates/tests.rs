use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;
use crate::keys::authority::{self, Authority, ED25519, Issued, P256, P384, P521, RSA};

const DAY: i64 = 24 * 60 * 60;

fn directory() -> (TempDir, Certificates) {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::new(directory.path(), 1);
    (directory, certificates)
}

/// Reads one folder, and returns what is wrong with it once it had the time to become right.
fn fault(chain: &str, key: &str) -> Result<KeyKind, String> {
    let (directory, mut certificates) = directory();
    authority::write(&directory.path().join("example.org"), chain, key);
    certificates.update(0, 0);
    certificates.update(SETTLE_MS, 0);
    let snapshot = certificates.snapshot();
    let overview = snapshot.overview(0, 0).unwrap();
    match snapshot.certificates.first() {
        Some(certificate) => {
            assert!(overview.is_usable);
            Ok(certificate.key)
        }
        None => Err(overview.faults.first().cloned().unwrap_or_default()),
    }
}

#[test]
fn each_supported_type_of_key_is_used() {
    let authority = Authority::new();
    for (key_type, kind, text) in [
        (P256, KeyKind::EcdsaP256, "ECDSA P-256"),
        (P384, KeyKind::EcdsaP384, "ECDSA P-384"),
        (RSA, KeyKind::Rsa, "RSA 2048"),
        (ED25519, KeyKind::Ed25519, "Ed25519"),
    ] {
        let issued = authority.issue_with(&["Example.org", "*.example.org"], key_type, "", &[]);
        let (directory, mut certificates) = directory();
        issued.write(&directory.path().join("example.org"));
        assert!(certificates.update(0, 0));
        let snapshot = certificates.snapshot();
        let certificate = &snapshot.certificates[0];
        assert_eq!(
            (certificate.key, certificate.names.as_slice()),
            (kind, &["example.org".to_string(), "*.example.org".into()][..])
        );
        assert_eq!(
            (certificate.chain.len(), certificate.folder.as_str(), certificate.is_default),
            (2, "example.org", false)
        );
        let (kind_of_key, key) = snapshot.key(&certificate.id).unwrap();
        assert_eq!(*kind_of_key, kind);
        assert!(key.choose_scheme(&[SignatureSchemes::of(kind)]).is_some());
        let overview = snapshot.overview(0, certificate.not_before).unwrap();
        assert_eq!(
            (overview.key.as_str(), overview.issuer.as_str(), overview.faults.len()),
            (text, "CN=Test Intermediate", 0)
        );
        assert_eq!(certificate.not_after - certificate.not_before, 90 * DAY);
    }
}

struct SignatureSchemes;

impl SignatureSchemes {
    fn of(kind: KeyKind) -> rustls::SignatureScheme {
        match kind {
            KeyKind::EcdsaP256 => rustls::SignatureScheme::ECDSA_NISTP256_SHA256,
            KeyKind::EcdsaP384 => rustls::SignatureScheme::ECDSA_NISTP384_SHA384,
            KeyKind::Rsa => rustls::SignatureScheme::RSA_PSS_SHA256,
            KeyKind::Ed25519 => rustls::SignatureScheme::ED25519,
        }
    }
}

#[test]
fn each_fault_says_what_to_do() {
    let authority = Authority::new();
    let (one, other) = (authority.issue(&["example.org"]), authority.issue(&["example.org"]));
    let sha1 = authority.issue_with(&["example.org"], P256, "", &["-sha1"]);
    let stranger = Authority::new().issue(&["example.org"]);
    let p521 = authority.issue_with(&["example.org"], P521, "", &[]);
    let long: String = std::iter::once(one.leaf.clone()).chain(vec![one.root.clone(); 10]).collect();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (what, chain, key, words) in [
        ("the key of another", one.chain(), &other.key, "privkey.pem does not belong to fullchain.pem; replace both"),
        (
            "the issuer first",
            one.intermediate.clone() + &one.leaf,
            &one.key,
            "its certificate 2 belongs to the key; put that one first",
        ),
        (
            "the root in the middle",
            one.leaf.clone() + &one.root,
            &one.key,
            "not in order: certificate 1 is issued by \"CN=Test Intermediate\", but the next one is \"CN=Test Root\"",
        ),
        (
            "an issuer with the same name and another key",
            one.leaf.clone() + &stranger.intermediate,
            &one.key,
            "certificate 1 is not signed by the next one, which has the same name as its issuer, \"CN=Test Intermediate\"; put",
        ),
        (
            "the same for the second certificate",
            one.chain() + &stranger.root,
            &one.key,
            "certificate 2 is not signed by the next one",
        ),
        ("SHA-1", sha1.chain(), &sha1.key, "certificate 1 of fullchain.pem is signed with SHA-1"),
        ("P-521", p521.chain(), &p521.key, "is not supported; get one with a key of type"),
        ("a long chain", long, &one.key, "more than 10"),
        ("no certificate", String::new(), &one.key, "fullchain.pem has no certificate"),
        (
            "no PEM",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".into(),
            &one.key,
            "fullchain.pem is not in PEM",
        ),
        (
            "no DER",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
            &one.key,
            "certificate 1 of fullchain.pem is damaged",
        ),
        ("no key", one.chain(), &one.leaf, "privkey.pem has no private key"),
        ("a passphrase", one.chain(), &encrypted.to_string(), "openssl pkey -in privkey.pem"),
        (
            "a damaged key",
            one.chain(),
            &"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_string(),
            "no key of a supported type",
        ),
    ] {
        let why = fault(&chain, key).expect_err(what);
        assert!(why.contains(words), "{what}: {why}");
        assert!(why.starts_with("It cannot be used: ") && why.ends_with('.') && why.contains(';'), "{what}: {why}");
    }
    assert_eq!(fault(&(one.chain() + &one.root), &one.key), Ok(KeyKind::EcdsaP256), "with the root");
    // Nobody verifies the signature of a root.
    let old = Authority::with_root(&["-sha1"]).issue(&["example.org"]);
    assert_eq!(fault(&(old.chain() + &old.root), &old.key), Ok(KeyKind::EcdsaP256), "with an old root");
}

#[test]
fn files_that_cannot_be_read_are_faults() {
    let (directory, mut certificates) = directory();
    let authority = Authority::new();
    let issued = authority.issue(&["example.org"]);
    let folder = |name: &str| directory.path().join(name);
    for name in ["1-pipe", "2-large", "3-directory"] {
        issued.write(&folder(name));
    }
    fs::remove_file(folder("1-pipe").join("privkey.pem")).unwrap();
    nix::unistd::mkfifo(&folder("1-pipe").join("privkey.pem"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    fs::write(folder("2-large").join("fullchain.pem"), vec![b'a'; 300 * 1024]).unwrap();
    fs::remove_file(folder("3-directory").join("privkey.pem")).unwrap();
    fs::create_dir(folder("3-directory").join("privkey.pem")).unwrap();
    fs::create_dir(folder("4-empty")).unwrap();
    symlink("nowhere", folder("5-link")).unwrap();
    fs::write(folder("README"), "no certificate").unwrap();
    fs::create_dir(folder(".hidden")).unwrap();
    certificates.update(0, 0);
    certificates.update(SETTLE_MS, 0);
    let snapshot = certificates.snapshot();
    assert_eq!((snapshot.certificates.len(), snapshot.folders()), (0, 5));
    let faults: Vec<_> = (0..5).map(|index| snapshot.overview(index, 0).unwrap().faults.remove(0)).collect();
    for (fault, words) in faults.iter().zip([
        "privkey.pem cannot be read (it is not a regular file)",
        "fullchain.pem cannot be read (it is larger",
        "privkey.pem cannot be read (it is not a regular",
        "fullchain.pem cannot be read (No such file or directory); put it there",
        "fullchain.pem cannot be read (No such",
    ]) {
        assert!(fault.contains(words), "{fault}, not {words}");
    }
}

#[test]
fn what_is_served_with_a_fault_says_so() {
    let authority = Authority::new();
    let (directory, mut certificates) = directory();
    authority.issue_with(&["a.example"], P256, "tlsfeature=status_request", &[]).write(&directory.path().join("1"));
    authority.issue(&[]).write(&directory.path().join("2"));
    authority.issue(&[]).write(&directory.path().join(DEFAULT));
    certificates.update(0, 0);
    let snapshot = certificates.snapshot();
    assert_eq!(snapshot.certificates.len(), 3);
    assert_eq!(
        snapshot.certificates.iter().map(|certificate| certificate.is_default).collect::<Vec<_>>(),
        [false, false, true]
    );
    let begin = snapshot.certificates[0].not_before;
    let faults = |index, day| snapshot.overview(index, begin + day * DAY).unwrap().faults.join(" ");
    assert!(faults(0, 0).contains("must-staple"), "{}", faults(0, 0));
    assert!(faults(1, 0).contains("has no DNS name"), "{}", faults(1, 0));
    assert_eq!(faults(2, 1), "");
    for (day, words) in [(-1, "It is valid from"), (73, "It expires on"), (91, "It expired on")] {
        assert!(faults(2, day).contains(words), "day {day}: {}", faults(2, day));
    }
}

/// Once a day for each certificate, and at once for one that replaces it.
#[test]
fn dates_are_reported_once_a_day() {
    let authority = Authority::new();
    let (directory, mut certificates) = directory();
    let folder = directory.path().join("example.org");
    authority.issue(&["example.org"]).write(&folder);
    certificates.update(0, 0);
    let begin = certificates.snapshot().certificates[0].not_before;
    let next_report_ms = |certificates: &Certificates| certificates.folders["example.org"].next_report_ms;
    // 18 of 90 days are left, and one second less.
    certificates.report_dates(500, begin + 72 * DAY);
    assert_eq!(next_report_ms(&certificates), 0, "nothing was reported");
    certificates.report_dates(500, begin + 72 * DAY + 1);
    assert_eq!(next_report_ms(&certificates), 500 + DAY_MS);
    certificates.report_dates(499 + DAY_MS, begin + 91 * DAY);
    assert_eq!(next_report_ms(&certificates), 500 + DAY_MS, "it is not due");
    certificates.report_dates(500 + DAY_MS, begin + 91 * DAY);
    assert_eq!(next_report_ms(&certificates), 500 + 2 * DAY_MS);
    authority.issue(&["example.org"]).write(&folder);
    certificates.update(900 + DAY_MS, 0);
    assert_eq!(next_report_ms(&certificates), 0);
}

/// As certbot does it: the links of a folder are moved one after the other.
#[test]
fn a_pair_that_does_not_fit_yet_is_no_fault_and_the_one_before_stays() {
    let authority = Authority::new();
    let (directory, mut certificates) = directory();
    let folder = directory.path().join("example.org");
    let (first, second) = (authority.issue(&["example.org"]), authority.issue(&["example.org"]));
    first.write(&folder);
    assert!(certificates.update(0, 0));
    let before = certificates.snapshot();
    fs::write(folder.join("privkey.pem"), &second.key).unwrap();
    for now_ms in [1_000, 1_250, 5_999] {
        assert!(!certificates.update(now_ms, 0));
        assert_eq!(certificates.pause_ms(), SETTLE_INTERVAL_MS);
        assert_eq!(certificates.snapshot().certificates, before.certificates);
        assert!(certificates.snapshot().overview(0, before.certificates[0].not_before).unwrap().faults.is_empty());
    }
    // It stays so: a fault, and still the one before.
    assert!(certificates.update(6_000, 0));
    let overview = certificates.snapshot().overview(0, before.certificates[0].not_before).unwrap();
    assert!(overview.is_usable && overview.faults[0].contains("the one before stays in use"), "{overview:?}");
    assert_eq!(
        (certificates.snapshot().certificates, certificates.pause_ms()),
        (before.certificates.clone(), INTERVAL_MS)
    );
    assert!(!certificates.update(9_000, 0), "it is not read again");
    fs::write(folder.join("fullchain.pem"), second.chain()).unwrap();
    assert!(certificates.update(11_000, 0));
    let after = certificates.snapshot();
    assert!(after.generation > before.generation && after.certificates[0].id != before.certificates[0].id);
    assert!(after.overview(0, after.certificates[0].not_before).unwrap().faults.is_empty());
}

#[test]
fn a_replaced_key_is_kept_for_a_minute_and_until_all_workers_have_the_new_chain() {
    let authority = Authority::new();
    let (directory, mut certificates) = directory();
    let folder = directory.path().join("example.org");
    authority.issue(&["example.org"]).write(&folder);
    certificates.update(0, 0);
    let (id, first) = (certificates.snapshot().certificates[0].id, certificates.snapshot().generation);
    authority.issue(&["example.org"]).write(&folder);
    assert!(certificates.update(1_000, first));
    let second = certificates.snapshot().generation;
    for (now_ms, known, is_kept) in [
        (1_000, first, true),
        (60_999, second, true),
        (61_000, first, true),
        (600_999, first, true),
        (600_999, second, false),
    ] {
        certificates.update(now_ms, known);
        assert_eq!(certificates.snapshot().key(&id).is_some(), is_kept, "{now_ms} ms, generation {known}");
    }
    assert_eq!(certificates.snapshot().certificates.len(), 1);
}

/// A compromised worker would keep it for as long as it runs.
#[test]
fn a_replaced_key_is_removed_after_ten_minutes_whatever_workers_have() {
    let authority = Authority::new();
    let (directory, mut certificates) = directory();
    let folder = directory.path().join("example.org");
    authority.issue(&["example.org"]).write(&folder);
    certificates.update(0, 0);
    let id = certificates.snapshot().certificates[0].id;
    authority.issue(&["example.org"]).write(&folder);
    for (now_ms, is_kept) in [(1_000, true), (600_999, true), (601_000, false)] {
        certificates.update(now_ms, 0);
        assert_eq!(certificates.snapshot().key(&id).is_some(), is_kept, "{now_ms} ms");
    }
}

#[test]
fn a_removed_folder_ends_its_names() {
    let authority = Authority::new();
    let (directory, mut certificates) = directory();
    for name in ["a", "b"] {
        authority.issue(&[name]).write(&directory.path().join(name));
    }
    certificates.update(0, 0);
    let before = certificates.snapshot();
    fs::remove_dir_all(directory.path().join("a")).unwrap();
    assert!(certificates.update(1_000, 0));
    let after = certificates.snapshot();
    assert_eq!(after.certificates, before.certificates[1..]);
    assert!(after.generation > before.generation);
    assert!(after.key(&before.certificates[0].id).is_some(), "handshakes that have begun end well");
    // The directory itself may be away.
    drop(directory);
    assert!(certificates.update(2_000, 0));
    assert_eq!(certificates.snapshot().folders(), 0);
}

/// The same key for another request, as with certbot's --reuse-key.
#[test]
fn a_key_that_is_used_again_is_not_removed() {
    let authority = Authority::new();
    let (directory, mut certificates) = directory();
    let Issued { leaf, intermediate, root, key } = authority.issue(&["a.example"]);
    let folder = directory.path().join("a");
    authority::write(&folder, &(leaf.clone() + &intermediate), &key);
    certificates.update(0, 0);
    let id = certificates.snapshot().certificates[0].id;
    authority::write(&folder, &(leaf + &intermediate + &root), &key);
    assert!(certificates.update(1_000, 0));
    assert_eq!(certificates.snapshot().certificates[0].chain.len(), 3);
    certificates.update(100_000, u64::MAX);
    assert!(certificates.snapshot().key(&id).is_some());
}

#[test]
fn folders_beyond_the_most_are_counted_and_said() {
    let authority = Authority::new();
    let (directory, mut certificates) = directory();
    for number in 0..MAX_FOLDERS {
        fs::create_dir(directory.path().join(format!("b{number:04}"))).unwrap();
    }
    authority.issue(&["a.example"]).write(&directory.path().join("a"));
    authority.issue(&["c.example"]).write(&directory.path().join("c"));
    authority.issue(&["d.example"]).write(&directory.path().join(DEFAULT));
    fs::write(directory.path().join("file"), "").unwrap();
    certificates.update(0, 0);
    let snapshot = certificates.snapshot();
    let used: Vec<_> = snapshot.certificates.iter().map(|certificate| certificate.folder.as_str()).collect();
    assert_eq!((used, snapshot.folders()), (vec!["a", DEFAULT], MAX_FOLDERS + 1));
    let fault = |snapshot: &Snapshot| snapshot.overview(snapshot.folders() - 1, 0).unwrap().faults.join(" ");
    assert!(fault(&snapshot).contains("has 1003 folders, and 3 of them, the last by name, are not used"));
    for number in 0..3 {
        fs::remove_dir(directory.path().join(format!("b{number:04}"))).unwrap();
    }
    assert!(certificates.update(1_000, 0));
    let snapshot = certificates.snapshot();
    assert_eq!((snapshot.certificates.len(), snapshot.folders()), (3, MAX_FOLDERS));
    assert!(!fault(&snapshot).contains("folders"), "{}", fault(&snapshot));
}
