use super::*;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::thread;

use tempfile::TempDir;

use crate::digest::Digest;
use crate::ipc::compressed_store::Stored;
use crate::ipc::scoreboard::Scoreboard;
use crate::ipc::work_queue;

const SOON: Duration = Duration::from_millis(30);

/// Serves what is in the queue with `jobs`, until it is idle.
fn serve_all(digests: &DigestTable, jobs: &[(Job, &File)]) -> (i32, Scoreboard) {
    let board = Scoreboard::new(1).unwrap();
    let (sender, receiver) = work_queue::pair().unwrap();
    for (job, file) in jobs {
        assert!(sender.send(*job, file.as_fd()));
    }
    (serve(&receiver, Results { digests, store: None }, board.helper(), SOON), board)
}

fn identity(file: &File) -> FileIdentity {
    FileIdentity::from(&fstat(file).unwrap())
}

fn is_settled(stat: &FileStat) -> bool {
    FileIdentity::from(stat).is_settled(i128::from(clock::unix_us()) * 1_000)
}

/// Files whose last change is old enough.
fn settled(contents: &[&[u8]]) -> (TempDir, Vec<File>) {
    let directory = tempfile::tempdir().unwrap();
    let open = |(index, content): (usize, &&[u8])| {
        let path = directory.path().join(index.to_string());
        fs::write(&path, content).unwrap();
        File::open(path).unwrap()
    };
    let files: Vec<_> = contents.iter().enumerate().map(open).collect();
    while !files.iter().all(|file| is_settled(&fstat(file).unwrap())) {
        thread::sleep(Duration::from_millis(50));
    }
    (directory, files)
}

#[test]
fn files_are_hashed_once_each_and_the_process_ends_when_idle() {
    let large: Vec<u8> = (0..1_000_003u32).map(|number| (number % 251) as u8).collect();
    let contents: [&[u8]; 3] = [b"", b"color:red;", &large];
    let (_directory, files) = settled(&contents);
    let digests = DigestTable::new().unwrap();
    let reader = digests.reader().unwrap();
    let jobs: Vec<_> = files.iter().chain(&files).map(|file| (Job::Hash, file)).collect();
    let (status, board) = serve_all(&digests, &jobs);
    assert_eq!(status, EXIT_IDLE);
    for (file, content) in files.iter().zip(contents) {
        let entry = reader.get(identity(file).content_key()).unwrap();
        assert_eq!(entry, Entry { digest: Digest::of(content), detail: content.len() as u64 });
    }
    assert_eq!(board.total(Counter::HashedFiles), 3);
    assert_eq!(board.total(Counter::HashedBytes), 10 + 1_000_003);
}

/// Calls `check` with a helper without a queue.
fn with_helper(check: impl FnOnce(&mut Helper)) {
    let (board, digests) = (Scoreboard::new(1).unwrap(), DigestTable::new().unwrap());
    check(&mut Helper {
        digests: &digests,
        store: None,
        counters: board.helper(),
        limit: RateLimit::new(BYTES_PER_SECOND),
        store_full_until_ms: Cell::new(0),
    });
}

#[test]
fn variants_are_decoded_and_hashed() {
    let original: Vec<u8> = (0..200_003u32).map(|number| (number % 251) as u8).collect();
    let size = original.len() as u64;
    let encoded = |coding| {
        let output = tempfile::tempfile().unwrap();
        codec::encode(coding, &original[..], &output, size).unwrap();
        let mut content = vec![0; output.metadata().unwrap().len() as usize];
        output.read_exact_at(&mut content, 0).unwrap();
        content
    };
    let codings = [Coding::Gzip, Coding::Zstd, Coding::Brotli];
    let [gzip, zstd, brotli] = codings.map(encoded);
    let trailing = [&gzip[..], b"x"].concat();
    let (_directory, files) = settled(&[&gzip, &zstd, &brotli, &trailing]);
    let digests = DigestTable::new().unwrap();
    let job = |coding, max_bytes| Job::Decode { coding, max_bytes };
    let decoded =
        |file: usize, coding| digests.get(identity(&files[file]).decoded_key(coding)).map(Decoded::from_entry);
    let short = Decoded::Rejected { reason: Rejected::Longer, max_bytes: size - 1 };

    let (_, board) = serve_all(&digests, &[(job(Coding::Gzip, size - 1), &files[0])]);
    assert_eq!(decoded(0, Coding::Gzip), Some(short));
    assert_eq!(digests.get(identity(&files[0]).content_key()), None, "it was not read to its end");
    assert_eq!(board.total(Counter::HashedFiles), 1);

    let mut jobs: Vec<_> = files.iter().zip(codings).map(|(file, coding)| (job(coding, size), file)).collect();
    jobs.push((job(Coding::Gzip, size), &files[3]));
    jobs.push((job(Coding::Zstd, size), &files[0]));
    serve_all(&digests, &jobs);
    for (index, (coding, content)) in codings.into_iter().zip([&gzip, &zstd, &brotli]).enumerate() {
        assert_eq!(decoded(index, coding), Some(Decoded::Digest(Digest::of(&original))), "{coding:?}");
        let own = digests.get(identity(&files[index]).content_key()).unwrap();
        assert_eq!(own.digest, Digest::of(content), "{coding:?}");
    }
    let reason = |file, coding| match decoded(file, coding) {
        Some(Decoded::Rejected { reason, .. }) => Some(reason),
        _ => None,
    };
    assert_eq!(reason(3, Coding::Gzip), Some(Rejected::TrailingBytes));
    assert_eq!(reason(0, Coding::Zstd), Some(Rejected::Format));
    let (_, board) = serve_all(&digests, &jobs);
    assert_eq!(board.total(Counter::HashedBytes), 0, "all is known");
}

