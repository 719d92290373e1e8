use super::*;
use std::fs::{self, FileTimes, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Opens a file, lets `change` happen to it, and says what is seen of that, and what is read.
fn seen(change: impl FnOnce(&Path)) -> (bool, Result<(bool, String), Refusal>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    fs::write(&path, "the old content").unwrap();
    let file = File::open(&Root::open(directory.path()).unwrap(), c"f").unwrap();
    // Times of files move with the kernel's clock, which has coarser steps than this test.
    let before = fs::metadata(&path).unwrap();
    let tick = directory.path().join("tick");
    while fs::metadata(&tick).and_then(|tick| tick.modified()).ok() <= before.modified().ok() {
        fs::write(&tick, "").unwrap();
    }
    change(&path);
    let mut bytes = Vec::new();
    let read = file.read(&mut bytes).map(|is_to_keep| (is_to_keep, String::from_utf8(bytes).unwrap()));
    (file.is_unchanged().unwrap(), read)
}

fn beside(path: &Path, name: &str) -> PathBuf {
    path.with_file_name(name)
}

#[test]
fn renames_links_and_permissions_are_no_change_of_content() {
    let content = |is_to_keep| (true, Ok((is_to_keep, "the old content".to_string())));
    assert_eq!(seen(|_| {}), content(true));
    let rename_over = |path: &Path| {
        fs::write(beside(path, "new"), "the new content").unwrap();
        fs::rename(beside(path, "new"), path).unwrap();
    };
    assert_eq!(seen(rename_over), content(false));
    assert_eq!(seen(|path| fs::remove_file(path).unwrap()), content(false));
    assert_eq!(seen(|path| fs::hard_link(path, beside(path, "link")).unwrap()), content(false));
    assert_eq!(seen(|path| fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap()), content(false));
    assert_eq!(seen(|path| fs::rename(path, beside(path, "away")).unwrap()), content(false));
}

#[test]
fn a_file_that_grows_is_unchanged_up_to_its_first_size() {
    let append = |path: &Path| fs::write(path, "the old content, and more").unwrap();
    assert_eq!(seen(append), (true, Ok((false, "the old content".to_string()))));
}

#[test]
fn other_writes_are_a_change() {
    let (is_unchanged, read) = seen(|path| fs::write(path, "shorter").unwrap());
    assert!(!is_unchanged && read == Err(Refusal::Changed), "{read:?}");
    let (is_unchanged, read) = seen(|path| fs::write(path, "THE NEW CONTENT").unwrap());
    assert!(!is_unchanged && read == Err(Refusal::Changed), "{read:?}");
    // Its time is set back: touch -r.
    let (is_unchanged, read) = seen(|path| {
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        fs::write(path, "THE NEW CONTENT").unwrap();
        fs::File::open(path).unwrap().set_modified(modified).unwrap();
    });
    assert!(!is_unchanged && read == Err(Refusal::Changed), "{read:?}");
    let (is_unchanged, _) = seen(|path| {
        fs::File::open(path).unwrap().set_times(FileTimes::new().set_modified(SystemTime::now())).unwrap();
    });
    assert!(!is_unchanged, "touch");
}

#[test]
fn a_file_that_has_shrunk_between_checks_is_changed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f");
    fs::write(&path, "1234").unwrap();
    let file = File::open(&Root::open(directory.path()).unwrap(), c"f").unwrap();
    let write = |content: &str| fs::write(&path, content).unwrap();
    write("12345678");
    assert_eq!(file.is_unchanged(), Ok(true));
    write("123456");
    assert_eq!(file.is_unchanged(), Ok(false));
}
