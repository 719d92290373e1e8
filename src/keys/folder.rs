//! The folder of a certificate: `fullchain.pem` and `privkey.pem`, files or links.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use nix::libc;
use nix::sys::stat::{fstat, stat};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use zeroize::{Zeroize, Zeroizing};

use super::certificate::{self, Description};
use crate::failure;
use crate::ipc::file_identity::FileIdentity;
use crate::ipc::key_protocol::KeyKind;

/// The file of the chain.
pub const CHAIN: &str = "fullchain.pem";

/// The file of the key.
pub const KEY: &str = "privkey.pem";

/// The largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// The identity of both files, or of their absence: while it is the same, they are not read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderIdentity([Result<FileIdentity, i32>; 2]);

/// A key with its chain.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The chain in DER.
    pub chain: Vec<Vec<u8>>,
    /// What it says.
    pub description: Description,
    /// The kind of the key.
    pub kind: KeyKind,
    /// The key.
    pub key: Arc<dyn SigningKey>,
}

/// The reason why a folder cannot be used, with the remedy.
#[derive(Debug, Clone)]
pub struct Unusable {
    /// What is known of the certificate.
    pub description: Option<Box<Description>>,
    /// The reason and the remedy, without a name and a full stop.
    pub why: String,
}

impl From<String> for Unusable {
    fn from(why: String) -> Self {
        Unusable { description: None, why }
    }
}

impl FolderIdentity {
    /// Returns the identity of the files that the links in `folder` lead to now.
    pub fn of(folder: &Path) -> Self {
        FolderIdentity([CHAIN, KEY].map(|name| match stat(&folder.join(name)) {
            Ok(stat) => Ok(FileIdentity::from(&stat)),
            Err(errno) => Err(errno as i32),
        }))
    }
}

/// Reads a folder. Fails if a file cannot be read or parsed, or if they do not belong together.
pub fn read(folder: &Path) -> Result<Pair, Unusable> {
    let chain = read_file(&folder.join(CHAIN)).map_err(|error| unreadable(CHAIN, &error))?;
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&chain).map(|certificate| certificate.map(|der| der.to_vec())).collect();
    let chain = chain.map_err(|error| format!("{CHAIN} is not in PEM ({error}); get it again"))?;
    let description = certificate::describe(&chain)?;
    let unusable = |why: String| Unusable { description: Some(Box::new(description.clone())), why };
    let mut key = read_key(&folder.join(KEY)).map_err(unusable)?;
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key);
    key.zeroize();
    let (Ok(signing), Some(kind)) = (signing, description.kind) else {
        let why = description.error.clone();
        return Err(unusable(why.unwrap_or_else(|| {
            format!("{KEY} is no key of a supported type (ECDSA P-256 or P-384, RSA from 2048 bits, Ed25519); get a new certificate")
        })));
    };
    let certified = |der: &[u8]| CertifiedKey::new(vec![CertificateDer::from(der.to_vec())], signing.clone());
    let fits = |der: &Vec<u8>| certified(der).keys_match().is_ok();
    if !chain.first().is_some_and(fits) {
        return Err(unusable(match chain.iter().position(fits) {
            Some(index) => format!(
                "{CHAIN} is not in order: its certificate {} belongs to the key; put that one first, and after each one its issuer",
                index + 1
            ),
            None => format!("{KEY} does not belong to {CHAIN}; replace both by those of the same request"),
        }));
    }
    match description.error.clone() {
        Some(why) => Err(unusable(why)),
        None => Ok(Pair { chain, description, kind, key: signing }),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = read_file(path).map_err(|error| unreadable(KEY, &error))?;
    if text.windows(9).any(|part| part == b"ENCRYPTED") {
        return Err(format!(
            "{KEY} is protected by a passphrase, which nobody could enter here; remove it with openssl pkey -in {KEY} -out {KEY}"
        ));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| format!("{KEY} has no private key in PEM; replace it"))
}

fn unreadable(name: &str, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "put it there, or a link to it",
        io::ErrorKind::PermissionDenied => "make root, or the user of the key process, its owner",
        _ => "replace it by a file in PEM",
    };
    format!("{name} cannot be read ({}); {remedy}", failure::reason(error))
}

/// Reads a regular file. Other kinds could block, or never end.
fn read_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file =
        File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY).open(path)?;
    let stat = fstat(&file)?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(io::Error::other("it is not a regular file"));
    }
    if stat.st_size.unsigned_abs() > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_FILE_BYTES} bytes")));
    }
    // As large as it will be: a vector that grows leaves copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES as usize + 1));
    file.take(MAX_FILE_BYTES).read_to_end(&mut content)?;
    Ok(content)
}