#[test]
fn a_file_that_may_have_changed_is_not_hashed() {
    let (directory, mut files) = settled(&[b"one", b"two"]);
    let recent = directory.path().join("recent");
    fs::write(&recent, "recent").unwrap();
    files.push(File::open(recent).unwrap());
    let write_only = fs::OpenOptions::new().write(true).open(directory.path().join("1")).unwrap();
    let digests = DigestTable::new().unwrap();
    let jobs = [(Job::Hash, &files[2]), (Job::Hash, &write_only), (Job::Hash, &files[0])];
    let (status, board) = serve_all(&digests, &jobs);
    assert_eq!((status, board.total(Counter::HashedFiles)), (EXIT_IDLE, 1));
    let found = files.iter().map(|file| digests.get(identity(file).content_key()).is_some());
    assert_eq!(found.collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn a_change_while_a_file_is_read_discards_the_result() {
    let (directory, files) = settled(&[&[b'x'; 300_000]]);
    let before = fstat(&files[0]).unwrap();
    let writer = fs::OpenOptions::new().write(true).open(directory.path().join("0")).unwrap();
    writer.write_all_at(b"y", 299_999).unwrap();
    // As if it had changed after the first check.
    with_helper(|helper| {
        helper.perform_with(Job::Hash, files[0].as_fd(), &before).unwrap();
        assert_eq!(helper.digests.get(FileIdentity::from(&before).content_key()), None);
        assert_eq!(helper.digests.get(identity(&files[0]).content_key()), None);
        assert_eq!(helper.counters.get(Counter::HashedFiles), 0);
    });
    // A file that became shorter.
    let before = fstat(&files[0]).unwrap();
    writer.set_len(100).unwrap();
    with_helper(|helper| {
        assert!(helper.perform_with(Job::Hash, files[0].as_fd(), &before).is_err());
        assert_eq!(helper.digests.get(FileIdentity::from(&before).content_key()), None);
    });
}

#[test]
fn a_file_beyond_the_limit_is_not_read() {
    let (directory, _) = settled(&[]);
    let file = File::create(directory.path().join("sparse")).unwrap();
    file.set_len(MAX_HASHED_BYTES + 1).unwrap();
    let file = File::open(directory.path().join("sparse")).unwrap();
    while !is_settled(&fstat(&file).unwrap()) {
        thread::sleep(Duration::from_millis(50));
    }
    let digests = DigestTable::new().unwrap();
    let (_, board) = serve_all(&digests, &[(Job::Hash, &file)]);
    assert_eq!(board.total(Counter::HashedBytes), 0);
}

#[test]
fn reading_is_as_fast_as_the_limit_permits() {
    let (_directory, files) = settled(&[&vec![b'x'; 3 << 20]]);
    let limit = RateLimit::new(4 << 20);
    let mut reader = BackgroundReader::new(files[0].as_fd(), 3 << 20, &limit);
    let begin = std::time::Instant::now();
    Hashed::new(&mut reader).read_to_end().unwrap();
    assert_eq!(reader.bytes_read(), 3 << 20);
    // 3 MiB at 4 MiB/s, but the first tenth of a second's.
    assert!(begin.elapsed() >= Duration::from_millis(640), "{:?}", begin.elapsed());
}

#[test]
fn the_queue_that_was_shut_down_ends_the_process() {
    let (sender, receiver) = work_queue::pair().unwrap();
    drop(sender);
    let (board, digests) = (Scoreboard::new(1).unwrap(), DigestTable::new().unwrap());
    assert_eq!(
        serve(&receiver, Results { digests: &digests, store: None }, board.helper(), Duration::from_secs(60)),
        EXIT_SHUT_DOWN
    );
}

/// Only a compromised worker sends one. Whatever it is, closing it must not delay this process or the supervisor.
#[test]
fn a_descriptor_that_is_no_file_ends_the_queue() {
    let (sender, receiver) = work_queue::pair().unwrap();
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let (_directory, files) = settled(&[b"one"]);
    assert!(sender.send(Job::Hash, socket.as_fd()) && sender.send(Job::Hash, files[0].as_fd()));
    let (board, digests) = (Scoreboard::new(1).unwrap(), DigestTable::new().unwrap());
    assert_eq!(
        serve(&receiver, Results { digests: &digests, store: None }, board.helper(), Duration::from_secs(60)),
        EXIT_SHUT_DOWN
    );
    assert!(!sender.send(Job::Hash, files[0].as_fd()));
    assert_eq!(board.total(Counter::HashedFiles), 0);
}

#[test]
fn content_is_compressed_once_for_each_coding_and_stored_under_its_digest() {
    let text = "a line of text that repeats itself\n".repeat(100);
    let directory = tempfile::tempdir().unwrap();
    let open = |name: &str, content: &[u8]| {
        fs::write(directory.path().join(name), content).unwrap();
        File::open(directory.path().join(name)).unwrap()
    };
    // The same content under another name is the same work; when it was written does not matter.
    let files = [open("a", text.as_bytes()), open("b", text.as_bytes()), open("c", &text.as_bytes()[..1000])];
    let (digests, store) = (DigestTable::new().unwrap(), CompressedStore::new(None, 1 << 20).unwrap());
    let board = Scoreboard::new(1).unwrap();
    let (sender, receiver) = work_queue::pair().unwrap();
    for coding in codec::MEMORY_CODINGS {
        files.iter().for_each(|file| assert!(sender.send(Job::Compress { coding }, file.as_fd())));
    }
    let results = Results { digests: &digests, store: Some(&store) };
    assert_eq!(serve(&receiver, results, board.helper(), SOON), EXIT_IDLE);
    let (reader, digests) = (store.reader().unwrap(), digests.reader().unwrap());
    for coding in codec::MEMORY_CODINGS {
        let Stored::Compressed { bytes, .. } = reader.get(&digests, Digest::of(text.as_bytes()), coding) else {
            panic!("{coding:?}");
        };
        let mut decoded = Vec::new();
        codec::decode(coding, &mut &bytes[..], 1 << 20, &mut |part| {
            decoded.extend_from_slice(part);
            Ok(())
        })
        .unwrap();
        assert!(decoded == text.as_bytes() && bytes.len() < 100, "{coding:?}");
        assert_eq!(reader.get(&digests, Digest::of(&text.as_bytes()[..1000]), coding), Stored::Unknown, "too short");
    }
    assert_eq!(board.total(Counter::CompressedFiles), 2);
    assert_eq!(board.total(Counter::CompressedBytes), 2 * text.len() as u64);
}

#[test]
fn content_that_does_not_shrink_is_known_as_such() {
    let noise: Vec<u8> =
        (0..200u64).flat_map(|number| Digest::of(&number.to_ne_bytes()).to_words()[0].to_ne_bytes()).collect();
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &noise).unwrap();
    let store = CompressedStore::new(None, 1 << 20).unwrap();
    with_helper(|helper| {
        helper.compress(&store, file.as_fd(), Coding::Brotli).unwrap();
        let stored = store.reader().unwrap().get(&helper.digests.reader().unwrap(), Digest::of(&noise), Coding::Brotli);
        assert_eq!(stored, Stored::Useless);
        assert_eq!(helper.counters.get(Counter::CompressedFiles), 0);
    });
}

/// Otherwise each of many files would be read and compressed for nothing.
#[test]
fn nothing_is_compressed_for_a_while_after_a_result_had_no_room() {
    let digits: String =
        (0..512u64).map(|number| format!("{:x}", Digest::of(&number.to_ne_bytes()).to_words()[0])).collect();
    let text = "a line of text that repeats itself\n".repeat(100);
    let [large, small] = [&digits, &text].map(|content| {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
        file
    });
    let store = CompressedStore::new(None, 4 << 10).unwrap();
    with_helper(|helper| {
        let stored = |helper: &Helper| {
            helper.compress(&store, small.as_fd(), Coding::Brotli).unwrap();
            store.knows(helper.digests, Digest::of(text.as_bytes()), Coding::Brotli)
        };
        helper.compress(&store, large.as_fd(), Coding::Brotli).unwrap();
        assert!(!stored(helper), "there would be room");
        helper.store_full_until_ms.set(clock::now_ms());
        assert!(stored(helper));
    });
}
